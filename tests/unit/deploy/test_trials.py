"""Whole trials in time that does not pass, by code of front and deployments: bench/canary.py, in short."""

import logging
from collections.abc import Iterator

import pytest

from bench.trials import Case, trial

RULES = {"bake_seconds": 60, "step_seconds": 20}


@pytest.fixture(autouse=True)
def logs() -> Iterator[None]:
    """A trial turns logging off."""
    yield
    logging.disable(logging.NOTSET)


EQUAL = [
    Case("videos that fail everywhere", rate=8, everywhere=0.05, rules=RULES),
    Case("long videos", rate=8, everywhere=0.0, long=0.05, sigma=1.0, rules=RULES),
    Case("one caller's poisoned video", rate=8, stubborn=True, rules=RULES),
    Case("restarts", rate=8, restarts=30.0, front_restarts=20.0, rules=RULES),
    Case("half of the traffic", rate=4, weight=50, everywhere=0.05, flaky=0.02, rules=RULES),
]


@pytest.mark.parametrize("case", EQUAL, ids=lambda case: str(case.name))
def test_an_equal_release_stays(case: Case) -> None:
    assert [trial(case, seed)[0] for seed in range(2)] == ["", ""]


@pytest.mark.parametrize(
    ("case", "figure", "most"),
    [
        (Case("errors", errors=0.2, everywhere=0.05, rules=RULES), "error ratio: ", 300),
        (Case("errors", errors=0.05, weight=40, rules=RULES), "error ratio: ", 1000),
        (Case("slower", slower=1.5, weight=40, rules=RULES), ("time per clip: ", "p95: "), 1000),
        (Case("shift", shift=-8.5, weight=40, rules=RULES), "score shift: ", 1000),
    ],
    ids=["20 points more errors", "5 points more errors", "1.5 times the time", "scores off"],
)
def test_a_worse_release_goes(case: Case, figure: str | tuple[str, ...], most: int) -> None:
    for seed in range(2):
        why, attempts = trial(case, seed)
        assert why.startswith(figure)
        assert attempts <= most
