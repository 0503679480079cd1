"""Cameras faster than the model knows, and the times of frames."""

import random
from itertools import pairwise

import numpy as np
import pytest

from model_handler.pipeline import Pipeline, Settings
from model_handler.request.errors import LimitExceeded
from model_handler.video import Limits, decode
from model_handler.video.thinning import Clock, Thinning
from tests.clips import encode, moving_frames
from tests.unit.model.video.films import even, film

LIMITS = Limits()
NTSC = 1000 / 1001


@pytest.mark.parametrize(
    ("fps", "taken_fps", "note"),
    [
        (48, 24, "every 2nd frame"),
        (50, 25, "every 2nd frame"),
        (60, 30, "every 2nd frame"),
        (60 * NTSC, 30, "every 2nd frame"),
        (90, 30, "every 3rd frame"),
        (100, 33.3, "every 3rd frame"),
        (120 * NTSC, 30, "every 4th frame"),
        (120, 30, "every 4th frame"),
        (240, 30, "every 8th frame"),
        (40, 30, "about 30 of each second"),
        (44, 30, "about 30 of each second"),
    ],
)
def test_fast_cameras_are_thinned_to_what_the_model_knows(fps: float, taken_fps: float, note: str) -> None:
    count = round(fps)
    data = film(even(count, fps), moving_frames(count, 64, 48))
    video = decode(data, LIMITS)
    assert video.info.frames == count
    assert video.info.fps == pytest.approx(fps, rel=0.01)
    assert video.info.scored_frames == len(video.frames) == pytest.approx(taken_fps, abs=1.1)
    assert note in video.notes[0]
    assert video.warnings == ()
    # What was taken are frames as sent, none of them twice, in steps that differ by one at most.
    numbers = [number for number, _ in video.places]
    every = decode(data, LIMITS, "published").frames
    np.testing.assert_array_equal(video.frames, every[numbers])
    steps = {b - a for a, b in pairwise(numbers)}
    assert min(steps) >= 1
    assert max(steps) - min(steps) <= 1
    assert [second for _, second in video.places] == pytest.approx([n / fps for n in numbers], abs=1e-3)


@pytest.mark.parametrize("fps", [20, 24 * NTSC, 25, 30 * NTSC, 30, 35])
@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_usual_cameras_are_taken_whole(fps: float, container: str) -> None:
    video = decode(film(even(40, fps), moving_frames(40, 64, 48), container=container), LIMITS)
    assert [number for number, _ in video.places] == list(range(40))
    assert video.notes == video.warnings == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("fps", "thinned"), [(30, False), (60, True)])
def test_a_phones_jitter_does_not_change_what_is_taken(fps: int, thinned: bool, seed: int) -> None:
    rng = random.Random(seed)
    times = [time + rng.uniform(0, 0.7) / fps for time in even(2 * fps, fps)]
    video = decode(film(times, moving_frames(len(times), 64, 48)), LIMITS)
    assert video.info.frames == 2 * fps
    assert bool(video.notes) == thinned
    assert len(video.frames) == pytest.approx(60, abs=2)


def test_slow_motion_amid_usual_frames_is_thinned_where_it_is_fast() -> None:
    times = [*even(30, 30), *even(240, 240, start_s=1), *even(30, 30, start_s=2)]
    video = decode(film(times, moving_frames(300, 64, 48)), LIMITS)
    seconds = [second for _, second in video.places]
    for start in range(3):
        assert sum(start <= second < start + 1 for second in seconds) == pytest.approx(30, abs=1)


def test_limits_count_what_is_taken() -> None:
    data = film(even(240, 240), moving_frames(240, 64, 48))
    assert len(decode(data, Limits(max_frames=30)).frames) == 30
    with pytest.raises(
        LimitExceeded, match=r"too many frames at 30 frames/s: it announces 30; .* real speed"
    ):
        decode(data, Limits(max_frames=29))
    with pytest.raises(LimitExceeded, match="announces 240"):
        decode(data, Limits(max_frames=100), "published")


def test_a_video_too_short_to_thin_is_taken_whole_with_a_warning() -> None:
    video = decode(film(even(20, 60)), LIMITS)
    assert len(video.frames) == 20
    assert "60 frames/s" in video.warnings[0]
    assert video.notes == ()


def test_published_takes_every_frame_and_warns() -> None:
    video = decode(film(even(60, 60)), LIMITS, "published")
    assert len(video.frames) == 60
    assert "60 frames/s" in video.warnings[0]


def test_a_phones_mark_of_stretched_slow_motion_is_warned_of() -> None:
    data = film(
        even(30, 30), metadata={"com.android.capture.fps": "240.0"}, muxing={"movflags": "use_metadata_tags"}
    )
    assert "recorded at 240 frames/s and plays at 30" in decode(data, LIMITS).warnings[0]


def test_only_a_broadcasts_clock_starts_anew_after_seconds() -> None:
    clock = Clock(0.04, restarts=False)
    assert [clock.tick(stamp) for stamp in (0, 0.04, 90, 7000)] == pytest.approx([0, 0.04, 90, 90.04])


def test_the_frame_rate_is_a_setting_of_the_release() -> None:
    assert Settings.from_mapping({"frame_rate": "published"}).frame_rate == "published"
    with pytest.raises(ValueError, match="frame_rate is 'fast'; it should be auto or published"):
        Settings.from_mapping({"frame_rate": "fast"})


def test_a_held_frame_moves_the_times_of_what_comes_after(pipeline: Pipeline) -> None:
    times = [*even(40, 30), *even(36, 30, start_s=40 / 30 + 4)]
    body = pipeline.process([film(times)])[0].body
    assert body["warnings"] == body["notes"] == []
    assert body["video"]["fps"] == pytest.approx(75 / times[-1], abs=0.01)
    assert body["video"]["duration_s"] == pytest.approx(times[-1] + 1 / 30, abs=0.002)
    assert [(c["start_frame"], c["end_frame"]) for c in body["clips"]] == [
        (0, 16), (16, 32), (32, 48), (48, 64), (64, 76)
    ]  # fmt: skip
    starts = [times[0], times[16], times[32], times[48], times[64], times[-1] + 1 / 30]
    assert [c["start_s"] for c in body["clips"]] == pytest.approx(starts[:-1], abs=0.002)
    assert [c["end_s"] for c in body["clips"]] == pytest.approx(starts[1:], abs=0.002)


def test_clips_of_a_thinned_video_lie_in_the_video_as_sent(pipeline: Pipeline) -> None:
    body = pipeline.process([film(even(120, 120), moving_frames(120))])[0].body
    assert body["video"]["frames"] == 120
    clips = [(c["start_frame"], c["end_frame"], c["start_s"], c["end_s"]) for c in body["clips"]]
    assert clips == [(0, 64, 0.0, 0.533), (64, 120, 0.533, 1.0)]


def test_an_avi_without_presentation_times_runs_at_its_rate() -> None:
    """B-frames in an AVI: FFmpeg has no times for the first frames and decoding times for the others."""
    video = decode(encode(moving_frames(40), "libx264", "avi", bf="2"), LIMITS)
    assert (video.info.frames, video.warnings) == (40, ())
    assert video.info.fps == pytest.approx(25)


def test_raw_h264_runs_at_the_usual_rate() -> None:
    video = decode(encode(moving_frames(40), "libx264", "h264"), LIMITS)
    assert (video.info.frames, video.warnings) == (40, ())
    assert video.info.fps == pytest.approx(25)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([None, None, None], [0, 0.04, 0.08]),
        ([1.0, None, 1.08], [1, 1.04, 1.08]),
        ([0, 0.04, 0.04, 0.12], [0, 0.04, 0.08, 0.12]),
        ([0, 0.08, 0.04, 0.12], [0, 0.08, 0.12, 0.16]),
        ([50, 50.04, 0, 0.08], [50, 50.04, 50.08, 50.16]),
        ([0, 0.04, 90, 90.08], [0, 0.04, 0.08, 0.16]),
        ([0, 0.04, 4, 4.04], [0, 0.04, 4, 4.04]),
        # A clock of 32 bits that overflows: frames before zero in an FLV.
        ([2147483.6, 4294967.3, 4294967.34], [2147483.6, 2147483.64, 2147483.68]),
    ],
)
def test_times_only_grow(stamps: list[float | None], times: list[float]) -> None:
    clock = Clock(0.04, restarts=True)
    assert [clock.tick(stamp) for stamp in stamps] == pytest.approx(times)


def test_thinning_goes_on_after_a_pause() -> None:
    thinning = Thinning(1 / 60, published=False)
    times = [*even(60, 60), *even(60, 60, start_s=30.004)]
    assert sum(thinning.takes(time) for time in times) == 60
