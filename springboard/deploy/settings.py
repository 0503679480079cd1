"""A host's settings, /etc/springboard/host.yml: what Ansible writes of what is wanted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from springboard.deploy.layout import Layout
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.capture import Capture
from springboard.endpoint.document import Cache, Cors, Limits
from springboard.endpoint.names import Name, Release
from springboard.endpoint.truth import Truth
from springboard.system import documents
from springboard.system.documents import Strict

SignersKey = Annotated[str, Field(pattern=r"^(ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/=]+( .*)?$")]
Weight = Annotated[int, Field(ge=1, le=99)]


class HostFileError(Exception):
    """host.yml cannot be used; the message has one line a fault."""


class Worker(Strict):
    """What a release runs on, and how many processes at once."""

    runtime: Path
    """A virtual environment with `runtime.json`."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes per GPU, or in all on a host without one; 0 takes what the model-config says."""


class Canary(Strict):
    """How a new release is tried before it takes all traffic, and what stops it."""

    weight: Annotated[int, Field(ge=0, le=99)] = 10
    """Percent of the traffic at first; 0: no trial."""
    bake_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long it has that."""
    steps: tuple[Weight, ...] = (50,)
    """Percents after that."""
    step_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long it has each of them."""
    min_attempts: Annotated[int, Field(ge=1)] = 50
    """With fewer of either release it is held longer, as while a figure is in doubt."""
    hold_bakes: Annotated[float, Field(ge=1)] = 3.0
    """For up to so many times as long in all; with too few attempts it is rolled back then."""
    accept_little_traffic: bool = False
    """Promote it all the same then."""
    max_error_ratio: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Failed attempts by attempts, above the old release's, of videos that another release answers."""
    max_unscored_ratio: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Answers without a score by answers, above the old release's."""
    max_p95_ratio: Annotated[float, Field(gt=1)] = 1.5
    """Its time of a clip and p95 of an attempt, by the old one's. One so slow goes: the line is half way."""
    max_score_shift: Annotated[float, Field(gt=0)] = 0.5
    """Off by how much its mean score goes, in standard deviations of the manifest's: the line is half way."""
    max_live_error: Annotated[float, Field(gt=0)] | None = None
    """Points by which its mean absolute error, by judges' scores (`truth`), may be above the old one's; the
    line is half way. None: it is not judged by truth, which mostly comes too late."""
    false_alarm_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """How often chance may roll back an equal release, in a whole trial; smaller needs more requests."""


class ShadowRule(Strict):
    """A release that gets copies of `sample_percent` of the scored videos; its answers reach nobody."""

    release: Release
    """Its version, X.Y.Z."""
    sample_percent: Annotated[float, Field(gt=0, le=100)] = 5.0
    """How many of the scored videos it gets, while no worker is busy."""


class Beside(Strict):
    """Another release that serves for good beside the one that is deployed, under a name and with a share."""

    name: Name
    """What callers pin it by."""
    release: Release
    """Its version, X.Y.Z."""
    weight: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Its share, of this and the others' weights; 0 serves only callers who pin it."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """As the host's own `worker.workers`."""


class Follow(Strict):
    """How `springboard follow` brings the host to its endpoint's channel."""

    hold_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """How long what somebody deployed, or rolled back to, stays although the channel names another release,
    unless that is changed: deploy.yml moves the channel last, after all hosts."""
    control: bool = False
    """Whether a control plane's agent is on this host: all who deploy here do it as one wrote the channel."""


class Host(Strict):
    """The whole of host.yml."""

    endpoint: Name = "dive-scoring"
    """The endpoint's name, as SageMaker's clients give it."""
    aliases: tuple[Name, ...] = ()
    """Further names that it answers to, as in endpoint.yml."""
    variant: Name = "stable"
    """What the release that serves is called, as callers pin it; the one on trial is `canary`."""
    weight: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Its share, where others serve `beside`; a release on trial has its part of that."""
    beside: tuple[Beside, ...] = ()
    """What serves for good beside it: the variants of a SageMaker endpoint after its first."""
    allowed_buckets: tuple[str, ...] = ()
    """The S3 buckets that videos may come from."""
    limits: Limits = Limits()
    """The front's, as in endpoint.yml."""
    cors: Cors = Cors()
    """Which pages of other origins may call, as in endpoint.yml."""
    cache: Cache = Cache()
    """Answers that are kept, as in endpoint.yml."""
    page: bool = True
    """Whether browsers get the web page, as in endpoint.yml."""
    asynchronous: Async | None = Field(default=None, alias="async")
    """Asynchronous inference, as in endpoint.yml."""
    capture: Capture | None = None
    """Which requests and answers are kept, as in endpoint.yml."""
    truth: Truth | None = None
    """What is remembered of answers until judges' scores come, as in endpoint.yml."""
    models: str
    """The registry, s3://BUCKET."""
    release_signers: tuple[SignersKey, ...] = ()
    """Public keys, as OpenSSH writes them, one of which must have signed a release; none: unsigned too."""
    unproven: bool = False
    """Whether a release without a golden clip may serve; it is never tried on a part of the traffic."""
    worker: Worker
    """What releases run on."""
    canary: Canary = Canary()
    """How a new release is tried."""
    shadow: ShadowRule | None = None
    """What gets copies of scored videos."""
    follow: Follow | None = None
    """Whether the host follows its endpoint's channel, by a timer."""
    keep_warm_seconds: Annotated[float, Field(ge=0)] = 900.0
    """How long the old release stays up after a new one is promoted."""
    keep_releases: Annotated[int, Field(ge=2)] = 3
    """How many releases stay on disk."""
    ready_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long a release may take to be ready."""
    front_url: str = "http://127.0.0.1:8080"
    """The front, whose figures are read."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [self.variant, "canary", *(one.name for one in self.beside)]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"variants' names must differ: {', '.join(sorted(doubled))}")
        if self.beside and not any((self.weight, *(one.weight for one in self.beside))):
            raise ValueError("at least one variant needs a weight above 0")
        return self


def load(path: Path) -> Host:
    """Read and check host.yml; raise `HostFileError` with lines and reasons."""
    try:
        return documents.load(path, Host, HostFileError)
    except HostFileError as error:
        if path.exists():
            raise
        raise HostFileError(f"{error}; run playbooks/configure.yml") from error


class Driven(Strict):
    """What an endpoint's document (docs/control.md) has otherwise than host.yml, and for all who deploy here.

    It cannot name what hosts trust: signers, buckets, runtimes are host.yml's.
    """

    endpoint: Name
    variant: Name
    weight: Annotated[int, Field(ge=0, le=10_000)]
    beside: tuple[Beside, ...]
    workers: Annotated[int, Field(ge=0, le=64)] | None = None
    shadow: ShadowRule | None = None
    asynchronous: Async | None = None
    capture: Capture | None = None

    def applied(self, host: Host) -> Host:
        """Return the host's settings with these over them; raise `HostFileError` where they clash."""
        changed = {name: value for name in Driven.model_fields if (value := getattr(self, name)) is not None}
        if (workers := changed.pop("workers", None)) is not None:
            changed["worker"] = host.worker.model_copy(update={"workers": workers})
        return overlaid(host, changed, "the endpoint's document", HostFileError)


def overlaid(host: Host, changes: Mapping[str, object], whose: str, error: type[Exception]) -> Host:
    """Return a host's settings with changes over them; raise `error`, which says `whose` they are."""
    try:
        return Host.model_validate(host.model_copy(update=changes).model_dump(by_alias=True))
    except ValidationError as fault:
        why = fault.errors(include_input=False, include_url=False)[0]["msg"]
        raise error(f"{whose} does not go with this host's host.yml: {why}") from None


def here(layout: Layout) -> Host:
    """Return the settings of a host as it is now: host.yml's, and over them what drives it."""
    host = load(layout.settings)
    if not layout.driven.exists():
        return host
    driven = documents.load(layout.driven, Driven, HostFileError, as_json=True)
    # One that is another endpoint's, or of a host without an agent, is left of what was so before.
    stale = host.follow and not (host.follow.control and driven.endpoint == host.endpoint)
    return host if stale else driven.applied(host)
