"""The picture of what was scored: which frames it shows, and that it stays small."""

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from model_handler import checkpoint
from model_handler.handler import DiveHandler
from model_handler.network import CLIP_FRAMES, CLIP_SIZE
from model_handler.pipeline import Pipeline, Settings
from model_handler.strip import draw
from model_handler.video import Frames
from tests.conftest import small_checkpoint


def picture(strip: dict[str, Any]) -> Frames:
    """Decode it: (H, W, 3) RGB."""
    jpeg = np.frombuffer(base64.b64decode(strip["data"]), np.uint8)
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def coloured(count: int) -> Frames:
    """Frames whose red is their number, twice, and whose blue is nothing."""
    frames = np.zeros((count, CLIP_SIZE, CLIP_SIZE, 3), np.uint8)
    frames[..., 0] = np.arange(count)[:, None, None] * 2
    return frames


def test_each_clips_middle_frame_is_shown_in_its_place_and_padding_grey() -> None:
    strip = draw(coloured(2 * CLIP_FRAMES + 4))
    shown = picture(strip)
    assert shown.shape == (CLIP_SIZE, 3 * CLIP_SIZE, 3)
    centres = shown[CLIP_SIZE // 2, CLIP_SIZE // 2 :: strip["tile"]].astype(int)
    assert np.abs(centres[:, 0] - [16, 48, 68]).max() <= 4, "frames 8 and 24, and the last four's middle, 34"
    assert centres[:, 2].max() <= 4
    padding = picture(draw(coloured(CLIP_FRAMES)))[56, 168].astype(int)
    assert np.abs(padding - [124, 116, 104]).max() <= 4


@pytest.mark.parametrize("count", [16, 400, 9000])
def test_it_stays_small_however_long_the_video_and_whatever_it_shows(count: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (count, CLIP_SIZE, CLIP_SIZE, 3), np.uint8)
    strip = draw(noise)
    assert picture(strip).shape[1] <= 4096
    assert len(strip["data"]) < 600_000


def test_only_the_request_that_asks_for_it_gets_it(pipeline: Pipeline, dive_clip: bytes) -> None:
    asked, plain = pipeline.process([dive_clip, dive_clip], [True, False])
    assert picture(asked.body["strip"]).shape == (112, 336, 3)
    assert "strip" not in plain.body
    assert asked.body["score"] == plain.body["score"]


@pytest.mark.parametrize(
    ("headers", "brought"),
    [({"X-Springboard-Include": "strip"}, True), ({"x-springboard-include": "strip"}, True), ({}, False)],
)
def test_the_handler_reads_the_header_of_each_request(
    pipeline: Pipeline, dive_clip: bytes, headers: dict[str, str], brought: bool
) -> None:
    handler = DiveHandler()
    handler._pipeline = pipeline
    context = SimpleNamespace(
        get_all_request_header=lambda index: headers,
        set_response_status=lambda code, idx: None,
        set_response_content_type=lambda index, kind: None,
        set_response_header=lambda index, name, value: None,
    )
    assert (b'"strip":' in handler.handle([{"body": dive_clip}], context)[0]) == brought


def test_a_refusal_by_the_gate_shows_what_the_gate_saw(dive_clip: bytes, tmp_path: Path) -> None:
    weights = tmp_path / "other.safetensors"
    checkpoint.save(small_checkpoint(gate_class=12), weights)
    refusing = Pipeline(weights, Settings(precision="fp32", device="cpu"), "dive", "1.0.0")
    shown, plain, unread = refusing.process([dive_clip, dive_clip, b"no video"], [True, False, True])
    assert [answer.status for answer in (shown, plain, unread)] == [422, 422, 422]
    assert picture(shown.body["error"]["strip"]).shape == (112, 336, 3)
    assert "strip" not in plain.body["error"]
    assert "strip" not in unread.body["error"]
