"""On a developer's machine: nobody else gives TorchServe orders, and it reaches nobody."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from springboard.torchserve.management import NO_WORKERS
from tests.serving.front.conftest import Stage

pytestmark = pytest.mark.xdist_group("front")


def test_its_sockets_lie_where_nobody_else_may_enter(stage: Stage) -> None:
    for address in (stage.stable.served.address, stage.stable.served.management, stage.stable.served.metrics):
        socket = Path(address.removeprefix("unix:"))
        assert socket.is_socket()
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert socket.parent.stat().st_uid == os.getuid()


def test_workers_have_no_network(stage: Stage) -> None:
    (pid,) = (stage.canary.workers() or NO_WORKERS).ready
    if subprocess.run(["unshare", "--user", "--net", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody make namespaces")
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    interfaces = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    assert [line.partition(":")[0].strip() for line in interfaces] == ["lo"]
