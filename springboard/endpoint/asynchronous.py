"""Asynchronous inference as `async:` in endpoint.yml sets it up."""

from typing import Annotated

from pydantic import Field

from springboard.system.documents import Strict

# A prefix of a bucket, or a folder of this machine.
Place = Annotated[
    str,
    Field(pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/]+)*|(/[^/]+)+)/?$", max_length=512),
]
Topic = Annotated[str, Field(pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+(\.fifo)?$")]


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
