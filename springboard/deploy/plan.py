"""What a deployment or a rollback does, step by step. Nothing is changed here.

`springboard deploy --check` prints the steps, and `Rollout` carries out the very same.
"""

from dataclasses import dataclass

from springboard.deploy import assemble
from springboard.deploy import units as services
from springboard.deploy.assemble import OtherTorch, Runtime
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.keeper import Keeper
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.deploy.state import Place, Share, State, Unfinished
from springboard.releases import copies
from springboard.releases.manifest import Manifest, ReleaseError
from springboard.releases.registry import Registry


class RolloutError(Exception):
    """A deployment ended without its release; the message says what serves, why, and what to do."""


@dataclass(frozen=True)
class Settle:
    """Undo what was cut off, and put right what does not follow from deployment.json (`astray`)."""

    cut_off: Unfinished | None
    astray: tuple[str, ...]

    @property
    def says(self) -> list[str]:
        """Return it in words after "would", as the others do; none where it changes nothing."""
        undo = [f"undo the deployment of {self.cut_off.version} that was cut off"] if self.cut_off else []
        return [*undo, *self.astray]


@dataclass(frozen=True)
class Fetch:
    """Get a verified copy of a release from the registry."""

    version: str

    @property
    def says(self) -> list[str]:
        """Return it in words."""
        return [f"fetch {self.version}"]


@dataclass(frozen=True)
class Stay:
    """Go on with the instance that serves; `why` where it is not as host.yml wants it."""

    place: Place
    why: str = ""

    @property
    def says(self) -> list[str]:
        """Return it in words."""
        return []


@dataclass(frozen=True)
class Replace:
    """Have an instance of the release serve in place of the promoted one.

    `back`: it is a rollback. `trial`: some of the traffic goes to it first.
    """

    manifest: Manifest
    place: Place
    in_place: bool
    trial: bool
    back: bool = False

    @property
    def says(self) -> list[str]:
        """Return it in words."""
        how = "in place" if self.in_place else "beside what serves"
        proves = "" if self.back else ", if it proves itself"
        return [
            f"start {services.unit(self.place.instance)} {how}",
            f"have {self.place.version} serve{proves}",
        ]


@dataclass(frozen=True)
class Mirror:
    """Have a release get copies of videos, or none; `problem` is why it cannot, which keeps nobody else."""

    manifest: Manifest | None = None
    place: Place | None = None
    fetch: bool = False
    problem: str = ""

    @property
    def says(self) -> list[str]:
        """Return it in words."""
        if self.problem:
            return [f"end without its shadow: {self.problem}"]
        fetch = [f"fetch {self.place.version}"] if self.place and self.fetch else []
        return [
            *fetch,
            f"have copies of videos go to {self.place.version if self.place else 'no release any more'}",
        ]


@dataclass(frozen=True)
class Abreast:
    """Have these serve beside the promoted release, which has `weight` then, by name, and no others."""

    beside: dict[str, Share]
    weight: int
    manifests: dict[str, Manifest]
    fetch: tuple[str, ...]

    @property
    def says(self) -> list[str]:
        """Return it in words."""
        serving = ", ".join(f"{name} {place.version}" for name, place in self.beside.items())
        return [*(f"fetch {version}" for version in self.fetch), f"have serve beside it: {serving or 'none'}"]


Step = Settle | Fetch | Stay | Replace | Mirror | Abreast


@dataclass(frozen=True)
class Plan:
    """Steps in their order; `blocked` is why they cannot be taken yet."""

    steps: tuple[Step, ...]
    blocked: str = ""

    @property
    def says(self) -> list[str]:
        """Return what it would change, each as words after "would"; nothing where that is nothing."""
        return [line for step in self.steps for line in step.says]


def plan(
    state: State,
    host: Host,
    layout: Layout,
    registry: Registry,
    version: str | None = None,
    in_place: bool = False,
) -> Plan:
    """Return all that `springboard deploy` does, `settling` and then `changing`."""
    rest = changing(state, host, layout, registry, version, in_place)
    return Plan((*settling(state, host, layout).steps, *rest.steps), rest.blocked)


def returning(
    state: State, host: Host, layout: Layout, in_place: bool = False, leave: str | None = None
) -> Plan:
    """Return all that `springboard rollback` does: where a deployment was cut off, undo that one."""
    begin = settling(state, host, layout)
    if state.deploying:
        return begin
    return Plan((*begin.steps, *back(state, host, layout, in_place, leave).steps))


def settling(state: State, host: Host, layout: Layout) -> Plan:
    """Return what every deployment begins with."""
    keeper = Keeper(layout, host, state, lambda _: None)
    return Plan((Settle(state.deploying, tuple(keeper.astray())),))


def changing(
    state: State,
    host: Host,
    layout: Layout,
    registry: Registry,
    version: str | None = None,
    in_place: bool = False,
) -> Plan:
    """Return how the release `version`, or the one that serves, comes to serve as host.yml wants it.

    Raises `ReleaseError` where it cannot be had, and `OtherTorch` where it cannot run here.
    """
    promoted = state.promoted
    wanted = version or (promoted.version if promoted else None)
    if wanted is None:
        return Plan(())
    site = _Site(host, layout, registry)
    manifest, fetch = site.find(wanted, serves=promoted is not None and promoted.version == wanted)
    place, why = site.place(wanted), ""
    try:
        site.check(manifest)
    except OtherTorch as error:
        if version or promoted is None:
            raise
        # What serves keeps its own runtime; the next release brings the new one into use.
        place, why = promoted, f"{wanted} goes on as it is: {error}"
    steps: list[Step] = [Fetch(wanted)] if fetch else []
    if promoted == place:
        steps.append(Stay(place, why))
    else:
        another = promoted is not None and promoted.version != wanted
        trial = another and not in_place and host.canary.weight > 0
        if trial:
            _whole(manifest)
        steps.append(Replace(manifest, place, in_place, trial))
    abreast = _abreast(site, host, state, place)
    return Plan((*steps, *abreast, *_mirroring(site, host, state, place)), site.blocked)


def back(state: State, host: Host, layout: Layout, in_place: bool = False, leave: str | None = None) -> Plan:
    """Return how the previous release comes to serve again, without S3.

    Nothing is to be done where a rollback has been already, or another release serves than the one to
    `leave`: the same rollback may come twice, and on many hosts. Raises `RolloutError` where there is nothing
    to return to.
    """
    promoted, previous = state.promoted, state.previous
    if leave and (promoted is None or promoted.version != leave):
        return Plan((Stay(promoted, f"{promoted.version} serves here, not {leave}"),) if promoted else ())
    if promoted and state.left:
        return Plan(
            (Stay(promoted, f"{promoted.version} serves since the rollback of {state.left.version}"),)
        )
    if previous is None:
        raise RolloutError(
            "there is no previous release on this host to return to. Name the one that shall serve: "
            "springboard deploy X.Y.Z (playbooks/deploy.yml -e release=X.Y.Z)"
        )
    manifest, place = copies.load(layout.releases / previous.version), previous
    if not host.unproven:
        _whole(manifest)
    if not Instance(layout, place.instance).exists or not services.running(place.instance):
        assemble.check(host, manifest)
        place = Place(version=place.version, instance=assemble.name_of(layout, host, place.version))
    return Plan((Replace(manifest, place, in_place, trial=False, back=True),))


class _Site:
    """What is asked of one host, and of its registry, while planning."""

    def __init__(self, host: Host, layout: Layout, registry: Registry) -> None:
        self._host = host
        self._layout = layout
        self._registry = registry
        self._runtime: Runtime | None = None
        self.blocked = ""
        try:
            self._runtime = Runtime.load(host.worker.runtime)
        except InstanceError as error:
            self.blocked = str(error)  # in Ansible's check mode it is not built yet

    def place(self, version: str, host: Host | None = None) -> Place:
        """Return where a release serves as host.yml wants it, or another `host`."""
        named = (
            assemble.name_of(self._layout, host or self._host, version) if self._runtime else f"{version}_*"
        )
        return Place(version=version, instance=named)

    def has(self, place: Place) -> bool:
        """Whether the instance is on the disk."""
        return Instance(self._layout, place.instance).exists

    def find(self, version: str, serves: bool) -> tuple[Manifest, bool]:
        """Return a release's manifest, and whether it has to be fetched."""
        folder = self._layout.releases / version
        # The copy of what serves is not read through each time.
        if folder.is_dir() if serves else copies.is_whole(folder, version):
            return self._provable(copies.load(folder)), False
        return self._provable(self._registry.manifest(version)), True

    def _provable(self, manifest: Manifest) -> Manifest:
        return manifest if self._host.unproven else _whole(manifest)

    def check(self, manifest: Manifest) -> None:
        """Raise `OtherTorch` where a release cannot run on the host's runtime."""
        if self._runtime:
            self._runtime.check(manifest)


def _mirroring(site: _Site, host: Host, state: State, promoted: Place) -> list[Step]:
    rule, now = host.shadow, state.shadow
    if rule is None or rule.release == promoted.version:
        return [Mirror()] if now else []
    place = site.place(rule.release)
    if place == now and site.has(place):
        return []
    try:
        manifest, fetch = site.find(rule.release, serves=False)
        site.check(manifest)
    except (ReleaseError, OtherTorch) as error:
        return [Mirror(place=place, problem=str(error))]
    return [Mirror(manifest, place, fetch)]


def beside_of(host: Host, workers: int) -> Host:
    """Return the host as what serves beside has it."""
    return host.model_copy(update={"worker": host.worker.model_copy(update={"workers": workers})})


def _abreast(site: _Site, host: Host, state: State, promoted: Place) -> list[Step]:
    beside, manifests, fetch = dict[str, Share](), dict[str, Manifest](), list[str]()
    taken = [promoted.instance]
    for rule in host.beside:
        place = site.place(rule.release, beside_of(host, rule.workers))
        if place.instance in taken:
            raise RolloutError(
                f"variant {rule.name} is release {rule.release} on {rule.workers} workers, as another of the "
                "endpoint is; each needs a release, or workers, of its own"
            )
        taken.append(place.instance)
        share = Share(**place.model_dump(), weight=rule.weight)
        manifests[rule.name], missing = site.find(
            rule.release, serves=rule.release in {one.version for one in state.beside.values()}
        )
        site.check(manifests[rule.name])
        if missing:
            fetch.append(rule.release)
        beside[rule.name] = share
    weight = host.weight if beside else 1
    if (beside, weight) == (state.beside, state.weight) and all(map(site.has, beside.values())):
        return []
    return [Abreast(beside, weight, manifests, tuple(fetch))]


def _whole(manifest: Manifest) -> Manifest:
    if manifest.golden is None:
        raise ReleaseError(
            f"release {manifest.version} has no golden clip to check it by; archive it with --golden"
        )
    return manifest
