"""What a caller can be refused for: the base of the refusals that each room declares beside its own code."""

from typing import ClassVar

from model_handler.request.errors import ScoringError


class Refusal(ScoringError):
    """A request the server answers itself; `retry_after` in seconds where waiting helps."""

    sagemaker: ClassVar[tuple[int, str] | None] = None
    retry_after: int | None = None
