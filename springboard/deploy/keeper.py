"""Keeps a host as deployment.json says: endpoint.yml, units and instances follow from it."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from springboard.deploy import healing, instances, traffic
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.figures import FrontAway
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.deploy.state import Place, Share, State, Unfinished
from springboard.deploy.units import ServiceError
from springboard.releases.manifest import ReleaseError


class KeeperError(Exception):
    """Several things could not be put right; the message names each."""


FAULTS = (InstanceError, ServiceError, FrontAway, ReleaseError, KeeperError, OSError)


class Trouble(AbstractContextManager["Trouble"]):
    """Notes what fails of several acts, none of which shall keep the others from being done."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, FAULTS):
            return False
        self.faults.append(error)
        return True

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults))

    def end(self) -> None:
        """Raise what was noted, if anything was."""
        match self.faults:
            case []:
                return
            case [fault]:
                raise fault
            case _:
                raise KeeperError(str(self)) from self.faults[0]


class Keeper:
    """One host's deployment.json, and what has to follow from it. Whoever changes anything holds the lock."""

    def __init__(self, layout: Layout, host: Host, state: State, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._host = host
        self._say = say
        self.state = state
        self.traffic = traffic.Traffic(layout, host)
        self.traffic.shadow = self._shadow
        self.traffic.beside, self.traffic.weight = self._beside, state.weight

    def instance(self, place: Place | None) -> Instance | None:
        """Return the instance at a place."""
        return Instance(self._layout, place.instance) if place else None

    def save(self) -> None:
        """Have deployment.json say what `state` says."""
        deployment.save(self._layout.state, self.state)

    def phase(self, place: Place, phase: str, share: int = 0) -> None:
        """Write down how far the deployment at work is, and how many percent of the traffic it has."""
        self.state.deploying = Unfinished(version=place.version, instance=place.instance, phase=phase)
        self.state.share = share
        self.save()

    def mirror(self, place: Place | None) -> None:
        """Take this for the shadow from now on; `restore` has the front do so."""
        self.state.shadow = place
        self.traffic.shadow = self._shadow

    def abreast(self, beside: dict[str, Share], weight: int) -> None:
        """Take these for what serves beside from now on, and the share of what is promoted."""
        self.state.beside, self.state.weight = dict(beside), weight
        self.traffic.beside, self.traffic.weight = self._beside, weight

    def unsettled(self) -> bool:
        """Whether a deployment was killed before its end, or endpoint.yml is not what was promoted."""
        return self.state.deploying is not None or self.traffic.would_change(self._stable)

    def astray(self) -> list[str]:
        """Return what `restore` would put right, each as words after "would"."""
        return [
            *(f"start {services.unit(one.name)}, and at every boot" for one in self._down()),
            *([f"write {self._layout.endpoint}"] if self.traffic.would_change(self._stable) else []),
            *(f"not start {services.unit(name)} at boot any more" for name in self._enabled_others()),
        ]

    def restore(self) -> bool:
        """Have all follow from what is promoted; return whether it did not.

        What should serve comes first, and what fails keeps nothing else from being put right. Raises the
        fault, or `KeeperError` with all of them.
        """
        changed, trouble = bool(self.astray()), Trouble()
        down = self._down()
        if down:
            with trouble:
                self._stop_idle()
        for one in down:
            self._say(f"starting {services.unit(one.name)}, and at every boot")
            with trouble:
                services.start(one.name)
            with trouble:
                services.enable(one.name)
        with trouble:
            self.traffic.show(self._stable)
            # Not before the front has left them.
            self.stop_others()
        for name in self._enabled_others():
            with trouble:
                services.disable(name)
        trouble.end()
        return changed

    def stop_others(self, keep: str = "") -> None:
        """Stop and remove every instance but the promoted one and, while it is warm, the previous.

        With `keep`, that one in place of the previous: three need not fit.
        """
        others = self._others(keep)
        if others:
            self.traffic.drained(self._say)
        self._remove(others)

    def tidy(self) -> None:
        """Stop what was kept warm long enough and remove releases beyond keep_releases."""
        self.stop_others()
        state = self.state
        places = (state.promoted, state.previous, state.shadow, *state.beside.values())
        kept = {place.version for place in places if place}
        folders = [one for one in self._layout.releases.glob("*") if one.is_dir() and one.name not in kept]
        for part in [one for one in folders if one.suffix == ".part"]:  # of a fetch that was killed
            folders.remove(part)
            shutil.rmtree(part)
        folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        spare = max(self._host.keep_releases - len(kept), 0)
        for folder in folders[spare:]:
            self._say(f"removing {folder}, beyond keep_releases")
            shutil.rmtree(folder)

    def heal(self) -> bool:
        """Restart what serves, or is kept warm, without a worker; return whether there was such a thing."""
        state = self.state
        warm = state.previous if state.warm else None
        places = (state.promoted, state.shadow, warm, *state.beside.values())
        kept = {place.instance: Instance(self._layout, place.instance) for place in places if place}
        return healing.heal(self._layout.workerless, list(kept.values()), self._say)

    @property
    def _stable(self) -> Sequence[traffic.Share]:
        promoted = self.instance(self.state.promoted)
        return [(self.traffic.stable, promoted, 100)] if promoted else []

    @property
    def _shadow(self) -> Instance | None:
        """The shadow, unless its folder is gone: nobody depends on it, and a deployment makes it anew."""
        shadow = self.instance(self.state.shadow)
        return shadow if shadow and shadow.exists else None

    @property
    def _beside(self) -> dict[str, tuple[Instance, int]]:
        """Those whose folders are there; a deployment makes others anew."""
        places = self.state.beside.items()
        found = {name: (Instance(self._layout, at.instance), at.weight) for name, at in places}
        return {name: share for name, share in found.items() if share[0].exists}

    def _wanted(self) -> list[Instance]:
        others = [one for one, _ in self._beside.values()]
        return [one for one in (self.instance(self.state.promoted), self._shadow, *others) if one]

    def _down(self) -> list[Instance]:
        return [
            one for one in self._wanted() if not (services.running(one.name) and services.enabled(one.name))
        ]

    def _enabled_others(self) -> list[str]:
        others = {one.name for one in instances.every(self._layout)} - {one.name for one in self._wanted()}
        return sorted(name for name in others if services.enabled(name))

    def _others(self, keep: str = "") -> list[Instance]:
        state = self.state
        places = (state.promoted, state.deploying, state.shadow, *state.beside.values())
        kept = {keep, *(place.instance for place in places if place)}
        if state.previous and state.warm and not keep:
            kept.add(state.previous.instance)
        return [instance for instance in instances.every(self._layout) if instance.name not in kept]

    def _stop_idle(self) -> None:
        """Make room for what has to start: stop those that get no requests, as in place."""
        asked = self.traffic.asked()
        self._remove([one for one in self._others() if not (one.exists and one.reached.address in asked)])

    def _remove(self, others: list[Instance]) -> None:
        for instance in others:
            self._say(f"stopping {services.unit(instance.name)}")
            instance.remove()
