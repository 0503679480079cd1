"""An endpoint's channel, `s3://BUCKET/channels/ENDPOINT.json`: what all of its hosts shall serve.

Beside the releases, in the same bucket. Whoever writes it says which version they have read, so that of two
writers one is refused.
"""

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from springboard.deploy.settings import Beside, Canary, Driven, Host, ShadowRule, overlaid
from springboard.endpoint.capture import Capture
from springboard.endpoint.names import Name, Release
from springboard.releases.bucket import Bucket
from springboard.system import documents
from springboard.system.documents import Strict

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ChannelError(Exception):
    """A channel cannot be used, or was changed by another; the message says which, why and what to do."""


class Settings(Strict):
    """What a host's deployments do otherwise than its host.yml says; what is left out is as it is there."""

    shadow: ShadowRule | None = None
    """What gets copies of scored videos; null: nothing."""
    weight: Annotated[int, Field(ge=0, le=10_000)] = 1
    """The share of the channel's release, where others serve `beside`."""
    beside: tuple[Beside, ...] = ()
    """What serves for good beside it."""
    keep_warm_seconds: Annotated[float, Field(ge=0)] = 900.0
    """How long the old release stays up after a new one is promoted."""
    ready_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long a release may take to be ready."""
    variant: Name = "stable"
    """What callers pin the channel's release by. Only a control plane writes this and what follows."""
    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """The release's worker processes, as the host's own `worker.workers`."""
    capture: Capture | None = None
    """Which requests and answers are kept."""


class Rules(Strict):
    """How a channel's release is deployed."""

    canary: Canary = Canary()
    """How hosts try a new release; what is left out is as in host.yml."""
    settings: Settings = Settings()
    """Further settings of host.yml."""


class Channel(Rules):
    """The whole of a channel. It cannot name what hosts trust: signers, buckets, runtimes are host.yml's."""

    release: Release
    """The release that all hosts serve, X.Y.Z."""

    def applied(self, host: Host) -> Host:
        """Return the host's settings with the channel's over them; raise `ChannelError` where they clash."""
        changed = _given(self.settings)
        if (workers := changed.pop("workers", None)) is not None:
            changed["worker"] = host.worker.model_copy(update={"workers": workers})
        changed["canary"] = host.canary.model_copy(update=_given(self.canary))
        return overlaid(host, changed, "the channel", ChannelError)

    @property
    def drives(self) -> bool:
        """Whether a control plane wrote it, so that all who deploy on its hosts do it as it says."""
        return "variant" in self.settings.model_fields_set

    def driven(self, host: Host) -> Driven:
        """Return what of it holds for all who deploy on a host."""
        named = {name: one for name, one in _given(self.settings).items() if name in Driven.model_fields}
        return Driven(endpoint=host.endpoint, **{"weight": host.weight, "beside": host.beside, **named})


class Channels:
    """The channels in one bucket. Faults of S3 are `ReleaseError`s."""

    def __init__(self, models: str, client: "S3Client | None" = None) -> None:
        """`models` is `s3://BUCKET`."""
        self._bucket = Bucket(models, client)

    def url(self, endpoint: str) -> str:
        """Return a channel's address."""
        return self._bucket.url(_key(endpoint))

    def raw(self, endpoint: str) -> tuple[bytes, str] | None:
        """Return a channel as it is, damaged or not, and its version; None where there is none."""
        return self._bucket.read(_key(endpoint))

    def parse(self, endpoint: str, text: bytes) -> Channel:
        """Return a channel; raise `ChannelError` with one `url:line: field: reason` a fault."""
        return documents.parse(text, Channel, self.url(endpoint), ChannelError, as_json=True)

    def read(self, endpoint: str) -> tuple[Channel, str] | None:
        """Return an endpoint's channel and its version; as `raw` and `parse`."""
        found = self.raw(endpoint)
        return (self.parse(endpoint, found[0]), found[1]) if found else None

    def write(self, endpoint: str, channel: Channel, version: str | None) -> None:
        """Have the channel be this one; raise `ChannelError` unless it is `version` now, None: not there."""
        document = {"release": channel.release} | channel.model_dump(mode="json", exclude_unset=True)
        key, text = _key(endpoint), (json.dumps(document, indent=2) + "\n").encode()
        if not self._bucket.write(key, text, version) and not self._bucket.holds(key, text):
            raise ChannelError(
                f"{self.url(endpoint)} is not {version or 'absent'} any more, somebody else was quicker: "
                "look at it (springboard channel show), and set it again"
            )


def _given(part: Strict) -> dict[str, Any]:
    return {name: getattr(part, name) for name in part.model_fields_set}


def _key(endpoint: str) -> str:
    return f"channels/{endpoint}.json"
