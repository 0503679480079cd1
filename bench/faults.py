"""What a server loses: its worker killed under load, callers that leave, a file that is no video."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from bench import machine
from bench.contenders import Request
from bench.load import Load, drive

_CLIENTS, _GONE = 8, 8
_TRIES = 3
_BACK_SECONDS = 60.0
# What is lost is never answered by some.
_PATIENCE_SECONDS = 60.0


def lost(pid: int, url: str, request: Request, garbage: Request, each_s: float) -> dict[str, Any]:
    """Return what went wrong for whom; `each_s` is what a video takes. The server may be dead afterwards."""
    found: dict[str, Any] = {
        "gone": callers_gone(url, request),
        "garbage": with_garbage(url, request, garbage),
    }
    found["killed"] = worker_killed(pid, url, request, each_s)
    return found


def worker_of(pid: int) -> int:
    """Return the process that scores: the largest of those that have torch loaded."""
    sizes: dict[int, int] = {}
    for one in machine.group_of(pid):
        with suppress(psutil.Error, OSError):
            if "libtorch_cpu" in Path(f"/proc/{one.pid}/maps").read_text():
                sizes[one.pid] = one.memory_info().rss
    return max(sizes, key=sizes.__getitem__)


def worker_killed(pid: int, url: str, request: Request, each_s: float) -> dict[str, Any]:
    """Kill -9 it at eight clients; returns what failed, and after how long a video is scored again."""
    body, kind = request
    said: list[Load] = []
    load = threading.Thread(
        target=lambda: said.append(
            drive(url, body, _CLIENTS, 4 * _CLIENTS, kind=kind, patience_s=_PATIENCE_SECONDS)
        )
    )
    load.start()
    time.sleep(1.5 * each_s)  # in the middle of a video
    began = time.perf_counter()
    os.kill(worker_of(pid), signal.SIGKILL)
    load.join()
    back = [ended - began for ended in said[0].ended if ended > began]
    end = time.perf_counter() + _BACK_SECONDS
    while not back and time.perf_counter() < end:
        if drive(url, body, 1, 1, kind=kind, patience_s=_BACK_SECONDS).spent:
            back.append(time.perf_counter() - began)
        else:
            time.sleep(0.2)
    return {
        "failed": said[0].failed,
        "scored": len(said[0].spent),
        "back_s": round(min(back), 2) if back else None,
    }


def callers_gone(url: str, request: Request) -> dict[str, Any]:
    """Let callers send a video each and leave; returns how long the next one waits, and alone, in seconds.

    One that is refused tries again, and what it waits counts.
    """
    body, kind = request
    alone = drive(url, body, 1, 3, kind=kind)
    address, path = url.removeprefix("http://").split("/", 1)
    host, port = address.split(":")
    said = {"Host": address, "Content-Type": kind, "Content-Length": len(body)}
    lines = (f"{name}: {value}" for name, value in said.items())
    head = "\r\n".join([f"POST /{path} HTTP/1.1", *lines, "", ""])
    for _ in range(_GONE):
        with socket.create_connection((host, int(port)), timeout=60) as caller:
            caller.sendall(head.encode() + body)
            time.sleep(0.02)  # taken in, and then the caller leaves
    began = time.perf_counter()
    after = drive(url, body, 1, _TRIES, kind=kind)
    waited = after.ended[0] - began if after.ended else None
    return {"alone_s": min(alone.spent, default=None), "next_s": waited}


def with_garbage(url: str, request: Request, garbage: Request) -> dict[str, Any]:
    """Send garbage among eight clients' videos; returns what failed of theirs, and what it was answered."""
    said: list[Load] = []
    load = threading.Thread(
        target=lambda: said.append(drive(url, request[0], _CLIENTS, 2 * _CLIENTS, kind=request[1]))
    )
    load.start()
    bad = drive(url, garbage[0], 1, 6, kind=garbage[1])
    load.join()
    return {"failed": said[0].failed, "scored": len(said[0].spent), "answered": bad.failed}
