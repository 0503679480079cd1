"""Data capture as `capture:` in endpoint.yml sets it up; SageMaker's DataCaptureConfig."""

from typing import Annotated

from pydantic import Field

from springboard.endpoint.asynchronous import Place
from springboard.system.documents import Strict


class Capture(Strict):
    """A sample of requests and answers that is kept: videos of people, for whoever may read it."""

    destination: Place
    """Where it goes, `s3://BUCKET/PREFIX` or a folder (`/srv/capture`)."""
    sampling_percentage: Annotated[float, Field(ge=0, le=100)] = 100.0
    """The share of the requests that is kept, by chance."""
    input: bool = True
    """Whether videos are kept."""
    output: bool = True
    """Whether answers are kept."""
    max_bytes: Annotated[int, Field(ge=1_000_000, le=10_000_000_000)] = 64_000_000
    """How much waits in memory to be written; what is beyond is dropped and counted, and delays nobody."""
    flush_seconds: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    """A file is written at the latest after so long."""
