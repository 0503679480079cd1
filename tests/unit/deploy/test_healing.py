"""An instance that runs without workers is restarted; one that may still get them is not."""

from pathlib import Path

import pytest

from springboard.deploy import healing
from springboard.deploy import units as services
from springboard.deploy.instances import Instance
from springboard.deploy.layout import Layout
from springboard.torchserve.management import NO_WORKERS, Workers

READY = Workers(frozenset({7}), 1, 1)
DYING = Workers(frozenset(), 1, 1)


class Ward:
    """One instance, what TorchServe tells of it, and how often it was restarted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.tells, self.runs, self.restarts = 0.0, READY, True, 0
        self.file = folder / "run/workerless.json"
        self.instance = Instance(Layout(folder), "1.0.0_abc1234")
        self.instance.folder.mkdir(parents=True)
        (self.instance.folder / "torchserve.env").touch()
        monkeypatch.setattr(services, "running", lambda _: self.runs)
        monkeypatch.setattr(services, "restart", self._restart)
        self.asks = Instance.workers
        monkeypatch.setattr(Instance, "workers", lambda _: self.tells)
        for clock in ("time", "monotonic"):
            monkeypatch.setattr(f"springboard.deploy.healing.time.{clock}", lambda: self.now)
        monkeypatch.setattr("springboard.deploy.healing.time.sleep", self._sleep)

    def _restart(self, _: str) -> None:
        self.restarts += 1

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def heal(self, tells: Workers | None, at: float) -> int:
        """Heal at this time, and return how many restarts there were in all."""
        self.tells, self.now = tells, at  # type: ignore[assignment] # None: it does not answer
        healing.heal(self.file, [self.instance], lambda _: None)
        return self.restarts


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    return Ward(tmp_path, monkeypatch)


def test_one_without_any_worker_is_restarted_at_once(ward: Ward) -> None:
    assert ward.heal(NO_WORKERS, at=1000) == 1


def test_one_whose_workers_die_is_restarted_when_torchserve_has_given_them_up(ward: Ward) -> None:
    assert [ward.heal(DYING, at) for at in (1000, 1060, 1300)] == [0, 0, 0]
    assert ward.heal(DYING, 1331) == 1
    assert ward.heal(DYING, 1391) == 1, "counted anew"


def test_one_that_was_ready_meanwhile_is_left_alone(ward: Ward) -> None:
    assert [ward.heal(tells, at) for tells, at in ((DYING, 1000), (READY, 1060), (DYING, 1400))] == [0, 0, 0]


def test_one_that_does_not_answer_or_does_not_run_is_left_to_others(ward: Ward) -> None:
    assert ward.heal(None, 1000) == 0
    ward.runs = False
    assert [ward.heal(DYING, at) for at in (1000, 1400)] == [0, 0]


def test_a_damaged_memory_is_begun_anew(ward: Ward) -> None:
    ward.file.parent.mkdir()
    ward.file.write_text("[]")
    assert [ward.heal(DYING, at) for at in (1000, 1331)] == [0, 1]


def test_one_whose_files_are_damaged_is_told_and_keeps_no_other_from_being_healed(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Instance(Layout(ward.file.parents[1]), "0.9.0_abc1234")
    broken.folder.mkdir(parents=True)
    (broken.folder / "torchserve.env").write_text("damaged")

    def ask(one: Instance) -> Workers | None:
        return ward.asks(one) if one.name == broken.name else ward.tells

    monkeypatch.setattr(Instance, "workers", ask)
    ward.tells, ward.now, said = NO_WORKERS, 1000, list[str]()
    healing.heal(ward.file, [broken, ward.instance], said.append)
    assert ward.restarts == 1
    assert "names no addresses" in said[0]
