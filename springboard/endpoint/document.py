"""The endpoint as `endpoint.yml` says it: its name, its variants and their shares, its shadow, its limits."""

from pathlib import Path
from typing import Annotated, Self

import httpx
from pydantic import Field, model_validator

from springboard.endpoint.asynchronous import Async
from springboard.endpoint.capture import Capture
from springboard.endpoint.names import Address, Name, Release
from springboard.endpoint.truth import Truth
from springboard.system import documents
from springboard.system.documents import Strict


class Reference(Strict):
    """A release's own scores over its reference clips, in points: what drift is measured against."""

    mean: float
    """Mean of the scores."""
    sd: Annotated[float, Field(gt=0)]
    """Their standard deviation."""
    clips: Annotated[int, Field(ge=2)]
    """How many there were."""
    error: Annotated[float, Field(ge=0)] | None = None
    """Their mean absolute error, where judges' scores are known; else there is no alert by truth."""


class Served(Strict):
    """One release at work in one TorchServe process."""

    release: Release
    """Its version, X.Y.Z."""
    address: Address
    """TorchServe's inference address, `unix:/path` or `http://host:port`."""
    management: Address = ""
    """Its management address; by default the socket `management` beside, or the next port."""
    metrics: Address = ""
    """Its metrics address; by default the socket `metrics` beside, or the port after that."""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The archive's checksum, shown in metrics."""
    reference: Reference | None = None
    """Scores over its reference clips; without them there is no drift alert."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, before in (("management", "address"), ("metrics", "management")):
            if not getattr(self, name):
                object.__setattr__(self, name, _beside(getattr(self, before), name))
        for address in (self.address, self.management, self.metrics):
            if address.startswith("unix:"):
                continue
            try:
                url = httpx.URL(address)
            except httpx.InvalidURL as error:
                raise ValueError(f"{address} is no address: {error}") from error
            if url.port is not None and not 0 < url.port < 65536:
                raise ValueError(f"{address} has no port between 1 and 65535")
        return self


def _beside(address: str, name: str) -> str:
    """Return the address that TorchServe has by default beside this one."""
    if address.startswith("unix:"):
        return f"{address.rpartition('/')[0]}/{name}"
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}"


class Variant(Served):
    """A named share of the endpoint's traffic. Weight 0 serves only callers who pin it."""

    name: Name
    """What callers pin it by."""
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Its share, of the sum of all weights; 0 serves only callers who pin it."""


class Shadow(Served):
    """A release that gets copies of `sample_percent` of the scored videos; its answers reach nobody."""

    sample_percent: Annotated[float, Field(ge=0, le=100)] = 100.0
    """How many of the scored videos it gets, while no worker is busy."""


class Limits(Strict):
    """What the front takes, in bytes, seconds and requests."""

    max_body_bytes: Annotated[int, Field(ge=1)] = 25_000_000
    """The largest body; over it 413 `body_too_large`."""
    max_object_bytes: Annotated[int, Field(ge=1)] = 100_000_000
    """The largest S3 object."""
    deadline_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Fetching from S3, queueing and work together. Keep TorchServe's responseTimeout below it."""
    overload_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The part of the deadline within which answers come under load. Who would be answered later, by the
    line's length and the work times of late, gets 429 at once. Half leaves room for estimates that were too
    short, and for callers' own timeouts: an AWS SDK's is as long as the whole deadline."""
    upload_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long a body may take to arrive."""
    upload_idle_seconds: Annotated[float, Field(gt=0)] = 15.0
    """How long a body may stall."""
    queue_requests: Annotated[int, Field(ge=1)] = 100
    """How many requests may be held, waiting or at work; over it 429, first for whoever holds most."""
    queue_bytes: Annotated[int, Field(ge=1)] = 500_000_000
    """How many bytes of videos may be held; over it 429, first for whoever holds most."""
    s3_concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Downloads from S3 at a time. A change needs a restart."""

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.queue_bytes < max(self.max_body_bytes, self.max_object_bytes):
            raise ValueError(
                f"queue_bytes ({self.queue_bytes}) must hold a body of max_body_bytes and max_object_bytes"
            )
        return self


class Cors(Strict):
    """Which pages of other origins may call from a browser, by the origin they come from."""

    origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/\s]+)$")], ...] = ()
    """As browsers name them (`https://pages.example`), or `*` for all; none: only our own."""


class Cache(Strict):
    """Answers that are kept, so that the same video at the same release is scored once."""

    max_bytes: Annotated[int, Field(ge=0, le=10_000_000_000)] = 0
    """How many bytes of answers are kept; 0: none, every request is scored. An answer has 2 to 4 kB, with
    its strip of pictures some 30 more."""


class Endpoint(Strict):
    """The whole of `endpoint.yml`. Without variants nothing is deployed yet."""

    endpoint: Name = "dive-scoring"
    """Its name, as SageMaker's clients give it."""
    aliases: tuple[Name, ...] = ()
    """Further names that it answers to, as callers have them in old scripts."""
    variants: tuple[Variant, ...]
    """What serves, each with its share."""
    shadow: Shadow | None = None
    """What gets copies of scored videos and answers nobody."""
    limits: Limits = Limits()
    """What one request, and all together, may take."""
    allowed_buckets: tuple[str, ...] = ()
    """The S3 buckets that videos may come from; none: only videos in the request itself."""
    cors: Cors = Cors()
    """Which pages of other origins may call; none by default."""
    cache: Cache = Cache()
    """Whether answers are kept for videos that come again; off by default."""
    page: bool = True
    """Whether browsers get the web page at `/`, and `/status`."""
    asynchronous: Async | None = Field(default=None, alias="async")
    """Asynchronous inference; none: it is off."""
    capture: Capture | None = None
    """Which requests and answers are kept; none: none of them."""
    truth: Truth | None = None
    """What is remembered of answers until judges' scores come; none: nothing."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [variant.name for variant in self.variants]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"variant names must differ: {', '.join(sorted(doubled))}")
        if self.variants and not any(variant.weight for variant in self.variants):
            raise ValueError("at least one variant needs a weight above 0")
        served = [*self.variants, *([self.shadow] if self.shadow else [])]
        addresses = [one.address for one in served]
        if doubled := {address for address in addresses if addresses.count(address) > 1}:
            raise ValueError(f"each variant needs a TorchServe of its own: {', '.join(sorted(doubled))}")
        uploads = (self.asynchronous and self.asynchronous.uploads) or ""
        if uploads and (bucket := uploads.split("/")[2]) not in self.allowed_buckets:
            raise ValueError(f"the bucket of async.uploads, {bucket}, must be among allowed_buckets")
        return self


class EndpointFileError(Exception):
    """`endpoint.yml` cannot be used; the message has one `file:line: reason` a fault."""


def load(path: Path) -> Endpoint:
    """Read and check an endpoint file; raise `EndpointFileError` with lines and reasons."""
    return documents.load(path, Endpoint, EndpointFileError)
