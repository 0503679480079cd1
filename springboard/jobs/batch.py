"""A batch: all videos of a folder or a prefix, scored behind everybody who waits, collected into parts.

    listed ──> OUTPUT/.batch/list-N ──> jobs, so many at a time ──> OUTPUT/.batch/work/N
                                                                      └──> part-N, failures-N, .batch/done-N

All that is known of it lies in OUTPUT: whoever starts it again, on whatever machine, goes on where it was
stopped. What has a `done-N` is not looked at again.
"""

import hashlib
import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from math import ceil, log
from typing import Any
from uuid import uuid4

from springboard.jobs.drops import TTL_SECONDS, WORK_SECONDS
from springboard.jobs.job import Job
from springboard.jobs.queue import JobQueue, QueueAway
from springboard.jobs.store import Store, StoreAway

logger = logging.getLogger("springboard.jobs")

PART = 1000
# Takes the number of a part, its results and its errors, each with the video's place. Called once more with
# the same where somebody is killed; raises `StoreAway` to be called again.
Keep = Callable[[int, list[tuple[str, Any]], list[tuple[str, dict[str, Any]]]], None]
_OUT, _ERROR = ".out", "-error.out"
_LOOK_SECONDS, _AWAY_SECONDS = 1.0, 5.0
# Times are counted in steps of a tenth, so that their quantiles are known to that.
_STEP = log(1.1)


@dataclass(frozen=True)
class Form:
    """How parts are written: their files' ending and media type, a result's row, and what rows are as bytes.

    `row` raises ValueError where a result is none that a part can have.
    """

    ending: str
    media_type: str
    row: Callable[[bytes], dict[str, Any]]
    written: Callable[[list[dict[str, Any]]], bytes]


class OtherBatch(Exception):
    """The output is that of a batch of other inputs."""


@dataclass
class Tally:
    """What came of videos: seconds of work in all, and how many took how long, by steps of a tenth."""

    scored: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    times: Counter[int] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """How many are done."""
        return self.scored + self.failed.total()

    def add(self, other: "Tally") -> None:
        """Add another's."""
        self.scored += other.scored
        self.failed += other.failed
        self.seconds += other.seconds
        self.times += other.times

    def took(self, seconds: float) -> None:
        """Count how long one took from the queue to its end."""
        self.times[ceil(log(max(seconds, 0.001)) / _STEP)] += 1

    def quantile(self, share: float) -> float | None:
        """Return so many seconds were enough for this share; None before any."""
        left = share * self.times.total()
        for step in sorted(self.times):
            left -= self.times[step]
            if left <= 0:
                return float(round(1.1**step, 3))
        return None

    def written(self) -> bytes:
        """Return it as `read` reads it."""
        return json.dumps(
            {"scored": self.scored, "failed": self.failed, "seconds": self.seconds, "times": self.times}
        ).encode()

    @classmethod
    def read(cls, text: bytes) -> "Tally":
        """Read what was written."""
        told = json.loads(text)
        times = Counter({int(step): count for step, count in told["times"].items()})
        return cls(told["scored"], Counter(told["failed"]), told["seconds"], times)


@dataclass
class _Part:
    """Videos whose results lie together: those not yet on the queue, and since when others are."""

    number: int
    places: list[str]
    left: list[str]
    since: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


class Batch:
    """One batch. What it calls may block; where the queue or the store is away it waits."""

    def __init__(
        self,
        root: str,
        endpoint: str,
        queue: JobQueue,
        store: Store,
        at_once: int,
        part: int = PART,
        timeout: float = WORK_SECONDS,
        keep: Keep | None = None,
        form: Form | None = None,
    ) -> None:
        """`root`: where all of it goes; no more than `at_once` jobs are on the queue; `part` videos each.

        `timeout`: seconds of work for one. `keep` takes a part's results, whatever they are, in place of
        files below `root`, which are of `form`, else JSON lines.
        """
        self._root = root.rstrip("/")
        self._own = f"{self._root}/.batch"
        self._ends = f"{self._own}/work"  # of single jobs, until they are collected
        self._endpoint = endpoint
        self._queue = queue
        self._store = store
        self._at_once = at_once
        self._size = part
        self._timeout = timeout
        self._form = form or _JSON_LINES
        self._keep = keep or self._in_files
        self._read = bytes if keep else self._form.row
        self._parts: list[_Part] = []
        self._name = b""
        self.total = 0
        self.tally = Tally()
        self._last = time.monotonic()

    def prepare(self, source: str, places: Callable[[str], Iterable[str]]) -> None:
        """Write down what there is to do, once; `places` are those after one, of `source`.

        Raises `OtherBatch`, `StoreAway`.
        """
        known = f"{self._own}/source.json"
        if not self._store.put_new(known, source.encode()) and self._store.get(known) != source.encode():
            raise OtherBatch
        self._store.put_new(f"{self._own}/name", uuid4().hex.encode())
        self._name = self._store.get(f"{self._own}/name") or b""
        if (listed := self._store.get(f"{self._own}/listed.json")) is None:
            count = sum(1 for _ in self._store.names(self._own, ".list"))
            last = self._listed(count - 1)[-1] if count else ""
            self.total = self._size * count
            rest = iter(places(last))
            while chunk := list(islice(rest, self._size)):
                self._store.put_new(self._listing(count), json.dumps(chunk).encode())
                self.total += len(chunk)
                count += 1
            listed = json.dumps({"total": self.total, "parts": count}).encode()
            self._store.put_new(f"{self._own}/listed.json", listed)
        told = json.loads(listed)
        self.total, self._count = told["total"], told["parts"]

    def run(self, stop: threading.Event, told: Callable[[Tally], None] = lambda _: None) -> bool:
        """Have everything scored that is not yet; return whether that is all, or it was stopped.

        `told` is called with what is done so far, each second; what it raises ends this, to go on later.
        """
        done = {int(name.partition(".")[0]) for name in self._store.names(self._own, ".done")}
        for number in done:
            self.tally.add(Tally.read(self._store.get(self._done(number)) or Tally().written()))
        ahead = deque(number for number in range(self._count) if number not in done)
        self._last = time.monotonic()
        more = True
        while more and not stop.is_set():
            try:
                more = self._turn(ahead)
                pause = _LOOK_SECONDS if more else 0
            except (QueueAway, StoreAway) as error:
                logger.warning("waiting: %s", error)
                pause = _AWAY_SECONDS
            told(self._so_far())
            stop.wait(pause)
        return not more

    def _turn(self, ahead: deque[int]) -> bool:
        """Feed the queue, collect what is done; return whether there is more to do."""
        for part in list(self._parts):
            self._see(part)
        while (room := self._at_once - sum(len(part.since) for part in self._parts)) > 0:
            if not (waiting := [part for part in self._parts if part.left]):
                if not ahead:
                    break
                self._begin(ahead[0])
                ahead.popleft()
                continue
            for _ in range(min(room, len(waiting[0].left))):
                self._feed(waiting[0])
        if self._parts:
            return True
        for path in list(self._store.below(self._ends)):  # of whoever was cut off
            self._store.remove(f"{self._ends}/{path}")
        return False

    def _begin(self, number: int) -> None:
        places, there = self._listed(number), self._ended(number)
        left = [place for place in reversed(places) if self._id(place) not in there]
        self._parts.append(_Part(number, places, left))

    def _feed(self, part: _Part) -> None:
        place, now = part.left[-1], time.time()
        folder = self._work(part.number)
        self._queue.put(
            Job(
                id=self._id(place),
                endpoint=self._endpoint,
                input=place,
                received=now,
                expires=now + TTL_SECONDS,
                timeout=self._timeout,
                output=f"{folder}/{self._id(place)}{_OUT}",
                failure=f"{folder}/{self._id(place)}{_ERROR}",
            )
        )
        part.left.pop()
        part.since[self._id(place)] = time.monotonic()

    def _ended(self, number: int) -> set[str]:
        names = self._store.names(self._work(number), _OUT)
        return {name.removesuffix(_ERROR).removesuffix(_OUT) for name in names}

    def _see(self, part: _Part) -> None:
        """See which jobs of a part have ended; collect it when all have."""
        for job_id in self._ended(part.number) & part.since.keys():
            part.tally.took(time.monotonic() - part.since.pop(job_id))
        if not part.left and not part.since:
            self._collect(part)
            self._parts.remove(part)  # before anything of it goes
            for place in part.places:
                for suffix in (_OUT, _ERROR):
                    self._store.remove(f"{self._work(part.number)}/{self._id(place)}{suffix}")

    def _collect(self, part: _Part) -> None:
        results, failures = list[tuple[str, Any]](), list[tuple[str, dict[str, Any]]]()
        folder, tally = self._work(part.number), Tally(times=part.tally.times)
        for place in part.places:
            if (result := self._store.get(f"{folder}/{self._id(place)}{_OUT}")) is None:
                error = _error(self._store.get(f"{folder}/{self._id(place)}{_ERROR}"))
            else:
                try:
                    results.append((place, self._read(result)))
                    tally.scored += 1
                    continue
                except ValueError as why:
                    error = _unreadable(result, why)
            failures.append((place, error))
            tally.failed[str(error["code"])] += 1
        self._keep(part.number, results, failures)
        tally.seconds = (now := time.monotonic()) - self._last
        self._store.put_new(self._done(part.number), tally.written())
        self._last = now
        self.tally.add(tally)

    def _in_files(
        self, number: int, rows: list[tuple[str, Any]], failures: list[tuple[str, dict[str, Any]]]
    ) -> None:
        scored = [{"input": place, **row} for place, row in rows]
        failed = [{"input": place, **error} for place, error in failures]
        if failed:
            self._store.put(f"{self._root}/failures-{number:06}.jsonl", _lines(failed))
        if scored:
            part = f"{self._root}/part-{number:06}.{self._form.ending}"
            self._store.put_new(part, self._form.written(scored), self._form.media_type)

    def _so_far(self) -> Tally:
        shown = Tally(seconds=time.monotonic() - self._last)
        shown.add(self.tally)
        for part in self._parts:
            # How they ended is known when they are collected.
            shown.scored += len(part.places) - len(part.left) - len(part.since)
            shown.times += part.tally.times
        return shown

    def _id(self, place: str) -> str:
        # Not the place's alone: another batch of it, or one whose output was removed, has jobs of its own,
        # where the queue would take them for those that it had.
        return f"batch-{hashlib.sha256(self._name + place.encode()).hexdigest()[:32]}"

    def _listing(self, number: int) -> str:
        return f"{self._own}/{number:06}.list"

    def _listed(self, number: int) -> list[str]:
        places: list[str] = json.loads(self._store.get(self._listing(number)) or b"[]")
        return places

    def _done(self, number: int) -> str:
        return f"{self._own}/{number:06}.done"

    def _work(self, number: int) -> str:
        return f"{self._ends}/{number:06}"


def _object(result: bytes) -> dict[str, Any]:
    if not isinstance(told := json.loads(result), dict):
        raise ValueError("it is no JSON object")
    return told


def _lines(documents: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in documents).encode()


_JSON_LINES = Form("jsonl", "application/json", _object, _lines)


def _unreadable(result: bytes, why: ValueError) -> dict[str, Any]:
    return {
        "code": "unreadable_result",
        "message": f"The result is none that a part can have: {why}",
        "result": result[:1000].decode(errors="replace"),
    }


def _error(failure: bytes | None) -> dict[str, Any]:
    try:
        error = json.loads(failure or b"")["error"]
        return {"code": error["code"], "message": error["message"]}
    except (ValueError, KeyError, TypeError):
        return {"code": "unknown", "message": (failure or b"")[:1000].decode(errors="replace")}
