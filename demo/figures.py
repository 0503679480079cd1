"""How good a model is: its scores' rank correlation and error, its heads' accuracy, its gate's verdicts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from demo.dataset import HEADS, Label


@dataclass(frozen=True)
class Answer:
    """What a model said of one clip: score and class codes as if it were a dive, and the gate's verdict."""

    score: float
    codes: Mapping[str, int]
    diving: bool


def figures(answers: Iterable[tuple[Label, Answer]]) -> dict[str, float]:
    """Return the figures of a model over labelled clips.

    `spearman` and `mean_absolute_error` (points) of the scores and `accuracy_<head>` (0 to 1) are over all
    dives, whatever the gate said of them; `gate_precision` and `gate_recall` of "diving" are over all clips.
    """
    pairs = list(answers)
    dives = [(label, answer) for label, answer in pairs if label.diving]
    scores = np.array([label.score for label, _ in dives])
    predicted = np.array([answer.score for _, answer in dives])
    found = {
        "spearman": spearman(scores, predicted),
        "mean_absolute_error": float(np.abs(scores - predicted).mean()),
    }
    for head in HEADS:
        right = [label.codes[head] == answer.codes[head] for label, answer in dives]
        found[f"accuracy_{head}"] = float(np.mean(right))
    accepted = [label.diving for label, answer in pairs if answer.diving]
    found["gate_precision"] = float(np.mean(accepted)) if accepted else 0.0
    found["gate_recall"] = sum(accepted) / len(dives)
    return found


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation, -1 to 1; ties share the mean of their ranks."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(last - (counts - 1) / 2, np.float64)[inverse]
