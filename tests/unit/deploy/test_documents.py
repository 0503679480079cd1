"""What deployments read and keep beside instances: settings, copies of releases, the lock."""

import os
import threading
from pathlib import Path

import pytest

from springboard.deploy import state as deployment
from springboard.deploy.settings import HostFileError
from springboard.deploy.settings import load as load_host
from springboard.deploy.state import Busy
from springboard.releases import copies
from tests.unit.deploy.conftest import Bench


def test_nobody_else_can_hold_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch(0o644)  # as an earlier version made it
    with deployment.alone(lock, "springboard deploy 1.0.0", wait=False):
        assert lock.stat().st_mode & 0o777 == 0o600


def test_the_lock_tells_who_holds_it_and_goes_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    said = rf"springboard deploy 1\.0\.0, process {os.getpid()}, since"
    with deployment.alone(lock, "springboard deploy 1.0.0", wait=False), pytest.raises(Busy, match=said):
        deployment.alone(lock, "another", wait=False).__enter__()
    with deployment.alone(lock, "another", wait=False), pytest.raises(Busy):
        deployment.alone(lock, deployment.TIDY, wait=False).__enter__()
    entered = threading.Event()

    def deploy() -> None:
        with deployment.alone(lock, "springboard deploy 1.1.0", wait=False):
            entered.set()

    with deployment.alone(lock, deployment.TIDY, wait=False):
        waiting = threading.Thread(target=deploy)
        waiting.start()
        assert not entered.wait(0.5)
    assert entered.wait(60)
    waiting.join()
    with deployment.alone(lock, "another", wait=False):
        pass


def test_faults_in_host_yml_are_named(tmp_path: Path) -> None:
    path = tmp_path / "host.yml"
    with pytest.raises(HostFileError, match=r"run playbooks/configure.yml"):
        load_host(path)
    path.write_text("models: s3://m\nworker: {runtime: /opt/x}\ncanary: {weight: 100}\nkeep: 1\n")
    with pytest.raises(HostFileError, match=r"canary.weight: .*less than or equal to 99") as caught:
        load_host(path)
    assert f"{path}:4: keep: Extra inputs" in str(caught.value)


def test_a_copy_of_a_release_is_whole_until_a_byte_changes(bench: Bench) -> None:
    bench.release("1.0.0")
    assert copies.is_whole(bench.layout.releases / "1.0.0", "1.0.0")
    (bench.layout.releases / "1.0.0" / "golden.mp4").write_bytes(b"y")
    assert not copies.is_whole(bench.layout.releases / "1.0.0", "1.0.0")
