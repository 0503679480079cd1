"""archive.sh: what it writes, and what it says when it cannot."""

import hashlib
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from model_handler.checkpoint import save
from springboard.system.checkout import ROOT
from tests.clips import encode, moving_frames
from tests.conftest import archive, small_checkpoint


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["./archive.sh", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_manifest_says_what_is_in_the_archive(small_weights: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.mp4"
    golden.write_bytes(encode(moving_frames(40)))
    dives = tmp_path / "dives"
    dives.mkdir()
    for seed in range(3):
        (dives / f"{seed}.mp4").write_bytes(encode(moving_frames(20 + seed, seed=seed)))
    (dives / "readme.txt").write_text("not a dive")
    mar = archive(
        small_weights, tmp_path / "out", "1.4.0", "--golden", str(golden), "--reference", str(dives)
    )
    assert sorted(p.name for p in mar.parent.iterdir()) == ["dive-1.4.0.json", "dive-1.4.0.mar"]
    manifest = json.loads(mar.with_suffix(".json").read_text())
    assert manifest["version"] == "1.4.0"
    assert manifest["archive"] == {
        "file": "dive-1.4.0.mar",
        "sha256": sha256(mar),
        "size_bytes": mar.stat().st_size,
    }
    assert manifest["weights"]["parts"] == ["backbone", "dive", "fc6", "gate", "score"]
    assert manifest["weights"]["trained_on"] == "random numbers"
    assert manifest["torch"] == torch.__version__
    assert manifest["golden"]["sha256"] == sha256(golden)
    assert manifest["golden"]["tolerance"] > 0
    reference = manifest["reference_scores"]
    assert (reference["clips"], reference["refused"]) == (3, {"readme.txt": "unreadable_video"})
    assert reference["percentiles"]["0"] <= reference["mean"] <= reference["percentiles"]["100"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--weights is missing"),
        (["--weights"], "--weights needs a value"),
        (["--weights", "/nowhere", "--version", "1.0.0"], "/nowhere does not exist"),
        (["--weights", "tests"], "--version should look like 1.4.0"),
        (["--weights", "tests", "--version", "1.0"], "found '1.0'"),
        (["--weights", "tests", "--version", "1.0.0", "--golden", "none.mp4"], "none.mp4 is not a file"),
        (["--wights", "x"], "unknown option --wights"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], says: str) -> None:
    failed = run(*arguments)
    assert failed.returncode == 2
    assert says in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_folder_without_weights_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    failed = run("--weights", str(tmp_path / "empty"), "--version", "1.0.0", "--out", str(tmp_path / "out"))
    assert failed.returncode != 0
    assert "has no model_CNN_*.pth" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_golden_clip_that_cannot_be_scored_fails_the_archive(small_weights: Path, tmp_path: Path) -> None:
    golden = tmp_path / "golden.mp4"
    golden.write_bytes(b"not a video")
    out = tmp_path / "out"
    failed = run(
        "--weights", str(small_weights), "--version", "1.0.0", "--golden", str(golden), "--out", str(out)
    )
    assert failed.returncode != 0
    assert "cannot score" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list(out.iterdir()) == []


def test_help_lists_every_option() -> None:
    usage = run("--help")
    assert usage.returncode == 0
    for option in ("--weights", "--version", "--golden", "--reference", "--config", "--out"):
        assert option in usage.stdout


def test_the_same_input_gives_the_same_archive_also_at_the_same_time(
    small_weights: Path, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda name: archive(small_weights, tmp_path / name, "1.0.0"), ("a", "b"))
    assert sha256(first) == sha256(second)
    with zipfile.ZipFile(first) as packed:
        described = json.loads(packed.read("MAR-INF/MANIFEST.json"))
        assert {entry.date_time[0] for entry in packed.infolist()} == {1980}
    assert described["model"]["modelVersion"] == "1.0.0"
    assert "createdOn" not in described


def test_reference_clips_may_lie_in_folders(small_weights: Path, tmp_path: Path) -> None:
    dives = tmp_path / "dives"
    for name in ("train/1.mp4", "held_out/2.mp4", ".git/HEAD", "__MACOSX/._1.mp4"):
        (dives / name).parent.mkdir(parents=True, exist_ok=True)
        (dives / name).write_bytes(encode(moving_frames(20, seed=len(name))))
    (dives / "train/notes.txt").write_text("not a dive")
    mar = archive(small_weights, tmp_path / "out", "1.0.0", "--reference", str(dives))
    reference = json.loads(mar.with_suffix(".json").read_text())["reference_scores"]
    assert (reference["clips"], reference["refused"]) == (2, {"train/notes.txt": "unreadable_video"})


def test_a_reference_folder_without_clips_is_named(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "dives").mkdir()
    failed = run(
        *("--weights", str(small_weights), "--version", "1.0.0"),
        *("--reference", str(tmp_path / "dives"), "--out", str(tmp_path / "out")),
    )
    assert failed.returncode != 0
    assert "dives, holds no files" in failed.stderr


def test_weights_whose_golden_score_is_not_finite_are_not_packed(tmp_path: Path) -> None:
    weights = small_checkpoint(gate_class=None)
    for tensor in weights.parts["backbone"].values():
        tensor.mul_(1e12)
    save(weights, tmp_path / "absurd.safetensors")
    golden = tmp_path / "golden.mp4"
    golden.write_bytes(encode(moving_frames(40)))
    failed = run(
        *("--weights", str(tmp_path / "absurd.safetensors"), "--version", "1.0.0"),
        *("--golden", str(golden), "--out", str(tmp_path / "out")),
    )
    assert failed.returncode != 0
    assert "these weights cannot score anything" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_it_says_what_it_packs_and_what_it_lacks(tmp_path: Path) -> None:
    save(small_checkpoint(gate_class=None), tmp_path / "w.safetensors")
    done = run(
        "--weights", str(tmp_path / "w.safetensors"), "--version", "1.0.0", "--out", str(tmp_path / "out")
    )
    assert "packing backbone, dive, fc6, score at width 0.0625" in done.stderr
    assert "no gate (c3d.pickle): nothing will be refused as not a dive" in done.stderr


@pytest.mark.parametrize("version", ["1.0.0-01", "1.0.0-a..b", "1.0.0-.", "1.0.0-", "1.0.0+build", "v1.0.0"])
def test_versions_are_semver(version: str) -> None:
    assert f"found '{version}'" in run("--weights", "tests", "--version", version).stderr


def test_every_part_of_the_model_is_in_the_archive_and_imports_from_there(
    small_archive: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(small_archive) as packed:
        packed.extractall(tmp_path)
    ours = {path.relative_to(ROOT) for path in (ROOT / "model_handler").rglob("*.py")}
    ours.remove(Path("model_handler/handler.py"))  # at the archive's root
    assert {path.relative_to(tmp_path) for path in (tmp_path / "model_handler").rglob("*.py")} == ours
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in sorted(ours)]
    code = f"import {', '.join(names)}, handler; print(handler.__file__, model_handler.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "handler.py"), str(tmp_path / "model_handler/__init__.py")]
