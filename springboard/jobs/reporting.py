"""The worker's reports, on a thread of their own: no job waits for them."""

import logging
import os
import secrets
import socket
import threading
from collections import deque
from itertools import islice
from urllib.parse import quote

import httpx

from springboard.jobs.report import EVERY_SECONDS, MOST_ENDED, MOST_KEPT, NAME, Ended, Report

log = logging.getLogger("springboard.jobs")


class Reports:
    """Tells the front what ended. A front that is away is told later, the latest of it."""

    def __init__(self, front: str, token: str, endpoint: str) -> None:
        """`front` and `token` as for `Asking`; begins with `start`."""
        self._path = f"/endpoints/{quote(endpoint)}/{NAME}"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(base_url=front, headers=headers, trust_env=False, timeout=5)
        self._name = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._kept: deque[Ended] = deque(maxlen=MOST_KEPT)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._added = 0
        self._away = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, ended: Ended) -> None:
        """Keep this for the next report."""
        with self._lock:
            self._kept.append(ended)
            self._added += 1

    def stop(self) -> None:
        """Tell what is left, if the front takes it."""
        self._stopping.set()
        self._thread.join(10)
        self._client.close()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS if self._told() else 0):
            pass
        self._told()

    def _told(self) -> bool:
        """Report; return whether that was all for now."""
        with self._lock:
            ended = tuple(islice(self._kept, MOST_ENDED))
            before = self._added
        body = Report(worker=self._name, ended=ended).model_dump_json()
        try:
            answer = self._client.post(self._path, content=body, headers={"Content-Type": "application/json"})
            answer.raise_for_status()
        except httpx.HTTPError as error:
            if not self._away:
                log.warning("the front takes no reports of jobs, so metrics lack them for now: %s", error)
            self._away = True
            return True
        self._away = False
        with self._lock:
            # Those beyond its length pushed as many of the told ones out.
            for _ in range(min(len(ended), len(self._kept) - (self._added - before))):
                self._kept.popleft()
        return len(ended) < MOST_ENDED
