"""Servers around the same core: how each is started and asked, and what it says when it is ready."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.stands.waiting import wait_until

PEERS = ROOT / "build" / "peers-venv" / "bin" / "python"
OURS, BUCKET = "springboard", "dives"
_START_SECONDS = 300.0

Request = tuple[bytes, str]
"""A body and its type."""


def raw(video: bytes) -> Request:
    """Return the video as it is."""
    return video, "application/octet-stream"


def form(video: bytes) -> Request:
    """Return a form with the video in `content`."""
    made = httpx.Request("POST", "http://any", files={"content": ("dive.mp4", video)})
    return made.read(), made.headers["Content-Type"]


@dataclass(frozen=True)
class Contender:
    """A server: its name, its command, what says that it is ready, and how a video is sent to it."""

    name: str
    command: tuple[str, ...]
    ready: str = "/ping"
    path: str = "/invocations"
    request: Callable[[bytes], Request] = raw
    slow: bool = False
    """Seconds for each video, so that few requests must do."""


def contenders(
    archive: Path, two: Path, port: int, put: Callable[[bytes], str] | None = None
) -> list[Contender]:
    """Return ours and the peers that this machine has.

    `two` is the archive with two workers. `put` puts a video into S3 and returns its key.
    """

    def ours(archive: Path) -> tuple[str, ...]:
        return (sys.executable, "-m", "springboard", "serve", "--archive", str(archive), "--port", str(port))

    def by_reference(video: bytes) -> Request:
        assert put
        place = {"bucket_name": BUCKET, "object_key": put(video)}
        return json.dumps({"aqa_data": place}).encode(), "application/json"

    def peer(name: str, module: str, path: str = "/invocations", **how: str) -> Contender:
        python = PEERS if module in ("litserve", "bentoml", "ray", "mosec") else sys.executable
        return Contender(name, (str(python), "-m", f"bench.peers.with_{module}"), path=path, **how)  # type: ignore[arg-type] # of Contender

    found = [Contender(OURS, ours(archive)), Contender(f"{OURS}, two workers", ours(two))]
    if put:
        bucket = ("--allow-bucket", BUCKET)
        found.append(Contender("springboard, from S3", (*ours(archive), *bucket), request=by_reference))
    found.append(peer("FastAPI + uvicorn", "fastapi"))
    if PEERS.exists():
        litserve = peer("LitServe", "litserve", ready="/health")
        found += [
            Contender(litserve.name, litserve.command, litserve.ready, request=form),
            peer("BentoML", "bentoml", ready="/readyz"),
            peer("Ray Serve", "ray", ready="/-/healthz"),
            peer("mosec", "mosec", "/inference", ready="/"),
        ]
    found.append(peer("TorchServe", "torchserve", "/predictions/dive"))
    published = (sys.executable, "-m", "bench.peers.with_published")
    return [*found, Contender("the published way", published, slow=True)]


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(one: Contender, port: int, environment: Mapping[str, str]) -> Iterator[tuple[int, float]]:
    """Start a server; yields its process id and the seconds until it was ready."""
    # Ray's processes end a while after their parent, and would answer for the next server.
    wait_until(lambda: not _answers(port), f"port {port} to be left by the server before", 60)
    began = time.perf_counter()
    name = "".join(letter if letter.isalnum() else "-" for letter in one.name.lower())
    log = (ROOT / "build" / f"bench-{name}.log").open("wb")
    child = Child(one.command, cwd=ROOT, env=dict(environment), stdout=log, stderr=log)

    def ready() -> bool:
        if not child.running:
            raise SystemExit(f"{one.name} did not start; {log.name} says why")
        try:
            return httpx.get(f"http://127.0.0.1:{port}{one.ready}", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        wait_until(ready, f"{one.name} to start; {log.name} may say why", _START_SECONDS)
        yield child.process.pid, time.perf_counter() - began
    finally:
        child.stop(30)
        log.close()


def reader_of(url: str) -> dict[str, str]:
    """Return what a server needs to read from an S3 at `url`, which knows the key `reader`."""
    return {
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": "reader-secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SPRINGBOARD_VIDEO_BUCKETS": BUCKET,
        "PATH": os.environ["PATH"],
    }
