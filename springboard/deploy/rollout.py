"""Brings a host from the release it serves to another one, or back, and loses no request.

    settle ──> fetch ──> start beside ──> golden clip ──> canary ──> steps ──> promote ──> tidy
                               └───────────────┴─────────────┴──────────┴──> rolled back: the old one serves

deployment.json is the truth. endpoint.yml and the enabled units follow from it, so whatever a killed
deployment left, `settle` puts right. A reboot serves what was promoted last: only its unit is enabled.
"""

import errno
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from springboard.deploy import assemble, instances, memory
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.assemble import OtherTorch
from springboard.deploy.canary import Rejected, Trial
from springboard.deploy.figures import FrontAway
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.deploy.state import Place, Unfinished
from springboard.deploy.traffic import Traffic
from springboard.deploy.units import ServiceError
from springboard.releases import copies
from springboard.releases.manifest import Manifest, ReleaseError
from springboard.releases.registry import Registry


class RolloutError(Exception):
    """A deployment ended without its release; the message says what serves, why, and what to do."""


class Rollout:
    """Deployments on one host. Whoever calls holds the lock; `say` is told each step."""

    def __init__(self, layout: Layout, host: Host, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._host = host
        self._say = say
        self._state = deployment.load(layout.state)
        self._traffic = Traffic(layout, host)
        self._traffic.shadow = self._instance(self._state.shadow)
        # False half-way back or forth, where a signal has to wait.
        self.interruptible = True

    def deploy(self, named: str | None, in_place: bool = False) -> bool:
        """Serve the release `named`, or what is served, as host.yml wants it; return whether that changed.

        Raises `RolloutError`; what was promoted before serves then.
        """
        changed = self.settle()
        promoted = self._state.promoted
        version = named or (promoted.version if promoted else None)
        if version is None:
            return changed
        if promoted is None or promoted.version != version:
            changed |= self._fetch(version)
        manifest = self._manifest(version)
        name = assemble.name_of(self._layout, self._host, version)
        try:
            assemble.check(self._host, manifest)
        except OtherTorch as error:
            if named or promoted is None:
                raise
            # What serves keeps its own runtime; the next release brings the new one into use.
            self._say(f"{version} goes on as it is: {error}")
            name = promoted.instance
        if promoted and promoted.instance == name:
            self._up(Instance(self._layout, name))
            return self._mirror() or changed
        self._replace(manifest, name, in_place)
        self._mirror()
        self.tidy()
        return True

    def rollback(self, in_place: bool = False) -> bool:
        """Serve the previous release again, without S3."""
        unfinished = self._state.deploying
        if self.settle() and unfinished:
            return True
        previous = self._state.previous
        if previous is None:
            raise RolloutError("there is no previous release on this host to return to")
        manifest, name = self._manifest(previous.version), previous.instance
        if not Instance(self._layout, name).exists or not services.running(name):
            assemble.check(self._host, manifest)
            name = assemble.name_of(self._layout, self._host, previous.version)
        self._replace(manifest, name, in_place, trial=False)
        return True

    def settle(self) -> bool:
        """Put right what a killed deployment or an administrator left; return whether it had to."""
        if (cut_off := self._state.deploying) is None:
            return self._restore()
        self._say(f"the deployment of {cut_off.version} was cut off ({cut_off.phase}): undoing it")
        self._state.deploying = None
        self._state.last = f"{cut_off.version} was not deployed, it was cut off ({cut_off.phase})"
        self._restore()
        # Last, so that nobody takes a half-undone deployment for none.
        self._save()
        return True

    def _restore(self) -> bool:
        """Make endpoint.yml, units and instances follow from what is promoted; return if they did not."""
        promoted = self._instance(self._state.promoted)
        changed = self._traffic.show([("stable", promoted, 100)] if promoted else [])
        self._stop_others()
        wanted = [one for one in (promoted, self._instance(self._state.shadow)) if one]
        for one in wanted:
            if not (services.running(one.name) and services.enabled(one.name)):
                self._say(f"starting {services.unit(one.name)}, and at every boot")
                services.enable(one.name)
                services.start(one.name)
                changed = True
        for other in {one.name for one in instances.every(self._layout)} - {one.name for one in wanted}:
            if services.enabled(other):
                services.disable(other)
                changed = True
        return changed

    def unsettled(self) -> bool:
        """Whether a deployment was killed before its end, or endpoint.yml is not what was promoted."""
        promoted = self._instance(self._state.promoted)
        shares = [("stable", promoted, 100)] if promoted else []
        return self._state.deploying is not None or self._traffic.would_change(shares)

    def tidy(self) -> None:
        """Stop what was kept warm long enough and remove releases beyond keep_releases."""
        self._stop_others()
        state = self._state
        kept = {place.version for place in (state.promoted, state.previous, state.shadow) if place}
        folders = [one for one in self._layout.releases.glob("*") if one.name not in kept]
        folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
        spare = max(self._host.keep_releases - len(kept), 0)
        for folder in folders[spare:]:
            self._say(f"removing {folder}, beyond keep_releases")
            shutil.rmtree(folder)

    def _fetch(self, version: str) -> bool:
        registry = Registry(self._host.models)
        self._say(f"fetching {registry.url(version)}")
        self._layout.releases.mkdir(parents=True, exist_ok=True)
        return registry.fetch(version, self._layout.releases)

    def _manifest(self, version: str) -> Manifest:
        manifest = copies.load(self._layout.releases / version)
        if manifest.golden is None:
            raise ReleaseError(
                f"release {version} has no golden clip to check it by; archive it with --golden"
            )
        return manifest

    def _replace(self, manifest: Manifest, name: str, in_place: bool, trial: bool = True) -> None:
        """Have the instance serve in place of the promoted one, or raise with that one serving as before."""
        old = self._instance(self._state.promoted)
        self._phase(Place(version=manifest.version, instance=name), "starting")
        if self._state.shadow and self._state.shadow.instance == name:
            self._state.shadow = self._traffic.shadow = None  # it is promoted from there
        try:
            self._stop_others(keep=name)
            if old and in_place:
                self._pause(old)
            elif old and not services.running(name):
                self._fits(old, manifest)
            new = Instance(self._layout, name)
            if not new.exists:
                new = assemble.make(self._layout, self._host, manifest.version)
            self._up(new)
            self._golden(new, manifest)
            if old and not in_place and trial and old.version != new.version and self._host.canary.weight:
                self._try(old, new, manifest)
        except (InstanceError, ServiceError, FrontAway, ReleaseError, Rejected, OSError) as error:
            why = str(error)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                why = f"the disk is full ({why}): free or enlarge it, see df -h {self._layout.instances}"
            self._undo(why)
            raise RolloutError(self._state.last) from error
        except BaseException:
            self._undo("told to stop")
            raise
        self._promote(old, new, warm=not in_place)

    def _up(self, instance: Instance) -> None:
        if not (services.running(instance.name) and instance.ready()):
            self._say(f"starting {services.unit(instance.name)}")
        instance.start(self._host.ready_timeout_seconds)

    def _golden(self, instance: Instance, manifest: Manifest, in_traffic: bool = False) -> None:
        assert manifest.golden is not None  # noqa: S101 - _manifest saw to it
        clip = (self._layout.releases / manifest.version / manifest.golden_name).read_bytes()
        score = (instance.check if in_traffic else instance.warm_up)(clip, manifest.golden)
        self._say(f"the golden clip scores {score:.2f}, expected {manifest.golden.score:.2f}")

    def _try(self, old: Instance, new: Instance, manifest: Manifest) -> None:
        trial = Trial(self._traffic, self._host.canary, old, new, manifest.reference, self._say)
        for step, (weight, seconds) in enumerate(trial.steps):
            self._phase(Place(version=new.version, instance=new.name), f"canary at {weight} %")
            trial.run(weight, seconds, hold=step == 0)
            self._golden(new, manifest, in_traffic=True)

    def _mirror(self) -> bool:
        """Have the shadow of host.yml, or none; return whether that changed. Nobody depends on it."""
        wanted, promoted, state = self._host.shadow, self._state.promoted, self._state
        if wanted is None or promoted is None or wanted.release == promoted.version:
            return self._shadow(None)
        name = assemble.name_of(self._layout, self._host, wanted.release)
        if state.shadow and state.shadow.instance == name:
            return False
        try:
            self._fetch(wanted.release)
            manifest = self._manifest(wanted.release)
            assemble.check(self._host, manifest)
            self._fits(Instance(self._layout, promoted.instance), manifest)
            shadow = assemble.make(self._layout, self._host, wanted.release)
            self._up(shadow)
            self._golden(shadow, manifest)
        except (InstanceError, ServiceError, ReleaseError) as error:
            self._stop_others()
            raise RolloutError(f"{promoted.version} serves, without its shadow: {error}") from error
        return self._shadow(shadow)

    def _shadow(self, shadow: Instance | None) -> bool:
        before, now = self._state.shadow, self._place(shadow)
        self._state.shadow, self._traffic.shadow = now, shadow
        if before != now:
            self._say(f"copies of videos go to {now.version if now else 'no release any more'}")
            self._save()
        return self._restore() or before != now

    def _promote(self, old: Instance | None, new: Instance, warm: bool) -> None:
        state = self._state
        with self._uninterrupted():
            # Both at boot, then the truth, then the rest, which settle would do as well.
            services.enable(new.name)
            if old and old.version != new.version:
                state.previous = state.promoted
                state.warm_until = time.time() + self._host.keep_warm_seconds if warm else 0.0
            state.promoted, state.deploying = self._place(new), None
            state.last = f"{new.version} serves"
            self._save()
            self._traffic.show([("stable", new, 100)])
            if old:
                services.disable(old.name)
            self._stop_others()
            self._say(f"{new.version} serves")

    def _undo(self, why: str) -> None:
        """Return to what was promoted before."""
        deploying, promoted = self._state.deploying, self._state.promoted
        assert deploying is not None  # noqa: S101 - nothing else is undone
        self._say(f"rolling back {deploying.version}")
        self._state.deploying = None
        serves = f"{promoted.version} serves" if promoted else "nothing serves"
        self._state.last = f"{deploying.version} was not deployed, {serves}: {why}"
        with self._uninterrupted():
            self._restore()
            try:
                if promoted:
                    Instance(self._layout, promoted.instance).start(self._host.ready_timeout_seconds)
            except InstanceError as error:
                self._state.last += f". And what should serve does not: {error}"
            self._save()

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        self.interruptible = False
        try:
            yield
        finally:
            self.interruptible = True

    def _pause(self, old: Instance) -> None:
        self._say(f"in place: requests wait while {old.version} stops and the new release starts")
        self._traffic.pause(old.version)
        self._traffic.drained(self._say)
        services.stop(old.name)

    def _fits(self, running: Instance, manifest: Manifest) -> None:
        size = copies.load(self._layout.releases / running.version).archive.size_bytes
        memory.check(running, manifest.version, max(manifest.archive.size_bytes / size, 1.0))

    def _stop_others(self, keep: str = "") -> None:
        """Stop and remove every instance but the promoted one and, while it is warm, the previous.

        With `keep`, that one in place of the previous: three need not fit.
        """
        state = self._state
        places = (state.promoted, state.deploying, state.shadow)
        kept = {keep, *(place.instance for place in places if place)}
        if state.previous and state.warm and not keep:
            kept.add(state.previous.instance)
        others = [instance for instance in instances.every(self._layout) if instance.name not in kept]
        if others:
            self._traffic.drained(self._say)
        for instance in others:
            self._say(f"stopping {services.unit(instance.name)}")
            instance.remove()

    def _instance(self, place: Place | None) -> Instance | None:
        return Instance(self._layout, place.instance) if place else None

    def _place(self, instance: Instance | None) -> Place | None:
        return Place(version=instance.version, instance=instance.name) if instance else None

    def _phase(self, place: Place, phase: str) -> None:
        self._state.deploying = Unfinished(version=place.version, instance=place.instance, phase=phase)
        self._save()

    def _save(self) -> None:
        deployment.save(self._layout.state, self._state)
