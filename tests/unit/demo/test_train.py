"""Training: what is saved is what was trained, and a cut-off run goes on where it was."""

import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.dataset import render_dataset
from demo.figures import spearman
from demo.frames import open_store
from demo.labels import HEADS, Label, LabelError, read_labels
from demo.learner import Batch, Learner
from demo.recipe import Recipe, origin
from demo.resume import RunError, alone, load_state, save_state
from demo.train import DivergedError, train
from model_handler.checkpoint import load
from model_handler.engines import GATE_INPUT_SCALE
from model_handler.published import FILES
from model_handler.video import Limits, decode
from tests.clips import encode, moving_frames
from tests.conftest import small_checkpoint

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


def copy_of(dataset: Path, folder: Path) -> Path:
    return Path(shutil.copytree(dataset, folder))


def test_a_clip_that_was_cut_anew_under_its_name_is_decoded_anew_and_no_other(
    dataset: Path, tmp_path: Path
) -> None:
    dives = copy_of(dataset, tmp_path / "dives")
    labels = read_labels(dives)
    before, _ = open_store(labels, tmp_path)
    size = (tmp_path / "frames.u8").stat().st_size
    changed = encode(moving_frames(48))
    labels[1].path.write_bytes(changed)
    after, bad = open_store(read_labels(dives), tmp_path)
    assert not bad
    assert np.array_equal(after[1], decode(changed, Limits()).frames)
    assert np.array_equal(after[0], before[0])
    assert (tmp_path / "frames.u8").stat().st_size == size + after[1].nbytes


def test_bad_clips_are_all_named_and_left_out_where_asked(dataset: Path, tmp_path: Path) -> None:
    dives = copy_of(dataset, tmp_path / "dives")
    labels = read_labels(dives)
    labels[0].path.write_bytes(b"no video")
    labels[1].path.write_bytes(encode(moving_frames(10)))
    out = tmp_path / "model.safetensors"
    with pytest.raises(LabelError) as raised:
        train(dives, tmp_path, out, _TINY, trained_on=None)
    said = str(raised.value)
    assert f"line {labels[0].line}: {labels[0].path.name}: " in said
    assert f"line {labels[1].line}: {labels[1].path.name}: " in said
    assert "--leave-out-bad-clips" in said
    kept = (tmp_path / "frames.json").stat().st_mtime_ns
    measured = train(dives, tmp_path, out, _TINY, trained_on=None, leave_out_bad=True)
    assert math.isfinite(measured["mean_absolute_error"])
    assert (tmp_path / "frames.json").stat().st_mtime_ns >= kept


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"seed": 7}, "seed is 7 here and 0 there"),
        ({"learning_rate": 0.1}, "learning_rate is 0.1 here and 0.0015 there"),
        ({"width": 1 / 32}, "width is 0.03125 here and 0.0625 there"),
    ],
)
def test_another_trainings_state_is_never_gone_on_with(
    dataset: Path, tmp_path: Path, other: dict[str, float], says: str
) -> None:
    recipe = Recipe(**(asdict(_TINY) | other))
    made = origin(_TINY, read_labels(dataset), None)
    save_state(tmp_path / "resume.pt", {"epoch": 1}, made)
    with pytest.raises(RunError, match=rf"{says}.*another --run") as raised:
        train(dataset, tmp_path, tmp_path / "model.safetensors", recipe, trained_on=None)
    assert not (tmp_path / "model.safetensors").exists()
    assert "Traceback" not in str(raised.value)


def test_other_labels_are_another_training(dataset: Path, tmp_path: Path) -> None:
    dives = copy_of(dataset, tmp_path / "dives")
    save_state(tmp_path / "resume.pt", {"epoch": 1}, origin(_TINY, read_labels(dives), None))
    table = (dives / "labels.csv").read_text().splitlines()
    cells = table[1].split(",")
    cells[table[0].split(",").index("final_score")] = "1"
    (dives / "labels.csv").write_text("\n".join([table[0], ",".join(cells), *table[2:]]))
    with pytest.raises(RunError, match="clips and labels is"):
        train(dives, tmp_path, tmp_path / "model.safetensors", _TINY, trained_on=None)


def test_more_epochs_done_than_asked_for_are_said(dataset: Path, tmp_path: Path) -> None:
    save_state(tmp_path / "resume.pt", {"epoch": 3}, origin(_TINY, read_labels(dataset), None))
    with pytest.raises(RunError, match="1 epochs are asked for here, 3 are done there"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", _TINY, trained_on=None)


def test_what_does_not_fit_the_disk_is_said_before_it_is_begun(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(RunError, match=r"of decoded frames are to go into .* another disk"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", _TINY, trained_on=None)
    assert not (tmp_path / "frames.json").exists()


def test_two_trainings_in_one_folder_are_one_too_many(dataset: Path, tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(RunError, match=r"another training is at work in .* another --run"):
        train(dataset, tmp_path, tmp_path / "model.safetensors", _TINY, trained_on=None)
    assert not (tmp_path / "frames.u8").exists()
    with alone(tmp_path):
        pass


def test_a_state_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, made = tmp_path / "resume.pt", origin(_TINY, [], None)
    save_state(file, {"epoch": 1}, made)

    def full(_: object, draft: Path) -> None:
        draft.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match=r"its disk may be full.*after the epoch before"):
        save_state(file, {"epoch": 2}, made)
    assert [path.name for path in tmp_path.iterdir()] == ["resume.pt"]
    state = load_state(file, made, 2, torch.device("cpu"))
    assert state is not None
    assert state["epoch"] == 1


def test_a_device_that_is_not_there_is_said_so(dataset: Path, tmp_path: Path) -> None:
    for device in ("cuda:99", "gpu"):
        with pytest.raises(RunError, match=f"--device {device} cannot be used"):
            train(dataset, tmp_path, tmp_path / "m.safetensors", _TINY, trained_on=None, device=device)


def test_predictions_that_are_no_numbers_have_no_ranks() -> None:
    assert spearman([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert math.isnan(spearman([1, 2, 3], [1, math.nan, 3]))
    assert math.isnan(spearman([1, 2, 3], [1, math.inf, 3]))


def test_what_a_server_would_warn_of_is_said_of_training_clips(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dives = copy_of(dataset, tmp_path / "dives")
    (label, *_) = read_labels(dives)
    label.path.write_bytes(encode(moving_frames(64), fps=60))
    open_store(read_labels(dives)[:1], tmp_path)
    said = capfd.readouterr()
    assert f"line {label.line}: {label.path.name}: " in said.out + said.err


@pytest.mark.parametrize("optional", [True, False])
def test_the_published_files_can_be_trained_on(dataset: Path, tmp_path: Path, optional: bool) -> None:
    published = tmp_path / "published"
    published.mkdir()
    names = {
        part: pattern.replace("*", "94") for part, (pattern, needed) in FILES.items() if needed or optional
    }
    for part, state in small_checkpoint().parts.items():
        if part in names:
            torch.save(state, published / names[part], _use_new_zipfile_serialization=False)
    out = tmp_path / "model.safetensors"
    recipe = replace(_TINY, width=1 / 16, gate_width=1 / 16)
    train(dataset, tmp_path / "run", out, recipe, trained_on=None, start_from=published)
    tuned = load(out)
    assert set(tuned.parts) == {*names, "dive"}
    stem = small_checkpoint().parts["backbone"]["conv1.weight"]
    torch.testing.assert_close(tuned.parts["backbone"]["conv1.weight"], stem)


def test_rows_that_cannot_be_trained_on_are_said_before_anything_is_decoded(
    dataset: Path, tmp_path: Path
) -> None:
    dives = copy_of(dataset, tmp_path / "dives")
    table = (dives / "labels.csv").read_text().splitlines()
    (dives / "labels.csv").write_text("\n".join(row for row in table if "held_out" not in row))
    with pytest.raises(LabelError, match="no row's split is held_out"):
        train(dives, tmp_path, tmp_path / "model.safetensors", _TINY, trained_on=None)
    assert not (tmp_path / "frames.u8").exists()
