"""A canary's trial over time, with a front that says what it is told to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from springboard.deploy import canary
from springboard.deploy import units as services
from springboard.deploy.canary import Rejected, Trial
from springboard.deploy.figures import Sample
from springboard.deploy.instances import Instance
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Canary
from springboard.releases.manifest import ReferenceScores

NEW, OLD = ("canary", "1.1.0"), ("stable", "1.0.0")
REFERENCE = ReferenceScores(clips=100, mean=50.0, sd=10.0)
RULES = {"min_attempts": 10, "bake_seconds": 0.1, "hold_bakes": 10.0}


class Front:
    """Its figures at each look: so many attempts, and of them so many scores, since the look before."""

    def __init__(self, attempts: float, scores: float, ready: Callable[[int], float] = lambda _: 1.0) -> None:
        self._per_look = (attempts, scores)
        self._ready = ready
        self.looks = 0

    def read(self) -> Sample:
        attempts, scores = (count * self.looks for count in self._per_look)
        self.looks += 1
        counts = {"scored": scores, "unscored": attempts - scores}
        counts |= {"points": 50.0 * scores, "squares": 2600.0 * scores}
        counts |= {f"{kind}={bound}": scores for kind in ("attempt", "clip") for bound in ("1.0", "inf")}
        return Sample(0.0, True, 0.0, {NEW: self._ready(self.looks)}, {NEW: counts, OLD: counts})


class Traffic:
    """Takes any share."""

    stable = "stable"

    def __init__(self, front: Front) -> None:
        self.front = front

    def show(self, shares: object) -> bool:
        return True


Start = Callable[..., tuple[Trial, list[str]]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.setattr(canary, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(services, "running", lambda _: True)
    monkeypatch.setattr(services, "restarts", lambda _: 0)
    layout, said = Layout(Path("/nowhere")), list[str]()

    def make(front: Any, reference: ReferenceScores | None = None, **rules: Any) -> tuple[Trial, list[str]]:
        old, new = Instance(layout, "1.0.0_0000000"), Instance(layout, "1.1.0_0000000")
        traffic: Any = Traffic(front)
        return Trial(traffic, Canary(**(RULES | rules)), old, new, reference, said.append), said

    return make


def test_a_bake_ends_in_time_with_enough_traffic(start: Start) -> None:
    trial, said = start(Front(attempts=5, scores=5))
    trial.run(10, 0.1, hold=True)
    assert "holding" not in " ".join(said)


def test_too_little_traffic_is_held_and_then_refused_unless_accepted(start: Start) -> None:
    trial, said = start(Front(attempts=0.01, scores=0.01))
    with pytest.raises(Rejected, match=r"too little traffic to judge it: .*min_attempts is 10"):
        trial.run(10, 0.1, hold=True)
    assert "holding" in " ".join(said)
    trial, _ = start(Front(attempts=0.01, scores=0.01), accept_little_traffic=True)
    trial.run(10, 0.1, hold=True)
    trial, _ = start(Front(attempts=0.01, scores=0.01))
    trial.run(50, 0.1, hold=False)  # a later step


def test_it_is_held_until_the_mean_score_can_be_judged(start: Start) -> None:
    front = Front(attempts=5, scores=0.25)
    trial, said = start(front, REFERENCE, max_unscored_ratio=1.0, hold_bakes=200.0)
    trial.run(10, 0.1, hold=True)
    assert front.looks > 10 / 0.25
    assert "holding" in " ".join(said)


def test_a_figure_in_doubt_is_held_until_it_is_clear(start: Start) -> None:
    class Failing(Front):
        def read(self) -> Sample:
            """5 % of its attempts fail, and 1.5 % of the old release's, of ten times as many."""
            sample = super().read()
            new = {"handler_raised": 10.0 * self.looks}
            old = {"scored": 1970.0 * self.looks, "handler_raised": 30.0 * self.looks}
            return replace(sample, counts={NEW: sample.counts[NEW] | new, OLD: old})

    trial, said = start(Failing(attempts=190, scores=190), hold_bakes=60_000.0)
    with pytest.raises(
        Rejected, match=r"error ratio: \d+ of \d+ attempts failed \(handler_raised \d+\), \d\.\d%"
    ):
        trial.run(10, 0.001, hold=True)
    assert "in doubt, error ratio" in " ".join(said)


def test_without_ready_workers_for_long_it_goes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_DEAD_SECONDS", 0.1)
    trial, _ = start(Front(5, 5, ready=lambda look: float(look < 3)))
    with pytest.raises(Rejected, match="workers_ready: none of its workers was ready"):
        trial.run(10, 60, hold=True)


def test_a_torchserve_that_died_goes_and_the_log_is_named(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([0] + [2] * 100)
    monkeypatch.setattr(services, "restarts", lambda _: next(counts))
    trial, _ = start(Front(5, 5))
    with pytest.raises(
        Rejected, match=r"its TorchServe died 2 times; read: journalctl -u torchserve@1\.1\.0"
    ):
        trial.run(10, 60, hold=True)
