"""Everything a request can be refused for, each with its HTTP status and a stable code.

The path of a request, and where it may end early:

    body ──parse──> source ──fetch──> bytes ──decode──> frames ──gate──> dive ──score──> answer
      InvalidRequest    StorageError    UnreadableVideo      NotADive     OutOfMemory
                        LimitExceeded   LimitExceeded

A handler catches `ScoringError` for one row of a batch and answers for that row alone. Anything else that
escapes is a bug of ours.
"""

from typing import Any, ClassVar


class ScoringError(Exception):
    """A request that cannot be scored, with what its caller should read.

    `status` is the HTTP status, `code` a stable name for programs, `details` JSON values that belong in the
    answer beside the message.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return the JSON answer: `{"error": {"code", "message", ...details}}`."""
        return {"error": {"code": self.code, "message": self.message, **self.details}}


class InternalError(ScoringError):
    """A bug of ours: the message says nothing of its inside, the log does."""


class OutOfMemory(ScoringError):
    """Not even one clip fits the device's free memory."""

    status = 503
    code = "out_of_memory"


class InvalidRequest(ScoringError):
    """The body is neither a video nor a pointer to one."""

    status = 400
    code = "invalid_request"


class EmptyBody(InvalidRequest):
    """The body has no bytes."""

    code = "empty_body"


class UnreadableVideo(ScoringError):
    """The bytes are no video, hold no video stream, or too little of it decodes."""

    status = 422
    code = "unreadable_video"


class NotADive(ScoringError):
    """The gate took the video for something else than diving."""

    status = 422
    code = "not_a_dive"


class LimitExceeded(ScoringError):
    """The video is larger, longer or slower to decode than this server allows."""

    status = 413
    code = "limit_exceeded"

    def __init__(self, limit: str, allowed: float, found: str, hint: str) -> None:
        """Name the limit (a key of `Limits`), its value, what was found, and what the caller can do."""
        super().__init__(
            f"{found}; the limit {limit} is {allowed:.12g}. {hint}", limit=limit, allowed=allowed
        )


class StorageError(ScoringError):
    """The video's S3 object cannot be had."""

    status = 502
    code = "storage_unreachable"


class BucketNotAllowed(StorageError):
    """The bucket is not on this server's allow-list."""

    status = 403
    code = "bucket_not_allowed"


class AccessDenied(StorageError):
    """S3 or KMS refused this server's credentials."""

    status = 403
    code = "access_denied"


class ObjectNotFound(StorageError):
    """No such bucket, key or version."""

    status = 404
    code = "object_not_found"
