"""The demo model behind a real TorchServe: rendered dives hold the whole path against a truth."""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from demo.client import ask, ask_about
from demo.dataset import drawing_processes, render_dataset
from demo.figures import figures, spearman
from demo.labels import Label, read_labels
from demo.render import Video, draw, encode, perform
from springboard.system.checkout import ROOT
from springboard.torchserve import transport
from springboard.torchserve.process import TorchServe
from tests.conftest import archive

pytestmark = pytest.mark.xdist_group("demo")

WEIGHTS = ROOT / "demo/weights"
_STEPS = (9.5, 7.5, 5.5, 3.5, 1.5)  # executions
_POORER_SEEDS = range(3_000_000, 3_000_020)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with TorchServe(archive(WEIGHTS, tmp_path_factory.mktemp("archive"))) as torchserve:
        yield torchserve.predictions_url


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> list[Label]:
    folder = tmp_path_factory.mktemp("dives")
    render_dataset(folder, train=(0, 0), held_out=(60, 20))
    return read_labels(folder)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with transport.client(timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def measured(client: httpx.Client, url: str, held_out: list[Label]) -> dict[str, float]:
    return figures(ask_about(client, url, held_out))


def test_held_out_dives_are_ranked_and_named_right(measured: dict[str, float]) -> None:
    assert measured["spearman"] >= 0.85, measured
    assert measured["mean_absolute_error"] <= 7, measured
    assert measured["accuracy_position"] >= 0.9, measured
    assert measured["accuracy_armstand"] >= 0.9, measured
    assert measured["accuracy_ss_no"] >= 0.9, measured


def test_the_gate_lets_dives_in_and_nothing_else(measured: dict[str, float]) -> None:
    assert measured["gate_recall"] >= 0.95, measured
    assert measured["gate_precision"] >= 0.95, measured


def _swap_red_and_blue(frames: Video) -> Video:
    return frames[..., ::-1]


def _drop_every_other(frames: Video) -> Video:
    return frames[::2]


@pytest.mark.parametrize("mistake", [_swap_red_and_blue, _drop_every_other])
def test_a_mistake_in_the_path_lowers_the_correlation(
    client: httpx.Client,
    url: str,
    held_out: list[Label],
    measured: dict[str, float],
    mistake: Callable[[Video], Video],
) -> None:
    dives = [label for label in held_out if label.diving]
    scores = []
    for label in dives:
        with av.open(label.path) as container:
            frames = np.stack(
                [f.to_ndarray(format="rgb24") for f in container.decode(video=0)], dtype=np.uint8
            )
        # What the gate refuses is worth nothing: no score at all would be the worst of mistakes.
        scores.append(ask(client, url, encode(mistake(frames), 25)).score or 0.0)
    spoiled = spearman([label.score for label in dives], scores)
    assert spoiled < measured["spearman"] - 0.03


def _poorer_dive(seed: int, execution: float) -> bytes:
    drawn = draw(perform(seed, execution=execution))
    return encode(drawn.frames, drawn.fps)


def test_each_step_of_poorer_execution_lowers_the_mean_score(client: httpx.Client, url: str) -> None:
    jobs = [(seed, execution) for execution in _STEPS for seed in _POORER_SEEDS]
    with drawing_processes() as pool:
        answers = [ask(client, url, video) for video in pool.map(_poorer_dive, *zip(*jobs, strict=True))]
    scores = np.array([answer.score or np.nan for answer in answers]).reshape(len(_STEPS), -1)
    means = np.nanmean(scores, axis=1)
    assert np.isnan(scores).mean() <= 0.02
    assert (np.diff(means) < 0).all(), means


@pytest.mark.parametrize(("name", "status"), [("good-dive", 200), ("poor-dive", 200), ("not-a-dive", 422)])
def test_the_sample_clips_are_answered_as_readme_says(
    client: httpx.Client, url: str, name: str, status: int
) -> None:
    clip: Path = ROOT / f"demo/clips/{name}.mp4"
    assert clip.stat().st_size < 300_000
    answer = client.post(url, content=clip.read_bytes())
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json()["model"]["trained_on"] == "rendered dives"
