"""What the front itself refuses or gives up, on top of what the model answers.

Each class has, like its base, the plain HTTP status and a stable code for `/invocations`, and beside them
`sagemaker`: the status and error type that boto3 reads on `/endpoints/{name}/invocations`. Errors without one
(the model's own, and faults of the video) become SageMaker's 424 ModelError there.

    headers ──> body ──────────> storage ──> queue ────────────> worker ─────────> answer
    NoJobs, JobRefused           JobsAway
    ForeignRequest BodyTooLarge              Overloaded          DeadlineExceeded
    NotAuthorized  UploadTooSlow             NotReady, Draining  ModelFailed
    InvalidHeader                            DeadlineExceeded    KillsWorkers
    UnknownEndpoint, UnknownModel
    UnknownVariant
    UnsupportedEncoding
"""

from springboard.refusal import Refusal


class InvalidHeader(Refusal):
    """A request header breaks SageMaker's rules for it."""

    status = 400
    code = "invalid_header"
    sagemaker = (400, "ValidationError")


class ForeignRequest(Refusal):
    """A web page, or a Host that is not this machine's, asks a server on loopback without authentication."""

    status = 403
    code = "foreign_request"
    sagemaker = (403, "AccessDeniedException")

    def __init__(self, why: str) -> None:
        """`why` the request is none of this machine's own."""
        super().__init__(f"This server asks nobody for keys, so it answers its own machine only: {why}")


class UnknownEndpoint(Refusal):
    """The path names another endpoint than the one served here."""

    status = 404
    code = "unknown_endpoint"
    sagemaker = (400, "ValidationError")


class UnknownVariant(Refusal):
    """Target-Variant names no variant of this endpoint."""

    status = 400
    code = "unknown_variant"
    sagemaker = (400, "ValidationError")


class UnknownModel(Refusal):
    """The path names a model, or a version of it, that is not served here."""

    status = 404
    code = "unknown_model"


class UnsupportedEncoding(Refusal):
    """The body is packed in a way that this server does not unpack."""

    status = 415
    code = "unsupported_encoding"
    sagemaker = (400, "ValidationError")

    def __init__(self, encoding: str) -> None:
        """Name the Content-Encoding that came."""
        super().__init__(
            f"Content-Encoding is {encoding[:100]!r}; this server unpacks gzip and deflate, one of them. "
            "Videos are packed already: send the file as it is."
        )


class BodyTooLarge(Refusal):
    """The body is over the endpoint's limit."""

    status = 413
    code = "body_too_large"
    sagemaker = (400, "ValidationError")

    def __init__(self, allowed: int) -> None:
        """Name the limit: `allowed` bytes."""
        super().__init__(
            f"The body is larger than this endpoint takes: max_body_bytes is {allowed:,}. "
            "Send a shorter or smaller video, or put it into S3 and send its s3_uri.",
            limit="max_body_bytes",
            allowed=allowed,
        )


class UploadTooSlow(Refusal):
    """The body did not arrive in time."""

    status = 408
    code = "upload_too_slow"
    sagemaker = (400, "ValidationError")


class Overloaded(Refusal):
    """The line is too long for an answer in good time, or the queue is full by requests or bytes.

    AWS SDKs try a ThrottlingException again up to three times, each time after a longer pause.
    """

    status = 429
    code = "overloaded"
    sagemaker = (429, "ThrottlingException")
    retry_after = 5

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        """`retry_after` are the seconds after which what waits now is done, where that is known."""
        super().__init__(message)
        self.retry_after = retry_after or type(self).retry_after


class NotReady(Refusal):
    """No worker became ready before the deadline."""

    status = 503
    code = "not_ready"
    sagemaker = (503, "ServiceUnavailable")
    retry_after = 5


class Draining(Refusal):
    """The server is shutting down and takes nothing new."""

    status = 503
    code = "draining"
    sagemaker = (503, "ServiceUnavailable")
    retry_after = 5

    def __init__(self) -> None:
        super().__init__("This server is shutting down; another attempt reaches its replacement.")


class InternalFailure(Refusal):
    """A bug of ours; the log has the traceback under the request's id."""

    status = 500
    code = "internal_error"
    sagemaker = (500, "InternalFailure")

    def __init__(self, request_id: str) -> None:
        super().__init__(f"Internal error. The server's log tells more under request id {request_id}.")


class DeadlineExceeded(Refusal):
    """The request was at work, its form or base64 too, and there was no answer before the deadline."""

    status = 504
    code = "deadline_exceeded"


class ModelFailed(Refusal):
    """The model failed on this video, and failed again when it was tried again."""

    status = 502
    code = "model_failed"


class KillsWorkers(Refusal):
    """Workers died of this body, one after the other, so it is tried no more for a while."""

    status = 424
    code = "kills_workers"


class NoJobs(Refusal):
    """The endpoint has no asynchronous inference."""

    status = 400
    code = "no_async"
    sagemaker = (400, "ValidationError")


class JobRefused(Refusal):
    """A job whose input, id or names cannot be had."""

    status = 400
    code = "job_refused"
    sagemaker = (400, "ValidationError")


class TruthRefused(Refusal):
    """Truths that cannot be taken, by what they are or because none are."""

    status = 400
    code = "truth_refused"
    sagemaker = (400, "ValidationError")


class TruthAway(Refusal):
    """The file of what was answered cannot be used."""

    status = 503
    code = "truth_unreachable"
    sagemaker = (503, "ServiceUnavailable")
    retry_after = 5


class UnknownJob(Refusal):
    """There is no job of this id."""

    status = 404
    code = "unknown_job"


class JobsAway(Refusal):
    """The queue of jobs, or the place of their results, cannot be reached."""

    status = 503
    code = "jobs_unreachable"
    sagemaker = (503, "ServiceUnavailable")
    retry_after = 5


class ClientGone(Exception):
    """The client closed its connection before the answer was there."""
