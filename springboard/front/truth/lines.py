"""Truths as they are written: our own lines, and SageMaker's ground truth.

docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Judges' highest total is far below it; what is above is no score.
_HIGHEST = 1000.0
_LONGEST_ID = 64
_NO_JSON = (ValueError, RecursionError)


class NoTruth(Exception):
    """A line that is none; the message says which and why."""


@dataclass(frozen=True)
class Told:
    """Judges' score in points of the request of this id."""

    inference_id: str
    score: float


def read_body(body: bytes) -> list[Told]:
    """Return the truths of one JSON object, or of JSON lines; raise `NoTruth`."""
    try:
        return [_own(json.loads(body), "the body")]
    except _NO_JSON:
        found = list(_lines(body))
    if not found:
        raise NoTruth('the body is empty; send {"inference_id": "...", "score": 71.5}, one or one a line')
    return [_own(_json(line, where), where) for where, line in found]


def read_ground_truth(body: bytes) -> Iterator[Told | NoTruth]:
    """Yield the truths of a file as SageMaker lays them out, and what is wrong with its other lines."""
    for where, line in _lines(body):
        try:
            yield _ground(_json(line, where), where)
        except NoTruth as error:
            yield error


def _lines(body: bytes) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            yield f"line {number}", line


def _json(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except _NO_JSON:
        raise NoTruth(f"{where} is no JSON") from None


def _own(document: Any, where: str) -> Told:
    if not isinstance(document, dict) or document.keys() != {"inference_id", "score"}:
        raise NoTruth(f'{where} must be an object with just "inference_id" and "score"')
    return _told(document["inference_id"], document["score"], where)


def _ground(document: Any, where: str) -> Told:
    try:
        data, about = document["groundTruthData"]["data"], document["eventMetadata"]
        name = about["eventId"]
    except (KeyError, TypeError):
        raise NoTruth(f"{where} has no groundTruthData.data or no eventMetadata.eventId") from None
    try:
        score = float(data) if isinstance(data, str) else data
    except ValueError:
        raise NoTruth(f"{where}: groundTruthData.data is no number") from None
    return _told(name, score, where)


def _told(name: Any, score: Any, where: str) -> Told:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID:
        raise NoTruth(f"{where}: the id must be a text of 1 to {_LONGEST_ID} characters")
    if not isinstance(score, int | float) or isinstance(score, bool):
        raise NoTruth(f"{where}: score must be a number, in points")
    if not 0 <= score <= _HIGHEST:  # nor NaN
        raise NoTruth(f"{where}: score must be from 0 to {_HIGHEST:g} points")
    return Told(name, float(score))
