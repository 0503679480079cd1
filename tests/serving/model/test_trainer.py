"""The way of somebody with clips and labels of their own: a spreadsheet, its faults, a model, an API."""

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from demo.dataset import render_dataset
from demo.frames import open_store
from demo.labels import read_labels
from model_handler.checkpoint import load
from model_handler.scoring import Scorer
from springboard.system.checkout import ROOT
from springboard.torchserve import transport
from springboard.torchserve.process import TorchServe
from tests.clips import encode, moving_frames
from tests.conftest import archive

pytestmark = pytest.mark.xdist_group("demo")


def train(dataset: Path, run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    tiny = ("--width", "0.0625", "--gate-width", "0.03125", "--epochs", "1", "--dives-per-batch", "2")
    command = [sys.executable, "-m", "demo.train", str(dataset), "--run", str(run), *tiny, *more]
    return subprocess.run(
        [*command, "--out", str(run / "model.safetensors")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def excel(dataset: Path, rows: list[dict[str, str]]) -> None:
    """Save the table as Excel does where commas are decimal: a mark, semicolons, a tail of empty cells."""
    with (dataset / "labels.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=";", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(
            {name: value.replace(".", ",") if name == "final_score" else value for name, value in row.items()}
            for row in rows
        )
        writer.writerow({})


def test_from_a_spreadsheet_with_faults_to_the_same_scores_over_http(tmp_path: Path) -> None:
    dataset, run = tmp_path / "dives", tmp_path / "run"
    # Without clips that are no dives the gate learns to let everything in, and every clip is scored.
    render_dataset(dataset, train=(6, 0), held_out=(2, 1), workers=1)
    with (dataset / "labels.csv").open(newline="") as file:
        good = list(csv.DictReader(file))
    broken = [dict(row) for row in good]
    broken[0]["clip"] = "train/dvie.mp4"
    broken[1]["final_score"] = "n/a"
    broken[2]["diving"] = "True"
    broken[3]["position"] = "7"
    broken[6]["split"] = "test"
    excel(dataset, broken)
    refused = train(dataset, run)
    assert refused.returncode != 0
    assert "has 5 faults" in refused.stderr
    for fault in (
        "line 2: clip train/dvie.mp4 is not there",
        "line 3: final_score is 'n/a', which is no number",
        "line 4: diving is 'True', and must be 1 or 0",
        "line 5: position is '7', and must be from 0 to 2",
        "line 8: split is 'test', and must be train or held_out",
    ):
        assert fault in refused.stderr
    assert "Traceback" not in refused.stderr

    excel(dataset, good)
    clip = dataset / good[5]["clip"]
    whole = clip.read_bytes()
    clip.write_bytes(encode(moving_frames(10)))
    refused = train(dataset, run)
    assert f"line 7: {clip.name}: " in refused.stderr
    clip.write_bytes(whole)
    done = train(dataset, run, "--trained-on", "seven clips")
    assert done.returncode == 0, done.stderr
    figures = json.loads((run / "model.json").read_text())
    assert figures["held_out"]["mean_absolute_error"] > 0
    assert figures["held_out"]["gate_precision"] is None or figures["held_out"]["gate_precision"] <= 1
    other = train(dataset, run, "--seed", "7")
    assert "seed is 7 here and 0 there" in other.stderr

    weights = run / "model.safetensors"
    first, second = (archive(weights, tmp_path / name, "1.0.0") for name in ("once", "again"))
    assert len({hashlib.sha256(mar.read_bytes()).digest() for mar in (first, second)}) == 1

    labels = [label for label in read_labels(dataset) if label.held_out]
    store, _ = open_store(labels, run)
    scorer = Scorer(load(weights), torch.device("cpu"), torch.float32)
    with TorchServe(first) as served:
        scored = 0
        for index, label in enumerate(labels):
            clips = scorer.clips([np.array(store[index])])
            answer = transport.request("POST", served.predictions_url, content=label.path.read_bytes())
            if (refusal := scorer.refusals(clips)[0]) is not None:
                assert answer.json()["error"]["code"] == refusal.code
            else:
                assert answer.json()["score"] == pytest.approx(scorer.score(clips)[0].score, abs=0.1)
                assert answer.json()["model"]["trained_on"] == "seven clips"
                scored += 1
        assert scored
