"""Data capture: SageMaker's lines at SageMaker's places, and nobody waits for them."""

import base64
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.endpoint.capture import Capture
from springboard.front.capture import Capturer, Seen
from springboard.jobs.store import Store, StoreAway
from tests.stands.scoring import scoring
from tests.stands.waiting import wait_until


class Kept:
    """A capturer into a folder, and what it counted."""

    def __init__(self, folder: Path, store: Store | None = None, **more: Any) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.capturer = Capturer(lambda outcome: self.counts.update([outcome]), store)
        settings = {"destination": str(folder), "flush_seconds": 0.1, **more}
        self.capturer.use(Capture.model_validate(settings), "dive-scoring")

    def offer(self, number: int = 0, size: int = 10, at: float = 1_795_894_783.5) -> None:
        answer = json.dumps({"score": number}).encode()
        self.capturer.offer(lambda: Seen("stable", "video/mp4", b"v" * size, answer, str(number), at))

    def lines(self) -> list[dict[str, Any]]:
        paths = sorted(self.folder.rglob("*.jsonl"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_a_line_is_sagemakers_at_sagemakers_place(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.offer(61)
    kept.capturer.close(10)
    (path,) = tmp_path.rglob("*.jsonl")
    place = r"dive-scoring/stable/2026/11/28/19/39-43-500-[0-9a-f-]{36}\.jsonl"
    assert re.fullmatch(place, str(path.relative_to(tmp_path)))
    (line,) = kept.lines()
    assert line["captureData"] == {
        "endpointInput": {
            "observedContentType": "video/mp4",
            "mode": "INPUT",
            "data": base64.b64encode(b"v" * 10).decode(),
            "encoding": "BASE64",
        },
        "endpointOutput": {
            "observedContentType": "application/json",
            "mode": "OUTPUT",
            "data": '{"score": 61}',
            "encoding": "JSON",
        },
    }
    assert line["eventVersion"] == "0"
    about = line["eventMetadata"]
    assert (about["inferenceId"], about["inferenceTime"]) == ("61", "2026-11-28T19:39:43Z")


def test_what_waits_is_written_where_it_was_to_go_when_it_is_switched_off(tmp_path: Path) -> None:
    kept = Kept(tmp_path, flush_seconds=600)
    kept.offer(1, at=time.time())
    kept.capturer.use(None, "dive-scoring")
    wait_until(lambda: kept.counts["written"] == 1, "what waited")
    assert [one["eventMetadata"]["inferenceId"] for one in kept.lines()] == ["1"]
    kept.offer(2, at=time.time())
    kept.capturer.close(10)
    assert kept.counts == {"written": 1}


@pytest.mark.parametrize(("more", "parts"), [({"input": False}, "Output"), ({"output": False}, "Input")])
def test_only_what_is_asked_for_is_kept(tmp_path: Path, more: dict[str, Any], parts: str) -> None:
    kept = Kept(tmp_path, **more)
    kept.offer()
    kept.capturer.close(10)
    assert list(kept.lines()[0]["captureData"]) == [f"endpoint{parts}"]


def test_the_share_is_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", random.Random(1).random)
    kept = Kept(tmp_path, sampling_percentage=20)
    for number in range(2000):
        kept.offer(number)
    kept.capturer.close(10)
    assert 350 < len(kept.lines()) < 450
    assert kept.counts == {"written": len(kept.lines())}


class Away(Store):
    """A store that hangs until it may go on, and then refuses a while."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.times = 1

    def put_new(self, place: str, content: bytes, media_type: str = "application/json") -> bool:
        self.go_on.wait(60)
        self.times -= 1
        if self.times >= 0:
            raise StoreAway(f"{place} is away")
        return super().put_new(place, content, media_type)


@pytest.fixture
def away() -> Iterator[Away]:
    one = Away()
    yield one
    one.go_on.set()


def test_with_the_store_away_memory_is_bounded_and_nobody_waits(tmp_path: Path, away: Away) -> None:
    kept = Kept(tmp_path, away, max_bytes=1_000_000)
    for number in range(100):  # would block here, or grow
        kept.offer(number, 98_000 - 12)
    assert kept.capturer._held <= 1_000_000
    assert kept.counts == {"dropped": 90}
    away.go_on.set()
    wait_until(lambda: kept.counts["written"] == 10, "what was kept")
    wait_until(lambda: kept.capturer._held == 0, "room")
    kept.offer(100)
    kept.capturer.close(10)
    assert [one["eventMetadata"]["inferenceId"] for one in kept.lines()].count("100") == 1
    assert kept.counts == {"dropped": 90, "written": 11}


def test_what_cannot_be_written_in_the_end_is_counted(tmp_path: Path, away: Away) -> None:
    away.times = 1000
    away.go_on.set()
    kept = Kept(tmp_path, away)
    for number in range(3):
        kept.offer(number)
    kept.capturer.close(10)
    assert kept.counts == {"dropped": 3}


def test_a_front_captures_what_it_answers_and_nothing_by_default(tmp_path: Path) -> None:
    with scoring() as model:
        model.post("/invocations", b"before")
        settings = Capture(destination=str(tmp_path), flush_seconds=0.1)
        model.front.use(model.front.endpoint.model_copy(update={"capture": settings}))
        headers = {"Content-Type": "video/mp4", "X-Amzn-SageMaker-Inference-Id": "heat 3"}
        model.post("/invocations", b"a dive", headers=headers)
        model.post("/invocations", b"unreadable")
        model.front.use(model.front.endpoint.model_copy(update={"capture": None}))
        model.post("/invocations", b"after")
        model.front.capture.close(10)
        page = model.client.get("/metrics").text
    lines = [json.loads(line) for path in tmp_path.rglob("*.jsonl") for line in path.read_text().splitlines()]
    seen = {base64.b64decode(one["captureData"]["endpointInput"]["data"]) for one in lines}
    assert seen == {b"a dive", b"unreadable"}
    assert "heat 3" in {one["eventMetadata"]["inferenceId"] for one in lines}
    assert 'springboard_captured_total{outcome="written"} 2.0' in page.splitlines()
