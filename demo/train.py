"""Train a checkpoint on a folder of labelled clips: rendered dives, or real ones.

    python -m demo.train DATASET --run build/demo --out model.safetensors

DATASET is laid out as demo/labels.py describes; with --render it is drawn first. An interrupted training
goes on after the last epoch it finished when the same command is given again.
"""

import argparse
import ctypes
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from demo.dataset import render_dataset
from demo.figures import Answer, figures
from demo.frames import FrameStore, MapStore
from demo.labels import Label, LabelError, read_labels
from demo.learner import STEM, Batch, Learner
from model_handler.checkpoint import load, save
from model_handler.device import choose_dtype
from model_handler.network import HEADS
from model_handler.scoring import Scorer, gate_clip, to_clips

_MAX_SHIFT = 8  # frames cut off the beginning at random, so that clip borders fall everywhere
_WARM_UP = 0.03  # share of all steps in which the learning rate rises
_COOL_DOWN = 0.4  # share in which it falls to nothing; between, it is constant: see --epochs


class DivergedError(ArithmeticError):
    """The training went astray; the message says where, and what to do."""


@dataclass(frozen=True)
class Recipe:
    """What a training is made of. The checkpoint depends on it, the dataset and the number of threads."""

    width: float = 0.125
    gate_width: float = 0.0625
    epochs: int = 6
    dives_per_batch: int = 4
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    seed: int = 0


def train(
    dataset: Path,
    run: Path,
    out: Path,
    recipe: Recipe,
    trained_on: str | None,
    threads: int = 1,
    start_from: Path | None = None,
) -> dict[str, float]:
    """Train on the rows `train`, write the checkpoint and return its figures on the rows `held_out`.

    `run` keeps decoded frames and the state to resume from. Nothing is chosen by the held-out figures: the
    last epoch's weights are the result. `threads` parts of each batch learn side by side. With `start_from`
    training begins with that checkpoint's weights, and its stem and gate stay as they are.
    """
    run.mkdir(parents=True, exist_ok=True)
    labels = read_labels(dataset)
    store = FrameStore.open(labels, run)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(recipe.seed)
    learner = Learner(recipe.width, recipe.gate_width).to(device)
    maps = None if start_from is None else _start(learner, start_from, labels, store, run)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in learner.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    epoch, resume = 0, run / "resume.pt"
    if resume.is_file():
        state = torch.load(resume, map_location=device, weights_only=True)
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        epoch = state["epoch"]
        print(f"Going on after epoch {epoch} of {resume}")
    measured: dict[str, float] = {}
    while epoch < recipe.epochs:
        with ThreadPoolExecutor(threads) as pool:
            _train_epoch(learner, optimizer, labels, maps or store, recipe, epoch, pool, threads)
        epoch += 1
        # To a new file first: a run that is cut off while it writes keeps the epoch before.
        state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(state, resume.with_suffix(".new"))
        resume.with_suffix(".new").replace(resume)
        last = epoch == recipe.epochs
        measured = _measure(learner, out, labels, store, trained_on, every=1 if last else 4)
        print(f"epoch {epoch}: " + "  ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    return measured or _measure(learner, out, labels, store, trained_on, every=1)


def _start(
    learner: Learner, weights: Path, labels: Sequence[Label], store: FrameStore, run: Path
) -> MapStore:
    """Give the learner these weights, and return what their stem makes of the dives to train on."""
    dives = [i for i, label in enumerate(labels) if label.diving and not label.held_out]
    device = next(learner.parameters()).device
    some = [to_clips(torch.from_numpy(store[i].copy()).to(device)) for i in dives[:: len(dives) // 16 + 1]]
    try:
        learner.adopt(load(weights), torch.cat(some))
    except ValueError as error:
        raise LabelError(f"{weights}: {error}") from error
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return MapStore.open(store, dives, run, sha256, lambda clips: learner.stem(clips.to(device)).cpu())


def _train_epoch(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    labels: Sequence[Label],
    store: FrameStore | MapStore,
    recipe: Recipe,
    epoch: int,
    pool: Executor,
    parts: int,
) -> None:
    learner.train()

    def learn(dives: list[int], others: list[int], seed: int) -> dict[str, float]:
        """Add one part's gradients to those of the other parts and return its losses."""
        device = next(learner.parameters()).device
        losses = learner.losses(_batch(labels, store, dives, others, np.random.default_rng(seed), device))
        torch.autograd.backward(torch.stack(list(losses.values())).sum() / parts)
        return {name: loss.item() for name, loss in losses.items()}

    rng = np.random.default_rng([recipe.seed, epoch])
    batches = _shuffle(labels, recipe.dives_per_batch, rng)
    progress = tqdm(batches, desc=f"epoch {epoch + 1}/{recipe.epochs}", unit="batch", smoothing=0.05)
    running: dict[str, float] = {}
    for step, (dives, others) in enumerate(progress):
        done = (epoch + step / len(batches)) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min(1.0, done / _WARM_UP, (1 - done) / _COOL_DOWN)
        optimizer.zero_grad()
        seeds = rng.integers(2**32, size=parts).tolist()
        for losses in pool.map(
            learn, [dives[i::parts] for i in range(parts)], [others[i::parts] for i in range(parts)], seeds
        ):
            for name, loss in losses.items():
                running[name] = 0.97 * running.get(name, loss) + 0.03 * loss
        norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        if not norm.isfinite():
            raise DivergedError(
                f"the gradients became {norm.item()} in batch {step + 1} of epoch {epoch + 1}. What the "
                "epochs before it learned is kept; go on from there with a lower --learning-rate"
            )
        optimizer.step()
        progress.set_postfix({name: f"{value:.2f}" for name, value in running.items()}, refresh=False)


def _shuffle(
    labels: Sequence[Label], size: int, rng: np.random.Generator
) -> list[tuple[list[int], list[int]]]:
    """Return an epoch's batches of training clips: `size` dives each, and the others spread over them."""
    dives = [i for i, label in enumerate(labels) if label.diving and not label.held_out]
    others = [i for i, label in enumerate(labels) if not label.diving and not label.held_out]
    if len(dives) < size:
        raise LabelError(f"{len(dives)} dives to train on are fewer than a batch of {size}")
    count = len(dives) // size
    shuffled = rng.permutation(dives)[: count * size].reshape(count, size)
    spread = np.array_split(rng.permutation(others).astype(int), count)
    return [(batch.tolist(), rest.tolist()) for batch, rest in zip(shuffled, spread, strict=True)]


def _batch(
    labels: Sequence[Label],
    store: FrameStore | MapStore,
    dives: list[int],
    others: list[int],
    rng: np.random.Generator,
    device: torch.device,
) -> Batch:
    """Return these clips, prepared as the server does, mirrored and shifted at random; or the dives' maps."""
    if isinstance(store, MapStore):
        maps = [torch.from_numpy(np.array(store[index])).to(device).float() for index in dives]
        return Batch(
            clips=torch.cat(maps).contiguous(memory_format=torch.channels_last_3d),
            start=STEM,
            counts=[len(each) for each in maps],
            labels=[labels[index] for index in dives],
            shifts=[0] * len(dives),
        )
    shifts, videos = [], []
    for index in dives + others:
        shift = int(rng.integers(_MAX_SHIFT)) if len(store[index]) > 4 * _MAX_SHIFT else 0
        frames = store[index][shift:]
        if rng.random() < 0.5:
            frames = frames[:, :, ::-1]
        shifts.append(shift)
        videos.append(to_clips(torch.from_numpy(frames.copy()).to(device)))
    clips = videos[: len(dives)]
    # The gate's question is easy: as many dives as others, and one, teach it enough.
    gate_dives = min(len(dives), len(others) + 1)
    return Batch(
        clips=torch.cat(clips),
        counts=[len(video) for video in clips],
        labels=[labels[index] for index in dives],
        shifts=shifts[: len(dives)],
        gate_clips=torch.stack([gate_clip(video) for video in clips[:gate_dives] + videos[len(dives) :]]),
        gate_dives=gate_dives,
    )


def _measure(
    learner: Learner,
    out: Path,
    labels: Sequence[Label],
    store: FrameStore,
    trained_on: str | None,
    every: int,
) -> dict[str, float]:
    """Write the checkpoint, read it back as the server does, and return its figures on held-out clips.

    Of those it takes one in `every`.
    """
    learner.eval()
    out.parent.mkdir(parents=True, exist_ok=True)
    save(learner.checkpoint(trained_on), out)
    device = next(learner.parameters()).device
    scorer = Scorer(load(out), device, choose_dtype("auto", device))
    held_out = [i for i, label in enumerate(labels) if label.held_out]
    if not held_out:
        raise LabelError("no row's split is held_out: there is nothing to measure the checkpoint on")
    return figures(_answers(scorer, labels, store, held_out[::every]))


def _answers(
    scorer: Scorer, labels: Sequence[Label], store: FrameStore, indices: list[int]
) -> Iterator[tuple[Label, Answer]]:
    for index in tqdm(indices, desc="measure", unit="clip", leave=False):
        clips = scorer.clips([np.array(store[index])])
        (refusal,), (assessment,) = scorer.refusals(clips), scorer.score(clips)
        probabilities = assessment.probabilities or {}
        codes = {head: int(np.argmax(probabilities[head])) for head in HEADS}
        yield labels[index], Answer(assessment.score, codes, refusal is None)


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: handing each step's maps back to the kernel costs a third."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option in (-1, -3):  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
            libc.mallopt(option, 2**31 - 1)
        libc.mallopt(-8, 1)  # M_ARENA_MAX: further arenas hand every large block back


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, help="folder with labels.csv")
    parser.add_argument("--run", type=Path, default=Path("build/demo"), help="default: %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("build/demo/model.safetensors"), help="the checkpoint"
    )
    parser.add_argument("--render", action="store_true", help="draw the demo's dataset if there is none")
    parser.add_argument(
        "--start-from",
        type=Path,
        help="weights to begin with; conv1, conv2 and the gate stay, and an epoch takes a third of the time",
    )
    parser.add_argument("--trained-on", help='words for every answer, for example "rendered dives"')
    for name, value in asdict(Recipe()).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(value), default=value, help="default: %(default)s")
    given = parser.parse_args()
    recipe = Recipe(**{name: getattr(given, name) for name in asdict(Recipe())})
    _keep_freed_memory()
    # One thread per operation and several operations at a time: none then waits for the slowest thread, which
    # doubles the speed where others use the cores too.
    threads = 1 if torch.cuda.is_available() else torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        if given.render and not (given.dataset / "labels.csv").is_file():
            render_dataset(given.dataset)
        measured = train(
            given.dataset, given.run, given.out, recipe, given.trained_on, threads, given.start_from
        )
    except (LabelError, DivergedError) as error:
        sys.exit(f"demo.train: {error}")
    given.out.with_suffix(".json").write_text(
        json.dumps({"recipe": asdict(recipe), "held_out": measured}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
