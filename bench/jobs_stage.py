"""What jobs pass, each a process of its own that is killed, cut off or refused while they do."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from springboard.endpoint.asynchronous import Async
from springboard.jobs.local import LocalQueue
from springboard.jobs.opening import open_queue
from springboard.jobs.sqs import SqsQueue
from springboard.system.processes import Child
from springboard.torchserve.process import TorchServe
from tests.stands.cloud import cloud, environment
from tests.stands.front import SPRINGBOARD, write_endpoint
from tests.stands.handover import Systemd
from tests.stands.release import build_puppet
from tests.stands.seaweedfs import seaweedfs

ENDPOINT = "dive-scoring"
LEASE_SECONDS, AWAY_SECONDS = 4.0, 20.0
_MAY = ["Read:dives", "List:dives", "Read:scores", "Write:scores", "List:scores"]
_NOBODY_WRITES = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:PutObject",
    "Resource": "arn:aws:s3:::scores/*",
}
# Held by a process of its own: two builds of SQLite in one undo each other's locks.
_HOLD = """
import sqlite3, sys, time
with sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None) as db:
    db.execute("BEGIN EXCLUSIVE")
    time.sleep(float(sys.argv[2]))
    db.execute("ROLLBACK")
"""


class Gate:
    """A port that leads to another, until it is shut: then nobody is let in, and who was is cut off."""

    def __init__(self, port: int) -> None:
        """`port`, of this machine, is where it leads to."""
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listening.getsockname()[1])
        self.shut = False
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Lead nowhere any more."""
        self.shut = True
        self._listening.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self._listening.accept()
                if self.shut:
                    one.close()
                    continue
                other = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._join, args=(one, other), daemon=True).start()

    def _join(self, one: socket.socket, other: socket.socket) -> None:
        with one, other, suppress(OSError):
            while not self.shut:
                for ready in select.select([one, other], [], [], 0.2)[0]:
                    if not (some := ready.recv(65536)):
                        return
                    (other if ready is one else one).sendall(some)


@dataclass
class Stage:
    """All of it. Faults are methods by their names, and `queue_away`; each returns once it is over."""

    url: str
    settings: Async
    s3: Any
    units: dict[str, Child]
    start: dict[str, Callable[[], Child]]
    server: TorchServe
    queue: LocalQueue | SqsQueue
    queue_away: Callable[[], object]
    happened: Counter[str] = field(default_factory=Counter)

    def worker(self) -> None:
        """Kill `springboard work`."""
        self._kill("worker")

    def front(self) -> None:
        """Kill `springboard serve`."""
        self._kill("front")

    def torchserve(self) -> None:
        """Kill TorchServe with its workers."""
        self.server.kill()
        self.server.stop()
        self.server.start()

    def store(self) -> None:
        """Have S3 refuse every write of a result for a while."""
        policy = {"Version": "2012-10-17", "Statement": [_NOBODY_WRITES]}
        self.s3.put_bucket_policy(Bucket="scores", Policy=json.dumps(policy))
        time.sleep(AWAY_SECONDS)
        self.s3.delete_bucket_policy(Bucket="scores")

    def happen(self, fault: str) -> None:
        """Have a fault, and count it."""
        getattr(self, fault)()
        self.happened[fault] += 1

    def _kill(self, unit: str) -> None:
        self.units[unit].signal(signal.SIGKILL)
        self.units[unit].stop(0)
        self.units[unit] = self.start[unit]()


@contextmanager
def stage(kind: str, folder: Path, archive: Path | None = None, **more: Any) -> Iterator[Stage]:
    """Have it all run: `kind` of queue is `local` or `sqs`. `more` goes into endpoint.yml's `async`.

    S3 is SeaweedFS, SQS moto's. Without an archive the model is the tests' puppet, in a real TorchServe.
    """
    with ExitStack() as run:
        (folder / "s3").mkdir()
        store, s3 = run.enter_context(seaweedfs(folder / "s3", ["dives", "scores"], {"host": _MAY}))
        queue, away = _queue(kind, folder, run)
        variables = {
            "AWS_ENDPOINT_URL_S3": store,
            "AWS_ACCESS_KEY_ID": "host",
            "AWS_SECRET_ACCESS_KEY": "host-secret",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "STATE_DIRECTORY": str(folder),
        }
        run.enter_context(environment(**variables))
        settings = {"output": "s3://scores/out", "queue": queue, "lease_seconds": LEASE_SECONDS, **more}
        server = TorchServe(archive or build_puppet(folder / "puppet", workers=2))
        server.start()
        run.callback(server.stop)
        server.wait_ready()
        file = write_endpoint(
            folder / "endpoint.yml",
            [("only", server, 1)],
            allowed_buckets=["dives"],
            **{"async": settings},
        )
        manager = Systemd(folder)
        run.callback(manager.close)
        log = run.enter_context((folder / "log").open("ab"))
        working = [str(SPRINGBOARD), "work", "--endpoint-file", str(file), "--front", manager.url]

        def front() -> Child:
            begun = manager.start("--endpoint-file", file, stderr=log)
            manager.wait_told("READY=1")
            return begun

        start: dict[str, Callable[[], Child]] = {
            "front": front,
            "worker": lambda: Child(working, env=dict(os.environ), stderr=log),
        }
        units: dict[str, Child] = {}
        for name, begin in start.items():
            units[name] = begin()
        run.callback(_stop, units)
        jobs = open_queue(Async.model_validate(settings), ENDPOINT)
        run.callback(jobs.close)
        yield Stage(manager.url, Async.model_validate(settings), s3, units, start, server, jobs, away)


def _stop(units: dict[str, Child]) -> None:
    for unit in units.values():
        unit.stop(0)


def _queue(kind: str, folder: Path, run: ExitStack) -> tuple[str, Callable[[], object]]:
    """Return where the queue is, and what puts it out of reach for a while."""
    if kind == "local":
        database = folder / "queue" / "localqueue.db"
        command = [sys.executable, "-I", "-c", _HOLD, str(database), str(AWAY_SECONDS)]
        return f"{folder}/queue", lambda: subprocess.check_call(command)
    aws = run.enter_context(cloud())
    url, _ = aws.queue()
    parts = urlsplit(url)
    gate = Gate(parts.port or 80)
    run.callback(gate.close)

    def away() -> None:
        gate.shut = True
        time.sleep(AWAY_SECONDS)
        gate.shut = False

    return parts._replace(netloc=f"127.0.0.1:{gate.port}").geturl(), away
