"""The published pipeline's figures for a real dive, at full width (../shared/reference).

Tolerances: float32 differs from the published float64 scorer by rounding alone, so features and logits agree
to 1e-4 of their size. bfloat16 carries 8 bits, fp16 11: 0.3 points and 1e-2 of a feature norm for both.
"""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model_handler import checkpoint
from model_handler.checkpoint import Checkpoint
from model_handler.device import PRECISIONS, choose_dtype
from model_handler.engines.choice import choose
from model_handler.network import HEADS
from model_handler.scoring import Scorer, gate_frame_indices
from model_handler.video import Limits, decode
from springboard.torchserve import transport
from springboard.torchserve.process import TorchServe
from tests.clips import Frames, encode, rotate_by_tag
from tests.conftest import archive

pytestmark = pytest.mark.xdist_group("reference")

CPU = torch.device("cpu")
IN_HARDWARE: dict[str, Callable[[], bool]] = {
    "fp32": lambda: True,
    "bf16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    "fp16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
}
EXPECTED_HEADS = {"position": "position", "armstand": "armstand", "rotation_type": "rot_type"}
EXPECTED_HEADS |= {"ss_no": "ss_no", "tw_no": "tw_no"}


@pytest.fixture(scope="module")
def expected(shared: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((shared / "reference" / "expected.json").read_text())["054.avi"]
    return figures


@pytest.fixture(scope="module")
def clip(shared: Path) -> bytes:
    return (shared / "dives" / "054.avi").read_bytes()


def make_checkpoint(shared: Path, out: Path, gate: str) -> Path:
    maker = shared / "reference" / "make_checkpoint.py"
    subprocess.run([sys.executable, maker, out, "--seed", "7", "--gate", gate], check=True)
    return out


@pytest.fixture(scope="module")
def reference(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five published files, 565 MB."""
    return make_checkpoint(shared, tmp_path_factory.mktemp("reference"), "diving")


@pytest.fixture(scope="module")
def weights(reference: Path) -> Checkpoint:
    """The reference weights, the gate's verdict not forced, so that its logits show."""
    loaded = checkpoint.load(reference)
    gate = dict(loaded.parts["gate"])
    gate["fc8.bias"] = gate["fc8.bias"].clone()
    gate["fc8.bias"][463] = 0
    return replace(loaded, parts={**loaded.parts, "gate": gate})


@pytest.fixture(scope="module", params=["fp32", "bf16", "fp16", "fp32 openvino", "bf16 openvino"])
def scorer(request: pytest.FixtureRequest, weights: Checkpoint) -> Iterator[tuple[str, Scorer]]:
    precision, _, engine = request.param.partition(" ")
    with pytest.MonkeyPatch.context() as patch:
        if engine != "openvino" and not IN_HARDWARE[precision]():
            for layer in ("conv3d", "linear"):
                patch.setattr(functional, layer, as_tensor_cores_do(getattr(functional, layer)))
        dtype = PRECISIONS[precision]
        yield precision, Scorer(weights, CPU, dtype, choose(weights, CPU, dtype, engine or "torch"))


def as_tensor_cores_do(layer: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Have a layer take and give fp16 or bf16 and add up in fp32.

    For a CPU without such instructions: torch's own loops take more than ten minutes a dive there.
    """

    def compute(inputs: Tensor, weight: Tensor, bias: Tensor, *settings: Any) -> Tensor:
        return layer(inputs.float(), weight.float(), bias.float(), *settings).to(inputs.dtype)

    return compute


@pytest.fixture(scope="module")
def frames(clip: bytes) -> Frames:
    return decode(clip, Limits()).frames


def test_score_within_tolerance(scorer: tuple[str, Scorer], frames: Frames, expected: dict[str, Any]) -> None:
    precision, model = scorer
    assessment = model.score(model.clips([frames]))[0]
    assert assessment.score == pytest.approx(expected["points"], abs=0.05 if precision == "fp32" else 0.3)
    assert int(assessment.score) == expected["prediction"]
    assert len(assessment.contributions) == expected["clips"]
    assert assessment.probabilities is not None
    for name, head in EXPECTED_HEADS.items():
        assert len(assessment.probabilities[head]) == HEADS[head]
        assert assessment.probabilities[head] == pytest.approx(
            expected["heads_softmax"][name], abs=1e-4 if precision == "fp32" else 0.01
        )


def test_clip_features_within_tolerance(
    scorer: tuple[str, Scorer], frames: Frames, expected: dict[str, Any]
) -> None:
    precision, model = scorer
    norms = model.features(model.clips([frames])[0]).norm(dim=1)
    assert norms.tolist() == pytest.approx(
        expected["clip_feature_norms"], rel=1e-5 if precision == "fp32" else 1e-2
    )


def test_gate_logits_within_tolerance(
    scorer: tuple[str, Scorer], frames: Frames, expected: dict[str, Any], weights: Checkpoint
) -> None:
    precision, model = scorer
    gate = expected["gate"]
    assert gate_frame_indices(expected["frames_padded"]) == gate["frames"]
    logits = model.gate_logits(model.clips([frames]))
    assert logits is not None
    plain = logits[0] - weights.parts["gate"]["fc8.bias"]
    chosen = [float(plain[int(k)]) for k in gate["logits_without_bias"]]
    # Logits spread over some 1,000, so an absolute tolerance speaks for all of them.
    tolerance = {"fp32": 0.1, "fp16": 10, "bf16": 50}[precision]
    assert chosen == pytest.approx(list(gate["logits_without_bias"].values()), abs=tolerance)
    assert int(plain.argmax()) == gate["argmax_without_bias"]


def full_size_frames(video: bytes) -> Frames:
    with av.open(io.BytesIO(video), "r") as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def reencodings(clip: bytes) -> dict[str, bytes]:
    pictures = full_size_frames(clip)
    sideways = np.ascontiguousarray(np.rot90(pictures, 1, axes=(1, 2)))
    return {
        "H.264 mp4": encode(pictures, "libx264", "mp4", crf="18"),
        "HEVC mkv": encode(pictures, "libx265", "matroska", crf="18"),
        "VP9 webm": encode(pictures, "libvpx-vp9", "webm", crf="18", deadline="realtime"),
        "rotated by tag": rotate_by_tag(encode(sideways, "libx264", "mp4", crf="18"), 90),
    }


def test_reencoding_and_rotation_tags_leave_the_score(clip: bytes, weights: Checkpoint) -> None:
    model = Scorer(weights, CPU, choose_dtype("auto", CPU))

    def score(video: bytes) -> float:
        return model.score(model.clips([decode(video, Limits()).frames]))[0].score

    original = score(clip)
    scores = {name: score(video) for name, video in reencodings(clip).items()}
    print(f"original {original:.3f}", {name: round(s - original, 3) for name, s in scores.items()})
    assert scores == pytest.approx(dict.fromkeys(scores, original), abs=0.5)


def test_the_reference_archive_scores_the_dive_over_http(
    shared: Path, reference: Path, clip: bytes, expected: dict[str, Any], tmp_path: Path
) -> None:
    golden = shared / "dives" / "054.avi"
    mar = archive(reference, tmp_path, "1.2.3", "--golden", str(golden))
    manifest = json.loads(mar.with_suffix(".json").read_text())
    assert manifest["golden"]["score"] == pytest.approx(expected["points"], abs=0.05)
    with TorchServe(mar) as torchserve:
        url = transport.url(torchserve.served.address, "/invocations")
        answer = transport.request("POST", url, content=clip, timeout=120)
    body = answer.json()
    assert answer.status_code == 200
    assert body["score"] == pytest.approx(expected["points"], abs=0.3)
    assert body["prediction"] == expected["prediction"]
    assert body["dive"]["number"] == "107B"
    assert body["video"]["frames"] == expected["frames_decoded"]
    assert body["model"] == {"name": "dive", "version": "1.2.3"}


def test_a_gate_that_sees_no_diving_refuses_the_dive(shared: Path, clip: bytes, tmp_path: Path) -> None:
    other = checkpoint.load(make_checkpoint(shared, tmp_path, "other"))
    model = Scorer(other, CPU, choose_dtype("auto", CPU))
    refusal = model.refusals(model.clips([decode(clip, Limits()).frames]))[0]
    assert refusal is not None
    assert refusal.details["gate"]["class"] == 0
