"""Truth as `truth:` in endpoint.yml sets it up: judges' scores of what was answered."""

from typing import Annotated

from pydantic import Field

from springboard.endpoint.asynchronous import Place
from springboard.system.documents import Strict


class Truth(Strict):
    """What was answered is remembered, without the video, until judges' scores come."""

    folder: Annotated[str, Field(pattern=r"^((/[^/]+)+|)$")] = ""
    """The folder of the file that remembers; by default the service's own."""
    max_answers: Annotated[int, Field(ge=1000, le=10_000_000)] = 200_000
    """How many answers are remembered, some 200 bytes each; the oldest are forgotten first."""
    window: Annotated[int, Field(ge=10, le=100_000)] = 500
    """Figures of a release are over so many of the truths that came last."""
    ground_truth: Place | None = None
    """Where files of truths lie as SageMaker lays them out, `s3://BUCKET/PREFIX` or a folder, if anywhere."""
    look_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """How often `ground_truth` is looked through."""
    look_back_hours: Annotated[int, Field(ge=1, le=2160)] = 168
    """How far back its folders of hours are looked through, for files that come late."""
