"""How good a model is: its scores' rank correlation and error, its heads' accuracy, its gate's verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo.labels import HEADS, Label


@dataclass(frozen=True)
class Answer:
    """What a model said of one clip: the gate's verdict, the score and the class codes by head.

    Score and codes are None and empty where a server refused the clip.
    """

    score: float | None
    codes: Mapping[str, int]
    diving: bool


def figures(answers: Iterable[tuple[Label, Answer]]) -> dict[str, float]:
    """Return the figures of a model over labelled clips.

    `spearman` and `mean_absolute_error` (points) of the scores and `accuracy_<head>` (0 to 1) are over the
    dives that have a score; `gate_precision` and `gate_recall` of "diving" are over all clips. A figure of
    nothing is nan.
    """
    pairs = list(answers)
    dives = [(label, answer) for label, answer in pairs if label.diving and answer.score is not None]
    scores = np.array([label.score for label, _ in dives])
    predicted = np.array([answer.score for _, answer in dives], np.float64)
    found = {
        "spearman": spearman(scores, predicted),
        "mean_absolute_error": _mean(np.abs(scores - predicted)),
    }
    for head in HEADS:
        found[f"accuracy_{head}"] = _mean(
            [label.codes[head] == answer.codes[head] for label, answer in dives]
        )
    found["gate_precision"] = _mean([label.diving for label, answer in pairs if answer.diving])
    found["gate_recall"] = _mean([answer.diving for label, answer in pairs if label.diving])
    return found


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation; ties share the mean of their ranks.

    nan of fewer than two pairs, and where a value is not finite: such have no rank.
    """
    if np.size(first) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _mean(values: Sequence[bool] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(last - (counts - 1) / 2, np.float64)[inverse]
