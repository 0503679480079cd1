"""What TorchServe's log tells of a release that does not start."""

import json
import re
from collections.abc import Iterator, Sequence

_RAISED = re.compile(r"[\w.]*(Error|Exception)\b: ?\S")
# What journald reads a line's priority from (sd-daemon(3)), and takes away.
_PRIORITY = re.compile(r"<\d>")
# TorchServe's own end: Java prints where it was after what it was, and the cause below that.
_JAVA = re.compile(r'(?:Caused by: |Exception in thread "main" )?((?:\w+\.)+\w*(?:Error|Exception)\b.*)')
_ENDED = re.compile(r"Invalid configuration: .+")
# What TorchServe means by it, which it does not say.
_MEANING = (
    ("Unexpected nvidia-smi response", "nvidia-smi fails on this machine; run it to see why"),
    (
        "Invalid configuration: For input string",
        "TorchServe takes the GPUs' numbers from nvidia-smi --query-gpu=index --format=csv, or from "
        "CUDA_VISIBLE_DEVICES, which must hold nothing but numbers",
    ),
)


def cannot_load(lines: Sequence[str]) -> bool:
    """Whether TorchServe said that a worker could not load the model; it would go on trying for minutes."""
    return any("Load model failed" in line for line in lines)


def deaths(lines: Sequence[str]) -> int:
    """Return how often a worker process died."""
    return sum("worker process died" in line for line in lines)


def gist(lines: Sequence[str]) -> str:
    """Return the line that tells most: the worker's first exception, TorchServe's own end, or the last word.

    Later exceptions of a worker are TorchServe's own, raised over the first.
    """
    lines = [_PRIORITY.sub("", line, count=1) if line.startswith("<") else line for line in lines]
    model = [line for line in map(str.strip, _of_workers(lines)) if line]
    raised = [line for line in model if _RAISED.match(line)]
    complaints = [line for line in lines if "[WARN" in line or "[ERROR" in line]
    others = [line for line in lines if not line.lstrip().startswith(("at ", "... "))]
    candidates = [*raised, *reversed(_end(lines)), *reversed(model), *complaints, *reversed(others)]
    told = next((line.strip() for line in candidates if line.strip()), "its log is empty")
    return next((f"{told} ({meaning})" for said, meaning in _MEANING if said in told), told)


def _of_workers(lines: Sequence[str]) -> Iterator[str]:
    """Yield what workers printed; of their JSON (model_handler/logs.py) the message, line by line."""
    for line in lines:
        _, of_model, text = line.partition("MODEL_LOG - ")
        if not of_model and not line.startswith('{"'):
            continue
        try:
            yield from str(json.loads(text or line)["message"]).splitlines()
        except (ValueError, TypeError, KeyError):
            yield text


def _end(lines: Sequence[str]) -> list[str]:
    """Return what ended TorchServe itself: exceptions of its main thread, the last one first.

    The causes of one come below it, without the frames that they share.
    """
    found: list[str] = []
    trace: list[str] = []
    for line in map(str.strip, lines):
        if match := _JAVA.fullmatch(line):
            trace = [*trace, match[1]] if line.startswith("Caused by") else [match[1]]
        elif _ENDED.fullmatch(line):
            found.append(line)
        elif "ModelServer.main(" in line:  # other threads' exceptions are about workers
            found += trace
            trace = []
    return found
