"""Clients that post one request over and over, each as soon as it has its answer, or when it is told to."""

import math
import random
import statistics
import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from springboard.servertiming import read_stages

SCORED = "scored"


@dataclass
class Load:
    """What some clients got: seconds of each good answer, failures by what was said, seconds in all.

    `ended` is when each good answer came, by `time.perf_counter`.
    """

    clients: int
    seconds: float = 0.0
    spent: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    stages: dict[str, list[float]] = field(default_factory=dict)
    scores: set[float] = field(default_factory=set)

    def figures(self) -> dict[str, Any]:
        """Return quantiles in seconds, good answers a second, and the median of each stage in ms."""
        ordered = sorted(self.spent)
        quantiles = statistics.quantiles(ordered, n=100) if len(ordered) > 1 else ordered * 99
        names = {"p50_s": 49, "p95_s": 94, "p99_s": 98}
        return {
            "clients": self.clients,
            "requests": len(ordered),
            **{name: round(quantiles[at], 4) for name, at in names.items() if quantiles},
            "rate_per_s": round(len(ordered) / self.seconds, 4),
            "failed": self.failed,
            "stages_ms": {name: round(statistics.median(spent), 2) for name, spent in self.stages.items()},
            "scores": sorted(self.scores),
        }

    def add(self, took: float, answer: httpx.Response | None, said: str) -> None:
        """Count one request: how long it took, its answer, and what `_said` makes of it."""
        if answer is None or said != SCORED:
            self.failed[said] = self.failed.get(said, 0) + 1
            return
        self.spent.append(took)
        self.ended.append(time.perf_counter())
        self.scores.add(answer.json()["score"])
        for name, spent in read_stages(answer.headers.get("Server-Timing", "")).items():
            self.stages.setdefault(name, []).append(spent)


def drive(
    url: str,
    body: bytes,
    clients: int,
    requests: int | None = None,
    *,
    seconds: float = math.inf,
    pause_s: float = 0,
    kind: str = "application/octet-stream",
    patience_s: float = 300,
) -> Load:
    """Post `requests` bodies in all from so many clients, or for so many seconds.

    `patience_s` is how long each waits for an answer, `pause_s` the mean of its pauses after one. Who was
    refused counts as failed, and comes back when the answer's Retry-After says so.
    """
    load, lock = Load(clients), threading.Lock()
    left = iter(range(requests)) if requests is not None else count()
    end = time.perf_counter() + seconds

    def client() -> None:
        with httpx.Client(timeout=patience_s, trust_env=False, headers={"Content-Type": kind}) as session:
            pause = 0.0
            while time.perf_counter() + pause < end:
                with lock:
                    if next(left, None) is None:
                        return
                time.sleep(pause)
                began, answer = time.perf_counter(), None
                try:
                    answer = session.post(url, content=body)
                    said = _said(answer)
                except httpx.HTTPError as error:
                    said = type(error).__name__
                with lock:
                    load.add(time.perf_counter() - began, answer, said)
                told = float(answer.headers.get("Retry-After", 0)) if answer is not None else 0.0
                pause = max(told, random.expovariate(1 / pause_s) if pause_s else 0.0)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - began
    return load


def _said(answer: httpx.Response) -> str:
    """Return `SCORED`, or what came instead: a status, or a body without a score under 200."""
    if answer.status_code != 200:
        return str(answer.status_code)
    try:
        return SCORED if "score" in answer.json() else "no score"
    except ValueError:
        return "no JSON"
