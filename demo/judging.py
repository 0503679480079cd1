"""What a dive is worth: dive numbers and their difficulty, faults, seven judges, points.

faults ──deductions──> execution (0-10) ──seven judges──> marks ──middle three x difficulty──> points
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low

import numpy as np
from numpy.random import Generator

BACK, FORWARD, INWARD, REVERSE = range(4)
FREE, PIKE, TUCK = range(3)

JUDGES = 7
_JUDGE_SPREAD = 0.3  # standard deviation of one judge's opinion, in marks


@dataclass(frozen=True)
class DiveNumber:
    """One dive of the sport's table, in MTL-AQA's class codes.

    `position` is 0 free (D), 1 pike (B) or 2 tuck (C); `rotation_type` is 0 back, 1 forward, 2 inward or
    3 reverse; `ss_no` counts half somersaults, `tw_no` half twists.
    """

    number: str
    position: int
    armstand: bool
    rotation_type: int
    ss_no: int
    tw_no: int
    difficulty: float

    @property
    def turns_clockwise(self) -> bool:
        """Whether the somersault is clockwise for a viewer who sees the water right of the board."""
        return self.rotation_type in (FORWARD, BACK)

    @property
    def faces_water(self) -> bool:
        """Whether the diver stands (before an armstand is turned over) with the chest towards the water."""
        return self.rotation_type in (FORWARD, REVERSE)

    @property
    def head_first(self) -> bool:
        """Whether the hands enter the water first."""
        return (self.ss_no + self.armstand) % 2 == 1


def _read_dive_numbers(path: Path) -> dict[str, DiveNumber]:
    """Read the difficulties that the 1,412 dives of MTL-AQA were given (Parmar and Morris, CVPR 2019).

    A number dived from several heights has several difficulties; the lower median stands for all.
    """
    with path.open(newline="") as file:
        return {
            row["dive_number"]: DiveNumber(
                number=row["dive_number"],
                position=int(row["position"]),
                armstand=row["armstand"] == "1",
                rotation_type=int(row["rotation_type"]),
                ss_no=int(row["ss_no"]),
                tw_no=int(row["tw_no"]),
                difficulty=median_low(float(value) for value in row["difficulties"].split()),
            )
            for row in csv.DictReader(file)
        }


DIVES = _read_dive_numbers(Path(__file__).with_name("dive_numbers.csv"))
"""Every dive number of MTL-AQA."""


@dataclass(frozen=True)
class Faults:
    """How far a dive falls short, each fault from 0 (none) to 1 (as bad as it is drawn)."""

    tilt: float = 0.0  # over- or under-rotated: enters off vertical
    splash: float = 0.0
    loose: float = 0.0  # an open tuck or pike, a bent free position
    knees: float = 0.0  # bent where they should be straight
    legs: float = 0.0  # apart
    distance: float = 0.0  # too far from the board

    def execution(self) -> float:
        """Return the mark from 0 to 10 that an exact judge gives."""
        return 10.0 - sum(weight * float(getattr(self, fault)) for fault, weight in DEDUCTIONS.items())


DEDUCTIONS = {"tilt": 3.0, "splash": 2.2, "loose": 1.8, "knees": 1.1, "legs": 1.1, "distance": 0.8}
"""Marks that each fault at its worst takes off; together all ten."""


def faults_for(execution: float, rng: Generator) -> Faults:
    """Draw faults that add up to this execution, 0 to 10.

    One generator state gives one mixture of faults: asking it for a lower execution makes each of them worse.
    """
    if not 0 <= execution <= 10:
        raise ValueError(f"execution is {execution}, and marks go from 0 to 10")
    mixture = rng.uniform(0.4, 1.0, len(DEDUCTIONS))
    weights = np.array(list(DEDUCTIONS.values()))
    low, high = 0.0, 1.0 / float(mixture.min())
    for _ in range(50):  # bisection: faults saturate at 1, so their sum has no closed inverse
        middle = (low + high) / 2
        if weights @ np.minimum(1, middle * mixture) < 10 - execution:
            low = middle
        else:
            high = middle
    return Faults(**dict(zip(DEDUCTIONS, np.minimum(1, low * mixture).tolist(), strict=True)))


def marks(execution: float, rng: Generator) -> tuple[float, ...]:
    """Return the seven judges' marks: half points from 0 to 10 around the execution."""
    opinions = execution + rng.normal(0, _JUDGE_SPREAD, JUDGES)
    return tuple(float(mark) for mark in np.clip(np.round(opinions * 2) / 2, 0, 10))


def points(judged: tuple[float, ...], difficulty: float) -> float:
    """Return the dive's points: the middle three of seven marks, summed, times the difficulty.

    World Aquatics' rule for individual events with seven judges; it holds for 1,385 of MTL-AQA's 1,412 dives.
    """
    if len(judged) != JUDGES:
        raise ValueError(f"{len(judged)} marks, and the rule wants {JUDGES}")
    return round(sum(sorted(judged)[2:5]) * difficulty, 2)
