"""Clients that post one video over and over, each as soon as it has its answer."""

import statistics
import threading
import time
from dataclasses import dataclass, field

import httpx

SCORED = "scored"


@dataclass
class Load:
    """What some clients got: seconds of each good answer, failures by what was said, seconds in all."""

    clients: int
    seconds: float = 0.0
    spent: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, float | int | dict[str, int]]:
        """Return quantiles in seconds, and good answers a second."""
        ordered = sorted(self.spent)
        quantiles = statistics.quantiles(ordered, n=100) if len(ordered) > 1 else ordered * 99
        names = {"p50_s": 49, "p95_s": 94, "p99_s": 98}
        return {
            "clients": self.clients,
            "requests": len(ordered),
            **{name: round(quantiles[at], 4) for name, at in names.items() if quantiles},
            "rate_per_s": round(len(ordered) / self.seconds, 4),
            "failed": self.failed,
        }


def drive(url: str, video: bytes, clients: int, requests: int) -> Load:
    """Post `requests` videos in all from so many clients."""
    load, lock, left = Load(clients), threading.Lock(), iter(range(requests))

    def client() -> None:
        with httpx.Client(timeout=300, trust_env=False) as session:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                began = time.perf_counter()
                try:
                    said = _said(session.post(url, content=video))
                except httpx.HTTPError as error:
                    said = type(error).__name__
                took = time.perf_counter() - began
                with lock:
                    if said == SCORED:
                        load.spent.append(took)
                    else:
                        load.failed[said] = load.failed.get(said, 0) + 1

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
    return SCORED if "score" in answer.json() else "no score"
