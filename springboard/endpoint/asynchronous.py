"""Asynchronous inference as `async:` in endpoint.yml sets it up."""

from ipaddress import ip_network
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from springboard.system.documents import Strict

_S3_PLACE = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*/?$"
# A prefix of a bucket, or a folder of this machine.
Place = Annotated[
    str,
    Field(pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*|(/[^/]+)+)/?$", max_length=512),
]
Topic = Annotated[str, Field(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+(\.fifo)?$")]


class Webhook(Strict):
    """A URL that is told of each job's end."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/\S*)?$", max_length=2048)]
    """Where SageMaker's message is posted to; `https`, unless its host is in `networks`."""
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    """The hosts that may be posted to; that of `url` must be one of them."""
    secret_file: Annotated[str, Field(pattern=r"^(/[^/]+)+$")]
    """A file with the secret, 16 characters or more, that messages are signed with (HMAC-SHA256)."""
    networks: tuple[str, ...] = ()
    """Private networks that its host may be in (`10.0.0.0/8`); by default only the public internet."""

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for one in networks:
            ip_network(one)
        return networks

    @model_validator(mode="after")
    def _host_is_listed(self) -> Self:
        parts = urlsplit(self.url)
        _ = parts.port  # raises ValueError
        if (parts.hostname or "") not in {one.lower() for one in self.hosts}:
            raise ValueError(f"the host of url, {parts.hostname}, is not among hosts")
        if parts.scheme == "http" and not self.networks:
            raise ValueError("url must begin with https://, except to hosts in networks")
        return self


class Async(Strict):
    """Asynchronous inference: where its queue is, where results go, and who is told."""

    output: Place
    """Where results go, `s3://BUCKET/PREFIX` or, on one machine, a folder (`/srv/scores`)."""
    failure: Place | None = None
    """Where the reasons of failures go; by default `failures` below `output`."""
    queue: Annotated[str, Field(pattern=r"^(https?://[^/\s]+(/[^/\s]+)+|(/[^/]+)+|)$")] = ""
    """An SQS queue's URL, or a folder for a queue of this machine's own; by default the service's folder."""
    success_topic: Topic | None = None
    """The SNS topic that is told of each result."""
    error_topic: Topic | None = None
    """The SNS topic that is told of each failure."""
    webhook: Webhook | None = None
    """Who is told of each job's end beside the topics."""
    uploads: Annotated[str, Field(pattern=_S3_PLACE, max_length=512)] | None = None
    """Where callers put videos by presigned addresses; its bucket must tell `queue` of new objects."""
    max_concurrent: Annotated[int, Field(ge=1, le=64)] = 4
    """How many jobs one worker process has at a time. As many as the host's workers keep those busy."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How often a job is begun before it is given up, with its reason, and goes to the dead letters."""
    lease_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    """How long a job waits for another worker after its own was killed; a living one extends its lease."""
    least_share: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """The part of the turns that jobs get while interactive requests wait; these go first for all others."""
    inputs: tuple[Annotated[str, Field(pattern=r"^(/[^/]+)+$")], ...] = ()
    """Folders of this machine that inputs may come from, as `file:///folder/dive.mp4`; none by default."""

    @property
    def failures(self) -> str:
        """Where failures go."""
        return (self.failure or f"{self.output.rstrip('/')}/failures").rstrip("/")
