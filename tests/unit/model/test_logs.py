"""What a worker writes: JSON under the ids of the requests that it is about."""

import faulthandler
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from model_handler import logs
from model_handler import pipeline as pipeline_module
from model_handler.handler import DiveHandler
from model_handler.pipeline import Pipeline


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """TorchServe's root logger, as its worker makes it, after the handler has come."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    before, root.level = root.level, logging.INFO
    logs.to_json()
    yield stream
    root.setLevel(before)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class Context:
    """What the handler uses of TorchServe's context."""

    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def get_all_request_header(self, index: int) -> dict[str, str]:
        return {"X-REQUEST-ID": self.ids[index]} if self.ids[index] else {}

    def set_response_status(self, code: int, idx: int) -> None: ...
    def set_response_content_type(self, index: int, value: str) -> None: ...
    def set_response_header(self, index: int, name: str, value: str) -> None: ...


def test_a_video_that_breaks_the_code_has_its_traceback_under_its_own_id(
    pipeline: Pipeline, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes, *_: object) -> None:
        if data == b"bad":
            raise KeyError("a bug")

    monkeypatch.setattr(pipeline_module, "decode", broken)
    monkeypatch.setattr(pipeline, "_score", lambda rows: {})
    handler = DiveHandler()
    handler._pipeline = pipeline
    handler.handle([{"body": b"good"}, {"body": b"bad"}], Context("id-good", "id-bad"))
    told = lines(written)
    assert [(line["request_id"], line["message"]) for line in told[:2]] == [
        ("id-good", "received"),
        ("id-bad", "received"),
    ]
    (error,) = [line for line in told if line["level"] == "ERROR"]
    assert error["request_id"] == "id-bad"
    assert error["message"].startswith("unexpected error while reading a video\nTraceback")
    assert error["message"].endswith("KeyError: 'a bug'")


def test_what_fails_a_batch_is_told_under_all_of_its_ids(written: io.StringIO) -> None:
    class Faulty:
        on_gpu = False

        def process(self, *_: object) -> None:
            raise RuntimeError("the device is gone")

    handler = DiveHandler()
    handler._pipeline = Faulty()  # type: ignore[assignment]
    handler.handle([{"body": b"x"}, {"body": b"y"}], Context("one", "two"))
    (error,) = [line for line in lines(written) if line["level"] == "ERROR"]
    assert error["request_id"] == "one,two"
    logging.getLogger("ts.service").warning("Invoking custom service failed.")
    assert lines(written)[-1]["request_id"] == "one,two", "TorchServe tells of it after the handler"


def test_torchserves_own_line_for_each_request_is_left_out(written: io.StringIO) -> None:
    record = logging.getLogger().makeRecord(
        "root", logging.INFO, "/ts/otf_message_handler.py", 1, "x", (), None
    )
    logging.getLogger().handle(record)
    logging.getLogger().info("another")
    assert [line["message"] for line in lines(written)] == ["another"]


def test_an_id_that_is_no_id_is_bounded_and_stays_in_its_line(written: io.StringIO) -> None:
    with logs.about(logs.bounded('a"\n' + "b" * 10_000)):
        logging.getLogger().info("x")
    (line,) = lines(written)
    assert len(line["request_id"]) == 128


def test_native_crashes_say_where() -> None:
    assert faulthandler.is_enabled()
