"""Waiting for a TorchServe: when it is ready, and which of its troubles ends the wait."""

from collections.abc import Callable

import pytest

from springboard.torchserve.management import NO_WORKERS, Workers
from springboard.torchserve.starting import NotStarted, wait_ready

LOADING = Workers(frozenset(), 2, 1)
HALF = Workers(frozenset({7}), 2, 1)
READY = Workers(frozenset({7, 8}), 2, 1)
DIED = "[DEBUG] W-9000 WorkerThread - thread interrupted or backend worker process died."


def wait(
    *answers: Workers | None,
    said: tuple[str, ...] = (),
    dying: Callable[[], str] = lambda: "",
    timeout_s: float = 60,
) -> str:
    """Return why it did not start, empty when it did."""
    given = iter(answers)
    try:
        wait_ready("dive-1.0.0.mar", lambda: next(given), lambda: said, dying, timeout_s, "a_setting")
    except NotStarted as error:
        return str(error)
    assert list(given) == []
    return ""


def test_it_is_ready_once_every_worker_is() -> None:
    assert wait(None, LOADING, HALF, READY) == ""


@pytest.mark.parametrize(
    ("why", "answers", "said"),
    [
        ("cannot be loaded: its log is empty", (None, NO_WORKERS), ()),
        ("cannot be loaded: [WARN ] Load model failed", (None,), ("[WARN ] Load model failed: dive",)),
        ("cannot be loaded: " + DIED, (LOADING,), (DIED,) * 4),
    ],
)
def test_a_model_that_will_not_load_is_told_at_once(
    why: str, answers: tuple[Workers | None, ...], said: tuple[str, ...]
) -> None:
    assert wait(*answers, said=said).startswith(f"dive-1.0.0.mar {why}")


def test_a_few_deaths_are_no_reason_to_give_up() -> None:
    assert wait(LOADING, READY, said=(DIED,) * 3) == ""


def test_an_end_is_told_unless_it_was_ready_before() -> None:
    assert wait(None, dying=lambda: "ended") == "dive-1.0.0.mar ended: its log is empty"
    assert wait(READY, dying=lambda: "ended") == ""


def test_the_setting_that_ended_the_wait_is_named() -> None:
    assert "was not ready after 0 s (a_setting)" in wait(LOADING, timeout_s=0)
