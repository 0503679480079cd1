"""Data capture: a sample of requests and answers, written by a thread of its own, behind everybody's back.

The lines are SageMaker's, so are the places:
docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

import base64
import json
import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from springboard.endpoint.capture import Capture
from springboard.jobs.store import Store, StoreAway

log = logging.getLogger("springboard.front")

# One file has about so much video at most.
_FILE_BYTES = 16_000_000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# What a line has beside the video.
_OVERHEAD = 2000


@dataclass(frozen=True)
class Seen:
    """A request and its answer."""

    variant: str
    content_type: str
    video: bytes
    answer: bytes
    inference_id: str
    at: float = field(default_factory=time.time)

    @property
    def size(self) -> int:
        """The bytes it holds."""
        return len(self.video) + len(self.answer) + _OVERHEAD


class Capturer:
    """Keeps a sample; `count` is called with `written` or `dropped` for each that was to be kept."""

    def __init__(self, count: Callable[[str], None], store: Store | None = None) -> None:
        """Off until `use`."""
        self._count = count
        self._store = store or Store()
        self._settings: Capture | None = None
        self._latest = Capture(destination="/none")  # none waits before there are settings
        self._endpoint = ""
        self._waiting: deque[Seen] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None

    def use(self, settings: Capture | None, endpoint: str) -> None:
        """Capture so from now on; None: no more. What waits is written at once then, where it was to go."""
        with self._changed:
            self._settings, self._endpoint = settings, endpoint
            self._latest = settings or self._latest
            self._changed.notify()
            if settings and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
                self._thread.start()

    def offer(self, seen: Callable[[], Seen]) -> None:
        """Keep a request or not, by chance; `seen` is called if so. Never blocks."""
        settings = self._settings
        if settings is None or random.random() * 100 >= settings.sampling_percentage:  # noqa: S311 - a sample
            return
        one = seen()
        if not settings.input:
            one = Seen(one.variant, one.content_type, b"", one.answer, one.inference_id, one.at)
        with self._changed:
            kept = self._held + one.size <= settings.max_bytes
            if kept:
                self._waiting.append(one)
                self._held += one.size
                self._changed.notify()
        if not kept:
            self._count("dropped")

    def close(self, seconds: float) -> None:
        """Write what waits, for so long at most; the rest is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread:
            self._thread.join(seconds)
        for _ in range(len(self._waiting)):
            self._count("dropped")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                due = self._waiting[0].at + self._latest.flush_seconds - time.time()
                self._changed.wait_for(self._hurries, max(due, 0))
                destination = self._latest
                first = self._waiting[0]
                together = [one for one in self._waiting if _place(one) == _place(first)]
            batch, size = list[Seen](), 0
            for one in together:
                if size > _FILE_BYTES:
                    break
                batch.append(one)
                size += one.size
            if not self._written(batch, destination):
                return
            with self._changed:
                kept = {id(one) for one in batch}
                self._waiting = deque(one for one in self._waiting if id(one) not in kept)
                self._held -= size

    def _hurries(self) -> bool:
        return self._held > _FILE_BYTES or self._closing or self._settings is None

    def _written(self, batch: list[Seen], settings: Capture) -> bool:
        """Write a file, once the store is there; False where we end before."""
        first = datetime.fromtimestamp(batch[0].at, UTC)
        name = f"{first:%M-%S}-{first.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        place = "/".join((settings.destination.rstrip("/"), self._endpoint, _place(batch[0]), name))
        lines = b"".join(json.dumps(line_of(one, settings)).encode() + b"\n" for one in batch)
        pause = _FIRST_PAUSE
        while True:
            try:
                self._store.put_new(place, lines)
            except StoreAway as error:
                log.warning("captured requests wait: %s", error)
                with self._changed:
                    if self._closing or self._changed.wait_for(lambda: self._closing, pause):
                        return False
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                for _ in batch:
                    self._count("written")
                return True


def line_of(seen: Seen, settings: Capture) -> dict[str, object]:
    """Return SageMaker's line of a request."""
    data: dict[str, object] = {}
    if settings.input:
        data["endpointInput"] = {
            "observedContentType": seen.content_type,
            "mode": "INPUT",
            "data": base64.b64encode(seen.video).decode(),
            "encoding": "BASE64",
        }
    if settings.output:
        data["endpointOutput"] = {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": seen.answer.decode(errors="replace"),
            "encoding": "JSON",
        }
    at = f"{datetime.fromtimestamp(seen.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    about = {"eventId": str(uuid.uuid4()), "inferenceId": seen.inference_id, "inferenceTime": at}
    return {"captureData": data, "eventMetadata": about, "eventVersion": "0"}


def _place(seen: Seen) -> str:
    return f"{seen.variant}/{datetime.fromtimestamp(seen.at, UTC):%Y/%m/%d/%H}"
