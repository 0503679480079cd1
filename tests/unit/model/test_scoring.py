"""The arithmetic between frames and a score."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model_handler.request.errors import NotADive, OutOfMemory
from model_handler.scoring import DIVING_CLASS, Assessment, Scorer, gate_clip, gate_frame_indices, to_clips
from tests.conftest import small_checkpoint

CPU = torch.device("cpu")


def random_frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 112, 112, 3), np.uint8)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(small_checkpoint(), CPU, torch.float32)


def assess(scorer: Scorer, *dives: np.ndarray) -> list[Assessment]:
    return scorer.score(scorer.clips(dives))


@pytest.mark.parametrize(("frames", "clips"), [(16, 2), (17, 2), (31, 2), (32, 3), (103, 7), (399, 25)])
def test_padding_always_adds_zero_frames(frames: int, clips: int) -> None:
    padded = to_clips(torch.from_numpy(random_frames(frames)))
    assert padded.shape == (clips, 3, 16, 112, 112)
    flat = padded.transpose(1, 2).flatten(0, 1)
    assert flat[frames:].abs().max() == 0
    assert flat[:frames].abs().amin(dim=(0, 1)).max() > 0


def test_normalisation_is_imagenets_on_rgb() -> None:
    frames = np.broadcast_to(np.array([255, 0, 51], np.uint8), (16, 112, 112, 3)).copy()
    pixel = to_clips(torch.from_numpy(frames))[0, :, 0, 0, 0]
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert pixel.tolist() == pytest.approx(expected, rel=1e-5)


def test_the_gate_looks_at_the_published_frames_in_bgr() -> None:
    published = [0, 7, 14, 22, 29, 37, 44, 51, 59, 66, 74, 81, 88, 96, 103, 111]
    assert gate_frame_indices(112) == published
    clips = to_clips(torch.from_numpy(random_frames(103)))
    seen = gate_clip(clips)
    assert torch.equal(seen[:, 1], clips[0, :, 7].flip(0))


def test_contributions_add_up_to_the_score(scorer: Scorer) -> None:
    for assessment in assess(scorer, random_frames(40, 1), random_frames(100, 2)):
        assert sum(assessment.contributions) == pytest.approx(assessment.score, abs=1e-6)


def test_the_score_is_the_published_formula(scorer: Scorer) -> None:
    """Mean of features, fc6, ReLU, linear, x 17, computed the plain way."""
    checkpoint = small_checkpoint()
    backbone, fc6, regressor = (checkpoint.module(part) for part in ("backbone", "fc6", "score"))
    assert backbone is not None
    assert fc6 is not None
    assert regressor is not None
    frames = random_frames(40)
    clips = to_clips(torch.from_numpy(frames))
    plain = regressor(fc6(backbone(clips).mean(0, keepdim=True)).relu()).item() * 17
    assert assess(scorer, frames)[0].score == pytest.approx(plain, abs=1e-3)


def test_dives_of_a_batch_do_not_see_each_other(scorer: Scorer) -> None:
    dives = [random_frames(n, n) for n in (20, 50, 33)]
    together = assess(scorer, *dives)
    for dive, assessment in zip(dives, together, strict=True):
        alone = assess(scorer, dive)[0]
        assert assessment.score == pytest.approx(alone.score, abs=1e-3)
        assert assessment.dive == alone.dive


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gate_stays_finite_and_agrees(dtype: torch.dtype) -> None:
    """The published input scaling reaches 171,666, beyond fp16; rescaling the gate keeps its logits."""
    checkpoint = small_checkpoint()
    unforced = dict(checkpoint.parts["gate"])
    unforced["fc8.bias"] = torch.zeros(487)
    checkpoint = replace(checkpoint, parts={**checkpoint.parts, "gate": unforced})

    def logits(dtype: torch.dtype) -> Tensor:
        scorer = Scorer(checkpoint, CPU, dtype)
        found = scorer.gate_logits(scorer.clips([random_frames(103)]))
        assert found is not None
        return found[0]

    exact, half = logits(torch.float32), logits(dtype)
    assert half.isfinite().all()
    assert (half - exact).norm() / exact.norm() < 0.03


def test_another_class_is_refused_with_the_gates_answer() -> None:
    scorer = Scorer(small_checkpoint(gate_class=7), CPU, torch.float32)
    refusal = scorer.refusals(scorer.clips([random_frames(20)]))[0]
    assert isinstance(refusal, NotADive)
    assert refusal.details["gate"] == {"class": 7, "probability": 1.0}
    assert str(DIVING_CLASS) in refusal.message


def test_without_a_gate_nothing_is_refused_and_without_heads_no_dive_is_named() -> None:
    checkpoint = small_checkpoint(gate_class=None)
    parts = {part: state for part, state in checkpoint.parts.items() if part != "dive"}
    scorer = Scorer(replace(checkpoint, parts=parts), CPU, torch.float32)
    clips = scorer.clips([random_frames(20)])
    assert scorer.refusals(clips) == [None]
    assert scorer.score(clips)[0].dive is None


class Memory:
    """Stands in front of a network and runs out of memory above `clips` at once."""

    def __init__(self, network: Callable[[Tensor], Tensor], clips: int) -> None:
        self.network, self.clips, self.passes = network, clips, 0

    def __call__(self, clips: Tensor) -> Tensor:
        self.passes += 1
        if len(clips) > self.clips:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.network(clips)


def test_running_out_of_memory_halves_the_split_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    frames = random_frames(100)
    expected = assess(scorer, frames)[0].score
    memory = Memory(scorer.networks.hidden, 2)
    monkeypatch.setattr(scorer.networks, "hidden", memory)
    assert assess(scorer, frames)[0].score == pytest.approx(expected, abs=1e-3)
    assert scorer.clips_per_pass == 2
    assert memory.passes == 2 + 4  # 8 and 4 clips failed, then 7 clips in four passes


def test_no_memory_for_one_clip_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    monkeypatch.setattr(scorer.networks, "hidden", Memory(scorer.networks.hidden, 0))
    with pytest.raises(OutOfMemory):
        assess(scorer, random_frames(40))


def test_other_faults_are_not_taken_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(clips: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    monkeypatch.setattr(scorer.networks, "hidden", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        assess(scorer, random_frames(40))


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 180.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["to_clips", "gate_clip", "torch.cat", "torch.stack"])
def test_memory_that_runs_out_anywhere_is_said_so(
    monkeypatch: pytest.MonkeyPatch, place: str, fault: Exception
) -> None:
    def full(*_: object, **__: object) -> Tensor:
        raise fault

    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    monkeypatch.setattr(f"model_handler.scoring.{place}", full)

    def assess_all() -> None:
        clips = scorer.clips([random_frames(20)])
        scorer.refusals(clips)
        scorer.score(clips)

    with pytest.raises(OutOfMemory):
        assess_all()


@pytest.mark.parametrize("scarce", [True, False])
def test_a_library_that_finds_no_room_for_itself_is_memory_only_where_it_is_scarce(
    monkeypatch: pytest.MonkeyPatch, scarce: bool
) -> None:
    def broken(clips: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")

    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    monkeypatch.setattr(scorer.networks, "features", broken)
    monkeypatch.setattr(scorer, "_is_scarce", lambda: scarce)
    with pytest.raises(OutOfMemory if scarce else RuntimeError):
        scorer.features(scorer.clips([random_frames(20)])[0])


def test_passes_grow_again_once_memory_is_there() -> None:
    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    start, memory, clips = scorer.clips_per_pass, Memory(lambda clips: clips, 1), torch.zeros(3, 1, 1, 1, 1)
    scorer._forward(memory, clips)
    assert scorer.clips_per_pass == 1
    memory.clips = start
    for _ in range(30):
        scorer._forward(memory, clips)
    assert scorer.clips_per_pass == start


def test_a_shortage_that_lasts_is_tried_ever_more_rarely() -> None:
    scorer = Scorer(small_checkpoint(), CPU, torch.float32)
    memory, clips, count = Memory(lambda clips: clips, 1), torch.zeros(2, 1, 1, 1, 1), 200
    scorer._forward(memory, clips)
    before = memory.passes
    for _ in range(count):
        scorer._forward(memory, clips)
    # Two clips, one a pass; what failed besides is the trials, after 8, 16, 32 and 64 good ones.
    assert 0 < memory.passes - before - 2 * count <= 5
