"""The Containerfile's image, started as an engine starts it, asked what SageMaker asks of a container.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.hosts import harness, served
from tests.hosts.once import digest, once
from tests.stands.waiting import wait_until

SCRIPT = str(harness.HERE / "image.sh")
# What `docker run IMAGE serve` waits for at most: its answer to a ping, its end after SIGTERM.
PING_SECONDS, STOP_SECONDS = "2", 30


def script(*arguments: str | Path) -> list[str]:
    return ["unshare", "--mount", SCRIPT, *map(str, arguments)]


@dataclass
class Container:
    """A running one."""

    child: Child
    config: dict[str, Any]
    log: Path

    @property
    def pid(self) -> int:
        """Return its first process, as this machine knows it."""
        return int(_children(self.child.process.pid)[0])

    def runs(self) -> bool:
        """Whether its first process is no longer the engine's, which sets it up."""
        user = self.config["User"].partition(":")[0]
        for pid in _children(self.child.process.pid):
            with suppress(OSError):  # what sets it up comes and goes
                if f"Uid:\t{user}\t" in Path(f"/proc/{pid}/status").read_text():
                    return True
        return False

    def ask(self, *arguments: str) -> tuple[int, str]:
        """Call it from within its network; return the status, 0 where nobody listens, and the body."""
        command = ["nsenter", "--net", f"--target={self.pid}", "curl", "-sS", "-w", "\n%{http_code}"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode in (0, 7), f"{arguments}: {done.stderr}"
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def ping(self) -> int:
        return self.ask("--max-time", PING_SECONDS, "http://127.0.0.1:8080/ping")[0]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture(scope="module")
def image() -> Path:
    """Return the folder of the built image; skips where it cannot be built, but not in CI."""
    missing = [tool for tool in (*harness.NEEDED, "buildah", "curl") if shutil.which(tool) is None]
    why = "images need root" if os.geteuid() else f"images need {', '.join(missing)}" if missing else ""
    if why and os.environ.get("CI"):
        pytest.fail(f"in CI, {why}")
    if why:
        pytest.skip(why)
    rootfs = harness.rootfs()
    parts = "Containerfile .dockerignore springboard model_handler requirements config.properties"
    key = digest(rootfs.name.encode(), Path(SCRIPT), *(ROOT / part for part in parts.split()))

    def build(folder: Path) -> None:
        done = subprocess.run(
            script("build", folder, rootfs), capture_output=True, text=True, check=False, timeout=3000
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-5000:]

    return once("image", key, build)


@pytest.fixture(scope="module")
def container(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """`docker run --read-only --tmpfs /tmp -v MODEL:/opt/ml/model:ro IMAGE serve`, and nothing else."""
    printed = subprocess.run(script("config", image), capture_output=True, text=True, check=True).stdout
    config = json.loads(printed)["OCIv1"]["config"]
    uid, _, gid = config["User"].partition(":")
    model = tmp_path_factory.mktemp("model")
    archive = served.archives() / "dive-1.0.0.mar"
    shutil.copy(archive, model)
    model.chmod(0o755)
    log = model.parent / "container.log"
    name = f"springboard-image-{os.getpid()}"
    command = script(
        "run", image, model, name, uid, gid, *config["Env"], "--", *config["Entrypoint"], "serve"
    )
    with log.open("w") as output:
        child = Child(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield Container(child, config, log)
    finally:
        child.stop(0)


def test_it_answers_pings_in_two_seconds_also_while_it_loads(container: Container) -> None:
    wait_until(container.runs, "the container's first process", 60)
    found = {0}

    def serves() -> bool:
        assert container.child.running, container.log.read_text()
        found.add(status := container.ping())
        return status == 200

    wait_until(serves, "/ping to be 200", 300)
    assert found <= {0, 200, 503}


def test_it_scores_a_dive(container: Container) -> None:
    manifest = json.loads((served.archives() / "dive-1.0.0.json").read_text())
    status, body = container.ask(
        "--data-binary",
        f"@{served.CLIP}",
        "-H",
        "Content-Type: video/mp4",
        "http://127.0.0.1:8080/invocations",
    )
    assert status == 200, body
    golden = manifest["golden"]
    assert json.loads(body)["score"] == pytest.approx(golden["score"], abs=golden["tolerance"])


def test_nobody_in_it_is_root_or_may_write_but_in_tmp(container: Container) -> None:
    uid, _, gid = container.config["User"].partition(":")
    first = psutil.Process(container.pid)
    inside = [first, *first.children(recursive=True)]
    for one in inside:
        status = Path(f"/proc/{one.pid}/status").read_text()
        assert f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status
        assert "CapEff:\t0000000000000000\n" in status
    assert len(inside) >= 3  # the front, Java, a worker
    search = ["find", f"/proc/{container.pid}/root/opt", f"/proc/{container.pid}/root/etc"]
    search += ["(", "-uid", uid, "-o", "-gid", gid, "-o", "-perm", "/o+w", ")", "!", "-type", "l"]
    found = subprocess.run(search, capture_output=True, text=True, check=False).stdout
    assert found == ""


def test_it_ends_in_time_after_sigterm_and_answers_what_it_had_accepted(container: Container) -> None:
    os.kill(container.pid, signal.SIGTERM)
    wait_until(lambda: container.ping() == 503, "/ping to be 503")
    assert container.child.process.wait(STOP_SECONDS) == 0, container.log.read_text()
