"""What the Python clients ask, and how they print what came back: `score variant`, or the error's names."""

import json
from collections.abc import Callable
from typing import Any

GOOD = b"score=84.15 " + b" " * 500_000


def run(ask: Callable[[bytes, str], str]) -> None:
    """Print the answers of `ask(body, endpoint)` by case."""
    answers = {
        "good": ask(GOOD, "dive-scoring"),
        "not a dive": ask(b"status=422 code=not_a_dive", "dive-scoring"),
        "too large": ask(b"x" * 3_000_000, "dive-scoring"),
        "good again": ask(GOOD, "dive-scoring"),
        "unknown endpoint": ask(GOOD, "nobody"),
    }
    print(json.dumps(answers))


def name(error: Any) -> str:
    """Return a botocore ClientError's code; of a ModelError the model's status and code, too."""
    said = [error.response["Error"]["Code"]]
    if "OriginalMessage" in error.response:
        said += [str(error.response["OriginalStatusCode"])]
        said += [json.loads(error.response["OriginalMessage"])["error"]["code"]]
    return " ".join(said)
