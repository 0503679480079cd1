"""Hostile and broken files: each is scored or refused within its limits and opens nothing (tests/fuzz.py)."""

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import pytest

from model_handler.video.streams import CONTAINERS
from springboard.system.checkout import ROOT
from tests.fuzz import samples

FILES = 1000
MAX_ADDED_MIB = 200


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_files_are_scored_or_refused_and_open_nothing(small_weights: Path, seed: int) -> None:
    command = [sys.executable, "-m", "tests.fuzz", str(small_weights), str(seed), str(FILES)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"died with {run.returncode} after {lines[-1:]}: {run.stderr[-2000:]}"
    answers = [line for line in lines if "status" in line]
    assert len(answers) == FILES
    statuses = Counter(answer["status"] for answer in answers)
    assert set(statuses) <= {200, 400, 403, 413, 422}, statuses
    assert min(statuses[200], statuses[422]) > FILES / 20, f"the files are too tame or too wild: {statuses}"
    assert all(answer["error"]["message"] for answer in answers if answer["status"] != 200)
    assert lines[-1]["added_kib"] < MAX_ADDED_MIB * 1024


def test_every_demuxer_on_the_list_is_fuzzed() -> None:
    formats = set()
    for video in samples():
        with av.open(io.BytesIO(video)) as container:
            formats |= set(container.format.name.split(","))
    assert set(CONTAINERS) <= formats


def test_the_watch_for_opened_files_works() -> None:
    """The fuzz test above would be worth nothing if opening a file went unnoticed."""
    code = "import av; from tests.fuzz import forbid_opening; forbid_opening(); av.open('README.md')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert run.returncode == -31  # SIGSYS
