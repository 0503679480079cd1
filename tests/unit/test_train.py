"""Training: what is saved is what was trained, and a cut-off run goes on where it was."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from demo.dataset import LabelError, render_dataset
from demo.learner import Learner
from demo.train import Recipe, train
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


def test_a_dataset_smaller_than_a_batch_is_refused(dataset: Path, tmp_path: Path) -> None:
    recipe = replace(_TINY, dives_per_batch=8)
    with pytest.raises(LabelError, match="4 dives to train on are fewer than a batch of 8"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", recipe, trained_on=None)
