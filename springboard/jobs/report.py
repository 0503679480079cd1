"""What a worker tells the front of its work, so that whoever watches the front sees both."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NAME = "job-reports"
# How a claim of a job ended: `again` is not its end.
Outcome = Literal["completed", "failed", "expired", "cancelled", "dead", "again"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "failed", "expired", "cancelled", "dead", "again")
# Reports go out so often; a worker without one for so long is not at work.
EVERY_SECONDS, GONE_SECONDS = 5.0, 30.0
# One report has so many claims at most, a worker keeps so many for a front that is away.
MOST_ENDED, MOST_KEPT = 1000, 20_000


class Ended(BaseModel):
    """One claim of a job that ended; seconds since it was handed in until it was begun, and of work."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome
    attempt: int = Field(ge=1)
    queued: float = Field(ge=0)
    worked: float = Field(ge=0)


class Report(BaseModel):
    """What one worker did since its last report; `worker` tells it from others."""

    worker: str = Field(min_length=1, max_length=64)
    ended: tuple[Ended, ...] = Field(default=(), max_length=MOST_ENDED)
