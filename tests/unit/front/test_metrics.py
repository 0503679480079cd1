"""What the front counts is such that Prometheus' rate() and increase() can be believed."""

import json
from typing import Any, cast

from springboard.front.metrics.record import Metrics
from springboard.front.scheduling.dispatch import Scored
from springboard.torchserve.client import Answer


class _Idle:
    """A front without lanes or requests."""

    def __getattr__(self, _: str) -> Any:
        return _Idle()

    def __call__(self, *_: Any) -> Any:
        return _Idle()

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Any:
        return iter(())

    def __float__(self) -> float:
        return 0.0


def metrics() -> Metrics:
    one = Metrics(cast(Any, _Idle()))
    one.expect("dives", "canary", "1.1.0")
    return one


def test_failures_start_at_0() -> None:
    lines = metrics().page("")[0].decode().splitlines()
    assert 'springboard_attempts_total{outcome="worker_died",release="1.1.0",variant="canary"} 0.0' in lines
    of = 'springboard_requests_total{endpoint="dives",outcome="failed",'
    assert f'{of}release="1.1.0",status="503",variant="canary"}} 0.0' in lines
    assert f'{of}release="",status="429",variant=""}} 0.0' in lines


def test_the_sum_of_scores_never_falls() -> None:
    one = metrics()
    for points in (60.0, -3.0):
        answer = Answer(200, json.dumps({"score": points}).encode(), {})
        assert one.record_answer(Scored(answer, "canary", "1.1.0", 0.0), None) == points
    lines = one.page("")[0].decode().splitlines()
    assert 'springboard_score_points_sum{release="1.1.0",variant="canary"} 60.0' in lines
    assert 'springboard_score_points_count{release="1.1.0",variant="canary"} 2.0' in lines
