"""The server that callers talk to: SageMaker's contract, the queue, honest readiness."""
