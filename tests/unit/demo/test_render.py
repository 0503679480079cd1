"""Rendered dives: deterministic, true to the sport's rule, and labelled with what they show."""

from pathlib import Path

import numpy as np
import pytest

from demo.dataset import render_dataset
from demo.diver import JOINTS
from demo.figures import spearman
from demo.judging import DEDUCTIONS, DIVES, Faults, faults_for, points
from demo.labels import read_labels
from demo.motion import Setting, choreograph
from demo.others import KINDS, draw_other
from demo.render import draw, encode, perform
from model_handler.video import Limits, decode


def test_one_seed_gives_the_same_video_to_the_byte() -> None:
    first, second = (draw(perform(7)) for _ in range(2))
    assert encode(first.frames, first.fps) == encode(second.frames, second.fps)
    assert not np.array_equal(first.frames[:60], draw(perform(8)).frames[:60])


def test_a_dive_has_the_promised_size_and_length() -> None:
    for seed in range(6):
        drawn = draw(perform(seed))
        assert drawn.frames.shape[1:] == (240, 320, 3)
        assert 60 <= len(drawn.frames) <= 180
        assert drawn.fps in (25, 30)
        assert 0 < drawn.takeoff < drawn.entry < len(drawn.frames)


def test_the_server_decodes_what_is_drawn_frame_by_frame() -> None:
    drawn = draw(perform(3))
    video = decode(encode(drawn.frames, drawn.fps), Limits())
    assert len(video.frames) == len(drawn.frames)
    assert video.info.fps == pytest.approx(drawn.fps, rel=0.01)
    assert not video.warnings


@pytest.mark.parametrize("number", DIVES)
def test_every_dive_number_codes_its_own_digits(number: str) -> None:
    # World Aquatics' numbering: 1 forward, 2 back, 3 reverse, 4 inward, 5 twisting, 6 armstand; half
    # somersaults, then half twists; B pike, C tuck, D free.
    dive = DIVES[number]
    digits, letter = number[:-1], number[-1]
    group = {"1": 1, "2": 0, "3": 3, "4": 2}
    assert dive.position == "DBC".index(letter)
    assert dive.armstand == (digits[0] == "6")
    if digits[0] in "56":
        expected = (group[digits[1]], int(digits[2]), int(digits[3]) if len(digits) == 4 else 0)
    else:
        expected = (group[digits[0]], int(digits[2]), 0)
    assert (dive.rotation_type, dive.ss_no, dive.tw_no) == expected
    assert 1.2 <= dive.difficulty <= 4.8


def test_points_are_the_middle_three_of_seven_times_difficulty() -> None:
    assert points((8.0, 8.5, 9.0, 7.5, 8.0, 2.0, 10.0), 3.2) == pytest.approx((8.0 + 8.0 + 8.5) * 3.2)
    with pytest.raises(ValueError, match="5 marks"):
        points((8.0,) * 5, 3.2)


def test_faults_add_up_to_the_execution_and_all_grow_as_it_falls() -> None:
    before = faults_for(10.0, np.random.default_rng(1))
    assert before == Faults()
    for execution in (8.0, 6.0, 4.0, 2.0, 0.0):
        faults = faults_for(execution, np.random.default_rng(1))
        assert faults.execution() == pytest.approx(execution, abs=1e-6)
        assert all(getattr(faults, fault) >= getattr(before, fault) for fault in DEDUCTIONS)
        before = faults
    with pytest.raises(ValueError, match="marks go from 0 to 10"):
        faults_for(10.5, np.random.default_rng(1))


def test_a_poorer_execution_lowers_the_true_score_and_leaves_the_rest() -> None:
    for seed in range(20):
        dives = [perform(seed, execution=execution) for execution in (9.5, 7.5, 5.5, 3.5, 1.5)]
        assert len({dive.dive.number for dive in dives}) == 1
        scores = [dive.score for dive in dives]
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == 5


def test_scores_span_what_mtl_aqa_spans() -> None:
    scores = [perform(seed).score for seed in range(500)]
    assert min(scores) < 10
    assert 90 < max(scores) <= 123


def test_a_diver_is_upside_down_halfway_through_a_somersault() -> None:
    # 102B turns once; 612B starts on the hands and turns once: head up, down, up and down, up, down.
    head, pelvis = JOINTS.index("head"), JOINTS.index("pelvis")
    for number, upright in (("102B", 1.0), ("612B", -1.0)):
        rng = np.random.default_rng(0)
        motion = choreograph(DIVES[number], Faults(), Setting.draw(DIVES[number], rng), rng)
        up = np.sign(motion.joints[:, head, 1] - motion.joints[:, pelvis, 1])[
            motion.takeoff - 3 : motion.entry
        ]
        assert up[0] == up[-1] == upright
        assert int((np.diff(up) != 0).sum()) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_clips_that_are_no_dives_are_videos_of_the_same_kind(kind: str) -> None:
    drawn = draw_other(1, kind)
    assert drawn.frames.shape[1:] == (240, 320, 3)
    assert drawn.frames.dtype == np.uint8
    assert 60 <= len(drawn.frames) <= 180
    assert np.array_equal(drawn.frames, draw_other(1, kind).frames)


def test_a_rendered_dataset_reads_back_with_its_labels(tmp_path: Path) -> None:
    render_dataset(tmp_path, train=(1, 1), held_out=(1, 0), workers=1)
    dive, other, held_out = read_labels(tmp_path)
    number = next(iter(DIVES.values()))
    assert (dive.diving, dive.held_out) == (True, False)
    assert dive.codes["ss_no"] == number.ss_no
    assert dive.difficulty == number.difficulty
    assert (other.diving, held_out.held_out) == (False, True)
    assert dive.path.read_bytes() != held_out.path.read_bytes()


def test_spearman_ranks_ties_by_their_mean() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert spearman([5, 5, 6, 7], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
