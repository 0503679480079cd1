"""What an instance says when it does not come up, or scores its golden clip wrongly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from springboard.deploy import units as services
from springboard.deploy.instances import Instance, InstanceError, every
from springboard.deploy.layout import Layout
from springboard.releases.manifest import Golden

ENVIRONMENT = "".join(
    f"TS_{name}_ADDRESS=http://127.0.0.1:{port}\n"
    for name, port in (("INFERENCE", 8080), ("MANAGEMENT", 8081), ("METRICS", 8082))
)
GOLDEN = Golden(file="g.mp4", sha256="0" * 64, score=84.0, tolerance=0.5)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    for name, answer in (("start", None), ("restarts", 7), ("running", True), ("log", [])):
        monkeypatch.setattr(services, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(Instance, "workers", lambda _: None)
    return Instance(Layout(tmp_path), "1.0.0_abc1234")


def says(instance: Instance, monkeypatch: pytest.MonkeyPatch, log: list[str], seconds: float = 0) -> str:
    monkeypatch.setattr(services, "log", lambda *_: log)
    with pytest.raises(InstanceError) as caught:
        instance.start(seconds)
    assert "journalctl -u torchserve@1.0.0_abc1234.service" in str(caught.value)
    return str(caught.value)


def test_the_first_exception_of_the_worker_is_told(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "[INFO ] W-9000-dive_1.0.0-stdout MODEL_LOG - "
    log = [
        prefix + "Traceback (most recent call last):",
        prefix + "KeyError: 'fc6.weight'",
        prefix + "RuntimeError: 500 - Unknown exception",
        "[WARN ] W-9000-dive_1.0.0 BatchAggregator - Load model failed: dive, error: Worker died.",
    ]
    assert "1.0.0 cannot be loaded: KeyError: 'fc6.weight'." in says(instance, monkeypatch, log)


def test_an_instance_that_takes_too_long_is_told_with_its_last_word(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = says(instance, monkeypatch, ["INFO x MODEL_LOG - loading", "INFO x MODEL_LOG - warming up"])
    assert "was not ready after 0 s (ready_timeout_seconds): warming up." in said


@dataclass(frozen=True)
class _Second(Layout):
    @property
    def mark(self) -> str:
        return "-2"


def test_instances_of_endpoints_beside_each_other_are_told_apart(tmp_path: Path) -> None:
    layout, second = Layout(tmp_path), _Second(tmp_path)
    for name in ("1.0.0_abc1234", "1.0.0-2_abc1234", "1.0.0_abc1234-2", "1.0.0_abc1234-22", "1.0.0-2"):
        (layout.instances / name).mkdir(parents=True)
    assert [one.name for one in every(layout)] == ["1.0.0-2", "1.0.0-2_abc1234", "1.0.0_abc1234"]
    (one,) = every(second)
    assert (one.name, one.version) == ("1.0.0_abc1234-2", "1.0.0")


def test_only_restarts_since_its_start_count(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that serves for months was started again now and then."""
    counts = iter([7, 7, 8, 9])
    monkeypatch.setattr(services, "restarts", lambda _: next(counts))
    assert "dies while it starts: its log is empty" in says(instance, monkeypatch, [], seconds=600)
    assert list(counts) == []


@pytest.mark.parametrize(
    ("scores", "good"), [((84.0, 84.5), True), ((84.0, 84.6), False), ((84.0, None), False)]
)
def test_every_worker_must_score_the_golden_clip(
    instance: Instance, monkeypatch: pytest.MonkeyPatch, scores: tuple[Any, ...], good: bool
) -> None:
    given = iter(float("nan") if score is None else score for score in scores)
    monkeypatch.setattr(Instance, "_score", lambda *_: next(given))
    if good:
        assert instance.warm_up(b"clip", GOLDEN) == 84.0
    else:
        with pytest.raises(InstanceError, match="its manifest says 84"):
            instance.warm_up(b"clip", GOLDEN)


def test_with_an_instance_goes_what_the_role_left_it(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run of configure.yml would have to remove it, and would not be unchanged."""
    for act in ("stop", "disable"):
        monkeypatch.setattr(services, act, lambda _: None)
    drop_in = tmp_path / "etc/systemd/system/torchserve@1.0.0_abc1234.service.d"
    drop_in.mkdir(parents=True)
    (drop_in / "ports.conf").touch()
    instance.remove()
    assert not drop_in.exists()


@pytest.mark.parametrize("told", ["", "{", "[]", '{"sha256": 7}'])
def test_what_an_instance_is_shown_as_may_be_damaged_where_it_is_asked_is_not(
    instance: Instance, told: str
) -> None:
    """A release that is only kept warm must not keep the one that serves from being seen to."""
    instance.folder.mkdir(parents=True)
    (instance.folder / "torchserve.env").write_text(ENVIRONMENT)
    (instance.folder / "served.json").write_text(told)
    assert instance.reached.address == "http://127.0.0.1:8080"
    with pytest.raises(InstanceError, match=r"served\.json is damaged"):
        instance.served  # noqa: B018 - reading it is what fails
