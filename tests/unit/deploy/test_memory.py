"""Whether a second release fits beside the one that runs, by what processes have and what is free."""

import os

import pytest

from springboard.deploy import memory
from springboard.deploy.instances import Instance
from springboard.deploy.plan import RolloutError
from springboard.deploy.settings import ShadowRule
from springboard.system import gpu
from springboard.torchserve.management import Workers
from tests.unit.deploy.conftest import Bench


def test_two_that_do_not_fit_into_memory_are_refused_and_go_in_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.rollout().deploy("1.0.0")
    monkeypatch.setattr(memory, "used", lambda _: 2_000_000_000)
    monkeypatch.setattr(memory, "available", lambda: 2_500_000_000)
    with pytest.raises(RolloutError, match=r"the memory does not hold two releases.*2,600 MB.*--in-place"):
        bench.rollout().deploy("1.1.0")
    assert bench.consistent("1.0.0")
    monkeypatch.setattr(memory, "available", lambda: 2_700_000_000)
    monkeypatch.setattr(Instance, "workers", lambda _: Workers(ready=frozenset(), total=1, batch_size=1))
    two = bench.host.worker.model_copy(update={"workers": 2})
    with pytest.raises(RolloutError, match=r"the memory does not hold two releases.*5,200 MB"):
        bench.rollout(worker=two).deploy("1.1.0")
    monkeypatch.setattr(gpu, "memory", lambda _: [(10_000_000_000, 5_000_000_000)])
    with pytest.raises(RolloutError, match="memory of GPU 0 does not hold two"):
        bench.rollout().deploy("1.1.0")
    bench.fails_at = "ready 1.1.0"
    with pytest.raises(RolloutError, match=r"1\.0\.0 serves: its weights are missing"):
        bench.rollout().deploy("1.1.0", in_place=True)
    assert bench.consistent("1.0.0")
    assert bench.rollout().deploy("1.1.0", in_place=True)
    assert bench.consistent("1.1.0")
    assert len(bench.running) == 1
    with pytest.raises(RolloutError, match="--in-place"):
        bench.rollout().rollback()
    assert bench.rollout().rollback(in_place=True)
    assert bench.consistent("1.0.0")


def test_memory_holds_as_many_more_as_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "used", lambda _: 1_000_000_000)
    monkeypatch.setattr(memory, "available", lambda: 3_000_000_000)
    monkeypatch.setattr(gpu, "memory", lambda _: [])
    assert [memory.holds([[1]], more) for more in (1, 2, 3)] == [True, True, False]
    monkeypatch.setattr(gpu, "memory", lambda _: [(5e9, 6e9)])
    assert [memory.holds([[1]], more) for more in (1, 2)] == [True, False]


def test_a_shadow_that_runs_already_needs_no_more_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.rollout().deploy("1.0.0")
    bench.rollout().deploy("1.1.0")  # 1.0.0 stays warm
    monkeypatch.setattr(memory, "used", lambda _: 2_000_000_000)
    monkeypatch.setattr(memory, "available", lambda: 500_000_000)
    assert bench.rollout(shadow=ShadowRule(release="1.0.0")).deploy(None)
    assert len(bench.running) == 2
    with pytest.raises(RolloutError, match="without its shadow: the memory does not hold two releases"):
        bench.rollout(shadow=ShadowRule(release="1.2.0")).deploy(None)


def test_memory_is_measured(bench: Bench) -> None:
    assert memory.used([os.getpid()]) > 10_000_000
    assert memory.used([2**22 + 1]) == 0  # it has ended
    assert memory.available() > 10_000_000
