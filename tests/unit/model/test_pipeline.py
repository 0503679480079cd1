"""What the pipeline and the handler do when something other than the video is wrong."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
import yaml

from model_handler import checkpoint
from model_handler import pipeline as pipeline_module
from model_handler.handler import DiveHandler
from model_handler.pipeline import Answer, Pipeline, Settings
from model_handler.request.errors import EmptyBody, OutOfMemory
from model_handler.request.source import S3Object
from model_handler.video import FrameRate, Limits, Video, decode
from springboard.system.checkout import ROOT
from tests.clips import encode, moving_frames
from tests.conftest import small_checkpoint


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"presicion": "fp32"}, "handler.presicion is unknown; known are precision"),
        ({"limits": {"max_frame": 1}}, "handler.limits.max_frame is unknown"),
        ({"limits": {"max_frames": 0}}, "handler.limits.max_frames is 0; it should be above 0"),
        ({"limits": [1]}, "handler.limits should be a mapping"),
    ],
)
def test_a_wrong_setting_is_named(section: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings.from_mapping(section)


@pytest.mark.parametrize(
    ("setting", "says"), [("precision", "fp32, bf16, fp16"), ("device", "auto, cpu or cuda")]
)
def test_an_unknown_precision_or_device_is_named(small_weights: Path, setting: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Pipeline(small_weights, Settings.from_mapping({setting: "int4"}), "dive", "1.0.0")


def test_half_a_dive_that_is_no_dive_is_called_truncated(tmp_path: Path) -> None:
    checkpoint.save(small_checkpoint(gate_class=7), tmp_path / "other.safetensors")
    other = Pipeline(
        tmp_path / "other.safetensors", Settings(precision="fp32", device="cpu"), "dive", "1.0.0"
    )
    whole = encode(moving_frames(60), "mjpeg", "avi")
    answers = other.process([whole, whole[: len(whole) * 2 // 3]])
    said = [answer.body["error"]["message"] for answer in answers]
    assert [answer.body["error"]["code"] for answer in answers] == ["not_a_dive"] * 2
    assert ["truncated or damaged" in message for message in said] == [False, True]


def test_settings_of_the_shipped_config_are_the_defaults() -> None:
    config = yaml.safe_load((ROOT / "model_handler" / "model-config.yaml").read_text())
    assert Settings.from_mapping(config["handler"]) == Settings()


def test_a_bug_met_by_one_row_fails_that_row_alone(
    pipeline: Pipeline, dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def buggy(data: bytes, limits: Limits, frame_rate: FrameRate, threads: int) -> Video:
        if data == b"bug":
            raise KeyError("a secret of ours")
        return decode(data, limits, frame_rate)

    monkeypatch.setattr(pipeline_module, "decode", buggy)
    answers = pipeline.process([dive_clip, b"bug", EmptyBody("empty")])
    assert [a.status for a in answers] == [200, 500, 400]
    assert "secret" not in json.dumps(answers[1].body)


@pytest.mark.parametrize(("workers", "videos", "each"), [(1, 1, 0), (1, 2, 4), (2, 1, 4), (2, 8, 1)])
def test_threads_of_decoders_add_up_to_the_cores(
    pipeline: Pipeline,
    dive_clip: bytes,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    videos: int,
    each: int,
) -> None:
    taken: list[int] = []

    def counted(data: bytes, limits: Limits, frame_rate: FrameRate, threads: int) -> Video:
        taken.append(threads)
        raise EmptyBody("enough")

    monkeypatch.setattr(pipeline_module, "decode", counted)
    monkeypatch.setattr(pipeline, "_cores", 8)
    monkeypatch.setattr(pipeline, "_workers", workers)
    pipeline.process([dive_clip] * videos)
    assert taken == [each] * videos


@pytest.fixture
def pair(small_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Pipeline, Pipeline]:
    """Two workers of a release; the second believes in eight cores."""
    weights = tmp_path / small_weights.name
    weights.symlink_to(small_weights)
    one, two = (Pipeline(weights, Settings(), "dive", "1.0.0", workers=2) for _ in range(2))
    monkeypatch.setattr(two, "_cores", 8)
    return one, two


def test_of_two_workers_one_computes_while_the_other_decodes(
    pair: tuple[Pipeline, Pipeline], dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    decoded, taken = Event(), list[int]()

    def counted(data: bytes, limits: Limits, frame_rate: FrameRate, threads: int) -> Video:
        taken.append(threads)
        decoded.set()
        return decode(data, limits, frame_rate)

    monkeypatch.setattr(pipeline_module, "decode", counted)
    with ThreadPoolExecutor() as threads:
        with one._turn():
            answers = threads.submit(two.process, [dive_clip])
            assert decoded.wait(60)
            with pytest.raises(TimeoutError):
                answers.result(1)
        assert [answer.status for answer in answers.result(60)] == [200]
    two.process([dive_clip])
    assert taken == [4, 0], "all cores for a decoder only while nobody computes"
    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_of_two_workers_beside_a_gpu_one_has_all_cores_while_the_other_does_not_decode(
    pair: tuple[Pipeline, Pipeline], dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    taken: list[int] = []

    def counted(data: bytes, limits: Limits, frame_rate: FrameRate, threads: int) -> Video:
        taken.append(threads)
        assert one._turns
        assert not one._turns.free()
        return decode(data, limits, frame_rate)

    monkeypatch.setattr(pipeline_module, "decode", counted)
    for each in pair:
        monkeypatch.setattr(each, "on_gpu", True)
    with one._decoding():
        assert [answer.status for answer in two.process([dive_clip])] == [200]
    with one._turn():  # at the GPU nobody waits for another
        assert [answer.status for answer in two.process([dive_clip])] == [200]
    assert taken == [4, 0]


def test_no_memory_for_decoding_is_a_503(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(data: bytes, limits: Limits, frame_rate: FrameRate, threads: int) -> Video:
        raise MemoryError

    monkeypatch.setattr(pipeline_module, "decode", hungry)
    assert pipeline.process([b"video"])[0].body["error"]["code"] == "out_of_memory"


def test_no_memory_for_scoring_fails_the_batch_but_not_what_failed_before(
    pipeline: Pipeline, dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(clips: object) -> None:
        raise OutOfMemory("no memory")

    monkeypatch.setattr(pipeline._scorer, "score", full)
    assert [a.status for a in pipeline.process([dive_clip, b"no video"])] == [503, 422]


class Context:
    """What the handler uses of TorchServe's context."""

    def __init__(self) -> None:
        self.status: dict[int, int] = {}
        self.headers: dict[tuple[int, str], str] = {}

    def get_all_request_header(self, index: int) -> dict[str, str]:
        return {"Content-Type": "video/mp4"}

    def set_response_status(self, code: int, idx: int) -> None:
        self.status[idx] = code

    def set_response_content_type(self, index: int, value: str) -> None:
        self.headers[index, "Content-Type"] = value

    def set_response_header(self, index: int, name: str, value: str) -> None:
        self.headers[index, name] = value


class Faulty:
    """A pipeline whose device has failed."""

    def __init__(self, on_gpu: bool) -> None:
        self.on_gpu = on_gpu

    def process(
        self, sources: Sequence[bytes | S3Object], strips: Sequence[bool], ids: Sequence[str]
    ) -> list[Answer]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr("os._exit", end)
    return codes


def failing_handler(on_gpu: bool) -> DiveHandler:
    made = DiveHandler()
    made._pipeline = Faulty(on_gpu)  # type: ignore[assignment]
    return made


def test_a_cuda_fault_ends_the_worker(ends: list[int]) -> None:
    with pytest.raises(SystemExit):
        failing_handler(on_gpu=True).handle([{"body": b"x"}], Context())
    assert ends == [70]


def test_another_fault_answers_every_row_and_the_worker_lives(ends: list[int]) -> None:
    context = Context()
    answers = failing_handler(on_gpu=False).handle([{"body": b"x"}, {"body": b"y"}], context)
    assert [json.loads(a)["error"]["code"] for a in answers] == ["internal_error"] * 2
    assert context.status == {0: 500, 1: 500}
    assert "CUDA" not in answers[0].decode()  # TorchServe reads a meaning into that word
    assert ends == []


@pytest.mark.parametrize("place", ["to_clips", "gate_clip", "torch.cat"])
def test_a_gpu_without_memory_answers_503_and_its_worker_lives(
    pipeline: Pipeline,
    dive_clip: bytes,
    ends: list[int],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 180.00 MiB")

    handler = DiveHandler()
    handler._pipeline = pipeline
    monkeypatch.setattr(pipeline, "on_gpu", True)
    context = Context()
    with monkeypatch.context() as patch:
        patch.setattr(f"model_handler.scoring.{place}", full)
        answer = handler.handle([{"body": dive_clip}], context)[0]
    assert (context.status[0], json.loads(answer)["error"]["code"]) == (503, "out_of_memory")
    assert ends == []
    handler.handle([{"body": dive_clip}], context)
    assert context.status[0] == 200
