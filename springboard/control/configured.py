"""AsyncInferenceConfig and DataCaptureConfig of an endpoint configuration, as endpoint.yml has them."""

from collections.abc import Callable

from pydantic import ValidationError

from springboard.control.errors import ControlError
from springboard.control.store import Document
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.capture import Capture

_MOST_AT_ONCE = 64
_CALLED = {
    "output": "S3OutputPath",
    "failure": "S3FailurePath",
    "success_topic": "SuccessTopic",
    "error_topic": "ErrorTopic",
    "destination": "DestinationS3Uri",
}


def check(asked: Document, no_counterpart: Callable[[str], None]) -> None:
    """Refuse what of both a CreateEndpointConfig call asks in vain; raises `ControlError`."""
    for name, read in (("AsyncInferenceConfig", _asynchronous), ("DataCaptureConfig", _capture)):
        if name in asked:
            try:
                read(asked[name], no_counterpart)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                part = _CALLED.get(str(fault["loc"][0]), str(fault["loc"][0]))
                raise ControlError(f"{name}: {part} {fault['input']!r}: {fault['msg']}.") from None


def _asynchronous(asked: Document, no_counterpart: Callable[[str], None]) -> None:
    output = asked["OutputConfig"]
    if not output.get("S3OutputPath"):
        raise ControlError(
            "AsyncInferenceConfig.OutputConfig needs S3OutputPath, s3://BUCKET/PREFIX: there is no bucket "
            "of this server's own to take where none is named."
        )
    if output.get("KmsKeyId"):
        no_counterpart("AsyncInferenceConfig has KmsKeyId; results are encrypted as their bucket says.")
    if output.get("NotificationConfig", {}).get("IncludeInferenceResponseIn"):
        no_counterpart(
            "AsyncInferenceConfig has IncludeInferenceResponseIn; messages tell where results are."
        )
    asynchronous_of(asked)


def _capture(asked: Document, no_counterpart: Callable[[str], None]) -> None:
    if asked.get("KmsKeyId"):
        no_counterpart("DataCaptureConfig has KmsKeyId; what is captured is encrypted as its bucket says.")
    capture_of({**asked, "EnableCapture": True})


def asynchronous_of(asked: Document) -> Async:
    """Return what endpoint.yml has of an AsyncInferenceConfig; raises ValueError."""
    output, client = asked["OutputConfig"], asked.get("ClientConfig", {})
    topics = output.get("NotificationConfig", {})
    return Async(
        output=output.get("S3OutputPath", ""),
        failure=output.get("S3FailurePath"),
        success_topic=topics.get("SuccessTopic"),
        error_topic=topics.get("ErrorTopic"),
        max_concurrent=min(client.get("MaxConcurrentInvocationsPerInstance", 4), _MOST_AT_ONCE),
    )


def captures(asked: Document | None) -> bool:
    """Whether a DataCaptureConfig has anything captured; it does unless it says otherwise."""
    return asked is not None and bool(asked.get("EnableCapture", True))


def capture_of(asked: Document | None) -> Capture | None:
    """Return what endpoint.yml has of a DataCaptureConfig; raises ValueError.

    Its CaptureContentTypeHeader says what is text: here videos never are, and answers always.
    """
    if asked is None or not captures(asked):
        return None
    modes = {one["CaptureMode"] for one in asked["CaptureOptions"]}
    return Capture(
        destination=asked["DestinationS3Uri"],
        sampling_percentage=asked["InitialSamplingPercentage"],
        input=bool(modes & {"Input", "InputAndOutput"}),
        output=bool(modes & {"Output", "InputAndOutput"}),
    )
