"""What the control plane refuses, as SageMaker says it: clients match on types and texts."""


class ControlError(Exception):
    """A call that is answered with an error of the caller's; `kind` is what boto3 reads as its code."""

    status = 400

    def __init__(self, message: str, kind: str = "ValidationException") -> None:
        self.kind = kind
        super().__init__(message)


class SerializationError(ControlError):
    """The body is no JSON, or a value of it has another type than its shape."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "SerializationException")


class UnknownOperation(ControlError):
    """An operation that is not SageMaker's, or not one of ours."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "UnknownOperationException")


class LimitExceeded(ControlError):
    """There are as many of something as this machine has."""

    def __init__(self, what: str, most: int, used: int) -> None:
        super().__init__(
            f"The account-level service limit '{what}' is {most}, with current utilization of {used} and a "
            "request delta of 1. Delete one of them first.",
            "ResourceLimitExceeded",
        )
