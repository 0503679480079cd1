"""Instances: one release in one TorchServe under systemd, with a folder of its own.

An instance is never edited: what configures it is in its name, so a changed configuration is another one.
"""

import json
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from springboard.deploy import units as services
from springboard.deploy.layout import Layout
from springboard.endpoint.document import Served
from springboard.releases.manifest import Golden
from springboard.torchserve import management, settings, transport
from springboard.torchserve.client import predictions_url
from springboard.torchserve.management import NO_WORKERS, Workers
from springboard.torchserve.starting import NotStarted, wait_ready

_ANSWER_SECONDS = 60.0
# One that had to be started again this often while loading will not load.
_PATIENCE_RESTARTS = 2
# As assemble.py names those that have a layout's mark.
_MARKED = re.compile(r"_[0-9a-f]{7}(?P<mark>-\d+)$")


class InstanceError(Exception):
    """An instance cannot be made, does not start, or does not score as it should; the message says why."""


class Instance:
    """One instance on this host, running or not."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.name = name
        self.version = name.rpartition("_")[0]
        self.folder = layout.instances / name
        self._drop_in = layout.unit.parent / f"{services.unit(name)}.d"

    @property
    def _listens(self) -> dict[str, str]:
        """Where it listens: at sockets, or at ports if an earlier version of this program made it."""
        try:
            lines = (self.folder / "torchserve.env").read_text().splitlines()
            return settings.listens(dict(line.split("=", 1) for line in lines))
        except (OSError, KeyError, ValueError) as error:
            raise InstanceError(f"{self.folder}/torchserve.env names no addresses") from error

    @property
    def exists(self) -> bool:
        """Whether its folder is there, whole."""
        return (self.folder / "torchserve.env").is_file()

    @property
    def reached(self) -> Served:
        """Return where it is asked, and nothing else of it."""
        if not self.exists:
            raise InstanceError(
                f"{self.folder} is gone. Stop {services.unit(self.name)}, remove deployment.json beside it, "
                f"and run: springboard deploy {self.version}"
            )
        at = self._listens
        return Served(
            release=self.version,
            address=at["inference"],
            management=at["management"],
            metrics=at["metrics"],
        )

    @property
    def served(self) -> Served:
        """Return it as the front knows it."""
        reached = self.reached
        try:
            told = json.loads((self.folder / "served.json").read_text())
            return Served.model_validate({**reached.model_dump(), **told})
        except (OSError, ValueError, TypeError) as error:
            raise InstanceError(f"{self.folder}/served.json is damaged: {error}") from error

    def workers(self) -> Workers | None:
        """Return its workers as TorchServe tells of them, None until it answers."""
        return management.ask(self.reached)

    def ready(self) -> bool:
        """Whether every worker has loaded the model."""
        workers = self.workers()
        return workers is not None and workers.complete

    def start(self, timeout_s: float, ask: Callable[[], None] = lambda: None) -> None:
        """Start it and return when it is ready; raise `InstanceError` with its log's word if it cannot be.

        `ask` is called while it waits, and may raise.
        """
        began = time.time()
        services.start(self.name)
        before = services.restarts(self.name)

        def dying() -> str:
            ask()
            restarts = services.restarts(self.name) - before
            lives = restarts < _PATIENCE_RESTARTS and services.running(self.name)
            return "" if lives else "dies while it starts"

        try:
            wait_ready(
                self.version,
                self.workers,
                lambda: services.log(self.name, began),
                dying,
                timeout_s,
                "ready_timeout_seconds",
            )
        except NotStarted as error:
            raise InstanceError(f"{error}. {self._where}") from error

    @property
    def _where(self) -> str:
        return f"Read: {services.where(self.name)}"

    def stop(self) -> None:
        """Stop it, now and at boot."""
        services.disable(self.name)
        services.stop(self.name)

    def remove(self) -> None:
        """Stop it and remove its folder, and what playbooks/roles/torchserve left an old one of its own."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self._drop_in, ignore_errors=True)

    def warm_up(self, clip: bytes, golden: Golden) -> float:
        """Have every worker score the golden clip, and return its score; raise unless it is the manifest's.

        It goes straight to the instance: nobody's traffic is there yet.
        """
        workers = max((self.workers() or NO_WORKERS).total, 1)
        with ThreadPoolExecutor(workers) as threads:
            # Twice each: TorchServe gives a request to whichever worker asks first.
            scores = list(threads.map(self._score, [clip] * (2 * workers)))
        return self._judged(scores, golden)

    def check(self, clip: bytes, golden: Golden) -> float:
        """Have the golden clip scored once, beside callers' traffic; as `warm_up` otherwise."""
        return self._judged([self._score(clip)], golden)

    def _judged(self, scores: list[float], golden: Golden) -> float:
        for score in scores:
            if not abs(score - golden.score) <= golden.tolerance:  # nor is nan within it
                raise InstanceError(
                    f"{self.version} gives the golden clip {score:.4f} points, and its manifest says "
                    f"{golden.score:.4f} with a tolerance of {golden.tolerance:g}"
                )
        return scores[0]

    def _score(self, clip: bytes) -> float:
        try:
            answer = transport.request(
                "POST",
                predictions_url(self.reached),
                content=clip,
                headers={"Content-Type": "application/octet-stream"},
                timeout=_ANSWER_SECONDS,
            )
            return float(answer.raise_for_status().json()["score"])
        except httpx.HTTPStatusError as error:
            said = f"{error.response.status_code} {' '.join(error.response.text.split())[:300]}"
            raise InstanceError(
                f"{self.version} does not score its golden clip: {said}. {self._where}"
            ) from error
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise InstanceError(
                f"{self.version} does not score its golden clip: {type(error).__name__}. {self._where}"
            ) from error


def every(layout: Layout) -> list[Instance]:
    """Return the instances of one endpoint on this host, by name; others' are beside them."""
    return [Instance(layout, name) for name in names(layout) if _mark(name) == layout.mark]


def names(layout: Layout) -> list[str]:
    """Return the names of all instances on this host, whosever they are."""
    return sorted(path.name for path in layout.instances.iterdir()) if layout.instances.is_dir() else []


def _mark(name: str) -> str:
    found = _MARKED.search(name)
    return found["mark"] if found else ""
