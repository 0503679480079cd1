"""Remembers what was answered and takes truths: a thread of its own writes, and nobody waits for it."""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from springboard.endpoint.truth import Truth
from springboard.front.truth.figures import LiveFigures, live_figures
from springboard.front.truth.lines import NoTruth, Told, read_ground_truth
from springboard.front.truth.store import Answered, Matched, Outcome, TruthStore
from springboard.jobs.opening import state_folder
from springboard.jobs.store import Store, StoreAway

log = logging.getLogger("springboard.front")

# What waits to be written while the disk is slow; beyond it answers are dropped, and counted.
_MOST_WAITING = 10_000
_WRITE_SECONDS = 0.5


class LedgerAway(Exception):
    """The file that remembers cannot be used; the message says why."""


@dataclass(frozen=True)
class Counting:
    """What is called with what happens: `count` with an outcome, `judged` with an answer that got a truth."""

    count: Callable[[str], None]
    judged: Callable[[Matched], None]


class Ledger:
    """Off until `use`. `remember` never blocks; `tell` does. May be used from several threads."""

    def __init__(self, counting: Counting, objects: Store | None = None) -> None:
        """`objects`: where ground truth is read from."""
        self._counting = counting
        self._objects = objects or Store()
        self._settings: Truth | None = None
        self._endpoint = ""
        self._waiting: deque[Answered] = deque()
        self._lock = threading.Lock()
        self._store: TruthStore | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked = 0.0
        self._told = ""
        self.figures: dict[str, LiveFigures] = {}

    @property
    def on(self) -> bool:
        """Whether truths are taken."""
        return self._settings is not None

    def use(self, settings: Truth | None, endpoint: str) -> None:
        """Do so from now on; None: no more."""
        with self._lock:
            if (settings, endpoint) == (self._settings, self._endpoint):
                return
            self._settings, self._endpoint, self._looked = settings, endpoint, 0.0
            if self._store:
                self._store.close()
            self._store, self.figures = None, {}
            if settings and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="truth", daemon=True)
                self._thread.start()

    def remember(self, answered: Answered) -> None:
        """Remember an answer, a moment later."""
        if self._settings is None:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._counting.count("dropped")
            return
        self._waiting.append(answered)

    def tell(self, told: list[Told]) -> list[Outcome]:
        """Join truths with answers, those of this moment too; raise `LedgerAway`."""
        with self._lock:
            try:
                return self._tell(self._opened(), told)
            except (sqlite3.Error, OSError) as error:
                raise LedgerAway(str(error)) from error

    def close(self) -> None:
        """Write what waits, and end."""
        self._ended.set()
        if self._thread:
            self._thread.join(5)
        with self._lock:
            if self._store:
                self._store.close()
            self._store, self._settings = None, None

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(_WRITE_SECONDS)
            self._once()

    def _once(self) -> None:
        settings = self._settings
        if settings is None:
            return
        try:
            with self._lock:
                self._opened()
            if settings.ground_truth and time.monotonic() >= self._looked:
                self._looked = time.monotonic() + settings.look_seconds
                self._look(settings, settings.ground_truth)
        except (sqlite3.Error, OSError, StoreAway) as error:
            self._say(f"answers and truths wait: {error}")
        except Exception:
            log.exception("a bug of ours with truths")
        else:
            self._told = ""

    def _say(self, what: str) -> None:
        if what != self._told:
            self._told = what
            log.warning("%s", what)

    def _opened(self) -> TruthStore:
        """Return the store with all that waited in it."""
        if self._settings is None:
            raise OSError("truth is switched off")
        if self._store is None:
            folder = Path(self._settings.folder) if self._settings.folder else state_folder() / "truth"
            self._store = TruthStore(folder / self._endpoint, self._settings.max_answers)
            self._figure(self._store)
        if batch := list(self._waiting):
            self._store.remember(batch)
            for _ in batch:
                self._waiting.popleft()
        return self._store

    def _tell(self, store: TruthStore, told: list[Told]) -> list[Outcome]:
        outcomes, matched = store.tell(told)
        for outcome in outcomes:
            self._counting.count(outcome)
        for one in matched:
            self._counting.judged(one)
        if any(outcome in ("matched", "corrected") for outcome in outcomes):
            self._figure(store)
        return outcomes

    def _figure(self, store: TruthStore) -> None:
        window = self._settings.window if self._settings else 1
        self.figures = {release: live_figures(pairs) for release, pairs in store.pairs(window).items()}

    def _look(self, settings: Truth, place: str) -> None:
        since = datetime.now(UTC) - timedelta(hours=settings.look_back_hours)
        for name in self._objects.below(place, f"{since:%Y/%m/%d/%H}"):
            if self._ended.is_set():
                return
            if name.endswith(".jsonl"):
                self._read(place, name)

    def _read(self, place: str, name: str) -> None:
        with self._lock:
            if self._opened().has_read(f"{name} {place}"):
                return
        content = self._objects.get(f"{place.rstrip('/')}/{name}")
        told, unusable = list[Told](), list[NoTruth]()
        for one in read_ground_truth(content or b""):
            (unusable if isinstance(one, NoTruth) else told).append(one)  # type: ignore[arg-type] # by its kind
        if unusable:
            log.warning("%s: %d lines are no truth; %s", name, len(unusable), unusable[0])
        with self._lock:
            self._tell(self._opened(), told)
            self._opened().was_read(f"{name} {place}")
        for _ in unusable:
            self._counting.count("unusable")
