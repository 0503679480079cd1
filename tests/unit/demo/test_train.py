"""Training: what is saved is what was trained, and a cut-off run goes on where it was."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.dataset import render_dataset
from demo.labels import HEADS, Label, LabelError
from demo.learner import Batch, Learner
from demo.train import DivergedError, Recipe, train
from model_handler.checkpoint import load
from model_handler.scoring import GATE_INPUT_SCALE

_TINY = Recipe(width=1 / 16, gate_width=1 / 32, epochs=1, dives_per_batch=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    render_dataset(folder, train=(4, 2), held_out=(2, 1), workers=1)
    return folder


def test_batch_norm_folds_into_the_published_layers_without_changing_answers() -> None:
    torch.manual_seed(0)
    learner = Learner(width=1 / 16, gate_width=1 / 32)
    clips = torch.randn(4, 3, 16, 112, 112)
    with torch.no_grad():
        for _ in range(3):  # gives the norms statistics that are not the initial ones
            learner.backbone(clips)
            learner.gate(clips)
        checkpoint = learner.checkpoint("noise")
        backbone, gate = checkpoint.module("backbone"), checkpoint.module("gate")
        assert backbone is not None
        assert gate is not None
        torch.testing.assert_close(backbone(clips), learner.backbone(clips), rtol=1e-3, atol=1e-4)
        # The published gate wants its input times 255 twice, and answers on that scale.
        torch.testing.assert_close(
            gate(clips * GATE_INPUT_SCALE) / GATE_INPUT_SCALE, learner.gate(clips), rtol=1e-3, atol=1e-4
        )


def test_training_measures_saves_and_goes_on_after_the_last_epoch(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.safetensors"
    measured = train(dataset, tmp_path, out, _TINY, trained_on="two dives")
    assert {"spearman", "mean_absolute_error", "accuracy_position", "gate_recall"} <= set(measured)
    assert math.isfinite(measured["mean_absolute_error"])
    first = load(out)
    assert (first.width, first.gate_width, first.trained_on) == (1 / 16, 1 / 32, "two dives")

    train(dataset, tmp_path, out, replace(_TINY, epochs=2), trained_on="two dives")
    assert "Going on after epoch 1" in capsys.readouterr().out
    changed = load(out).parts["score"]["fc_final_score.weight"]
    assert not torch.equal(changed, first.parts["score"]["fc_final_score.weight"])


def test_training_starts_from_weights_and_leaves_their_stem_and_gate(dataset: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(dataset, tmp_path / "a", first, _TINY, trained_on=None)
    unmoved = replace(_TINY, learning_rate=0.0)
    train(dataset, tmp_path / "b", second, unmoved, trained_on=None, start_from=first)
    before, after = load(first).parts, load(second).parts
    for part in before:
        # The norms put between the layers learn from other batches meanwhile, so only roughly.
        torch.testing.assert_close(after[part], before[part], rtol=0.2, atol=0.05)

    train(dataset, tmp_path / "c", second, _TINY, trained_on=None, start_from=first)
    after = load(second).parts
    torch.testing.assert_close(after["gate"], before["gate"], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(after["backbone"]["conv1.weight"], before["backbone"]["conv1.weight"])
    assert not torch.equal(after["backbone"]["conv3a.weight"], before["backbone"]["conv3a.weight"])

    with pytest.raises(LabelError, match=r"has width 0\.0625 and gate width 0\.03125"):
        train(dataset, tmp_path / "d", second, replace(_TINY, width=0.125), trained_on=None, start_from=first)


def test_what_a_clip_shows_is_learned_from_its_labels() -> None:
    label = Label(Path(), False, True, 60.0, dict.fromkeys(HEADS, 1), 2.0, 10.0, 40.0, (0.5,) * 6)
    torch.manual_seed(0)
    learner = Learner(1 / 16, 1 / 32)
    batch = Batch(torch.randn(4, 3, 16, 112, 112), [4], [label], [0])
    losses = learner.losses(batch)
    assert {"score", "faults", "clip_faults", "clip_hints", *HEADS} <= set(losses)
    assert all(loss > 0 for loss in losses.values())
    unknown = replace(label, difficulty=None, takeoff=None, entry=None, faults=(math.nan,) * 6)
    losses = learner.losses(replace(batch, labels=[unknown]))
    assert {name for name, loss in losses.items() if loss == 0} >= {
        "execution",
        "faults",
        "clip_faults",
        "clip_hints",
    }


def test_a_dataset_smaller_than_a_batch_is_refused(dataset: Path, tmp_path: Path) -> None:
    recipe = replace(_TINY, dives_per_batch=8)
    with pytest.raises(LabelError, match="4 dives to train on are fewer than a batch of 8"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", recipe, trained_on=None)


def test_a_training_that_diverges_stops_and_says_where(dataset: Path, tmp_path: Path) -> None:
    recipe = replace(_TINY, dives_per_batch=1, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"of epoch 1.*lower --learning-rate"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", recipe, trained_on=None)
