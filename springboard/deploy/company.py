"""What is beside the promoted release: its shadow, and what serves for good with a share of its own."""

from collections.abc import Callable

from springboard.deploy import assemble
from springboard.deploy import units as services
from springboard.deploy.keeper import Keeper, Trouble
from springboard.deploy.layout import Layout
from springboard.deploy.plan import Abreast, Mirror, RolloutError, beside_of
from springboard.deploy.settings import Host
from springboard.deploy.starting import Starter, cause
from springboard.deploy.state import Place
from springboard.deploy.stop import Stopped
from springboard.releases.manifest import Manifest


class Company:
    """One host's. `fetch` has a release be on this host."""

    def __init__(
        self,
        layout: Layout,
        host: Host,
        keeper: Keeper,
        starter: Starter,
        fetch: Callable[[str], object],
        say: Callable[[str], None],
    ) -> None:
        self._layout, self._host, self._keeper = layout, host, keeper
        self._starter, self._fetch, self._say = starter, fetch, say

    def mirror(self, step: Mirror) -> bool:
        """Have the shadow of host.yml, or none; return whether that changed. Nobody depends on it."""
        keeper, before = self._keeper, self._keeper.state.shadow
        try:
            if step.problem:
                raise RolloutError(step.problem)
            if step.place and step.manifest:
                self._start(step.place, step.manifest, step.fetch, self._host)
            keeper.mirror(step.place)
            keeper.save()
            changed = keeper.restore()
        except Exception as error:
            keeper.mirror(before)
            trouble = Trouble()
            with trouble:
                keeper.save()
            with trouble:
                keeper.restore()
            if isinstance(error, Stopped) and not trouble.faults:
                raise
            promoted = self._keeper.state.promoted
            serves = f"{promoted.version if promoted else 'nothing'} serves"
            also = f"; and {trouble}" if trouble.faults else ""
            raise RolloutError(f"{serves}, without its shadow: {cause(error, self._layout)}{also}") from error
        if before != step.place:
            self._say(f"copies of videos go to {step.place.version if step.place else 'no release any more'}")
        return changed or before != step.place

    def abreast(self, step: Abreast) -> None:
        """Have these serve beside the promoted one, or raise with those before."""
        keeper, before = self._keeper, self._keeper.state.model_copy()
        try:
            for rule in self._host.beside:
                host, missing = beside_of(self._host, rule.workers), rule.release in step.fetch
                self._start(step.beside[rule.name], step.manifests[rule.name], missing, host)
            keeper.abreast(step.beside, step.weight)
            keeper.save()
            keeper.restore()
        except Exception as error:
            keeper.abreast(before.beside, before.weight)
            serves = f"{before.promoted.version if before.promoted else 'nothing'} serves"
            keeper.state.last = f"{serves}, without what is to be beside it: {cause(error, self._layout)}"
            trouble = Trouble()
            for act in (keeper.save, keeper.restore):
                with trouble:
                    act()
            if isinstance(error, Stopped) and not trouble.faults:
                raise
            also = f"; and {trouble}" if trouble.faults else ""
            raise RolloutError(f"{keeper.state.last}{also}") from error
        serving = ", ".join(f"{name} {share.version}" for name, share in step.beside.items())
        self._say(f"beside it {serving or 'nothing'} serves")

    def _start(self, place: Place, manifest: Manifest, fetch: bool, host: Host) -> None:
        """Start what gets no traffic yet: a shadow, or a variant after the first."""
        if fetch:
            self._fetch(place.version)
        promoted = self._keeper.instance(self._keeper.state.promoted)
        if promoted and not services.running(place.instance):  # the previous one may still be warm
            self._starter.fits(promoted, manifest, host)
        made = assemble.make(self._layout, host, place.version)
        self._starter.up(made)
        self._starter.golden(made, manifest)
