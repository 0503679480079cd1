"""Train a checkpoint on a folder of labelled clips: rendered dives, or real ones.

    python -m demo.train DATASET --run build/demo --out model.safetensors

DATASET is laid out as demo/labels.py describes; with --render it is drawn first. An interrupted training
goes on after the last epoch it finished when the same command is given again.
"""

import argparse
import errno
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from demo.batches import batch, shuffle
from demo.dataset import render_dataset
from demo.figures import Answer, figures
from demo.frames import FrameStore, MapStore, open_store, require_space
from demo.labels import Label, LabelError, read_labels
from demo.learner import Learner
from demo.recipe import Recipe, fingerprint, origin
from demo.resume import RunError, alone, load_state, save_state
from model_handler.checkpoint import Checkpoint, CheckpointError, load, save
from model_handler.device import choose_dtype, keep_freed_memory
from model_handler.network import HEADS
from model_handler.scoring import Scorer, to_clips

# Of --width and the like on the command line; the others may be 0.
_LEAST = {"width": 1 / 64, "gate_width": 1 / 64, "epochs": 1, "dives_per_batch": 1, "learning_rate": 1e-9}
_WARM_UP = 0.03  # share of all steps in which the learning rate rises
_COOL_DOWN = 0.4  # share in which it falls to nothing; between, it is constant: see --epochs


_FEW = 40  # held-out clips that are all measured after each epoch


class DivergedError(ArithmeticError):
    """The training went astray; the message says where, and what to do."""


def train(
    dataset: Path,
    run: Path,
    out: Path,
    recipe: Recipe,
    trained_on: str | None,
    threads: int = 1,
    start_from: Path | None = None,
    leave_out_bad: bool = False,
    device: str = "auto",
) -> dict[str, float]:
    """Train on the rows `train`, write the checkpoint and return its figures on the rows `held_out`.

    `run` keeps decoded frames and the state to resume from. Nothing is chosen by the held-out figures: the
    last epoch's weights are the result. `threads` parts of each batch learn side by side. With `start_from`
    training begins with that checkpoint's weights, and its stem and gate stay as they are. A clip that the
    server would refuse is named and ends the training, or is left out. `device` is torch's name of one;
    "auto" is a GPU where there is one.
    """
    run.mkdir(parents=True, exist_ok=True)
    with alone(run):
        return _train(dataset, run, out, recipe, trained_on, threads, start_from, leave_out_bad, device)


def _train(
    dataset: Path,
    run: Path,
    out: Path,
    recipe: Recipe,
    trained_on: str | None,
    threads: int,
    start_from: Path | None,
    leave_out_bad: bool,
    device_name: str,
) -> dict[str, float]:
    labels = read_labels(dataset)
    _check_rows(labels, recipe)
    start = None if start_from is None else load(start_from)
    store, bad = open_store(labels, run)
    if bad:
        labels = _without(labels, bad, dataset / "labels.csv", leave_out_bad)
        _check_rows(labels, recipe)
    device = _device(device_name)
    torch.manual_seed(recipe.seed)
    learner = Learner(recipe.width, recipe.gate_width).to(device)
    made_of = origin(recipe, labels, start)
    resume = run / "resume.pt"
    state = load_state(resume, made_of, recipe.epochs, device)
    maps = None if start is None else _start(learner, start, labels, store, run, threads)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in learner.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    epoch = 0
    if state:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        epoch = state["epoch"]
        print(f"Going on after epoch {epoch} of {resume}")
    else:
        # Weights and two moments of each, and both files while one replaces the other.
        require_space(run, 6 * sum(p.numel() * 4 for p in learner.parameters()), "state to resume from")
    measured: dict[str, float] = {}
    while epoch < recipe.epochs:
        with ThreadPoolExecutor(threads) as pool:
            _train_epoch(learner, optimizer, labels, maps or store, recipe, epoch, pool, threads)
        epoch += 1
        state = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        save_state(resume, state, made_of)
        few = sum(label.held_out for label in labels) < _FEW
        every = 1 if few or epoch == recipe.epochs else 4
        measured = _measure(learner, out, labels, store, trained_on, every, threads)
        over = "" if every == 1 else f" (every {every}th held-out clip)"
        print(f"epoch {epoch}{over}: " + "  ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    return measured or _measure(learner, out, labels, store, trained_on, 1, threads)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RunError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def _check_rows(labels: Sequence[Label], recipe: Recipe) -> None:
    """Raise `LabelError` for what would only be noticed after the first epoch."""
    dives = sum(label.diving and not label.held_out for label in labels)
    if dives < recipe.dives_per_batch:
        raise LabelError(f"{dives} dives to train on are fewer than a batch of {recipe.dives_per_batch}")
    if not any(label.held_out for label in labels):
        raise LabelError("no row's split is held_out: there is nothing to measure the checkpoint on")


def _without(
    labels: Sequence[Label], bad: Sequence[tuple[Label, str]], table: Path, leave_out: bool
) -> list[Label]:
    """Return the labels without those of bad clips, which are named; raise `LabelError` unless told to."""
    faults = LabelError.of(table, [f"line {label.line}: {label.path.name}: {why}" for label, why in bad])
    if not leave_out:
        raise LabelError(f"{faults}\nMend or remove them, or leave them out with --leave-out-bad-clips")
    print(f"Left out: {faults}")
    refused = {label.sha256 for label, _ in bad}
    return [label for label in labels if label.sha256 not in refused]


def _start(
    learner: Learner, start: Checkpoint, labels: Sequence[Label], store: FrameStore, run: Path, threads: int
) -> MapStore:
    """Give the learner these weights, and return what their stem makes of the dives to train on."""
    dives = [i for i, label in enumerate(labels) if label.diving and not label.held_out]
    device = next(learner.parameters()).device
    some = [to_clips(torch.from_numpy(store[i].copy()).to(device)) for i in dives[:: len(dives) // 16 + 1]]
    try:
        learner.adopt(start, torch.cat(some))
    except ValueError as error:
        raise LabelError(f"{start.path}: {error}") from error
    clips = hashlib.sha256("".join(labels[i].sha256 for i in dives).encode()).hexdigest()
    made_of = f"{clips} {fingerprint(start)}"
    return MapStore.open(
        store, dives, run, made_of, lambda clips: learner.stem(clips.to(device)).cpu(), threads
    )


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
        losses = learner.losses(batch(labels, store, dives, others, np.random.default_rng(seed), device))
        torch.autograd.backward(torch.stack(list(losses.values())).sum() / parts)
        return {name: loss.item() for name, loss in losses.items()}

    rng = np.random.default_rng([recipe.seed, epoch])
    batches = shuffle(labels, recipe.dives_per_batch, rng)
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


def _measure(
    learner: Learner,
    out: Path,
    labels: Sequence[Label],
    store: FrameStore,
    trained_on: str | None,
    every: int,
    threads: int,
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
    return figures(_answers(scorer, labels, store, held_out[::every], threads))


def _answers(
    scorer: Scorer, labels: Sequence[Label], store: FrameStore, indices: list[int], threads: int
) -> Iterator[tuple[Label, Answer]]:
    def answer(index: int) -> Answer:
        clips = scorer.clips([np.array(store[index])])
        (refusal,), (assessment,) = scorer.refusals(clips), scorer.score(clips)
        probabilities = assessment.probabilities or {}
        codes = {head: int(np.argmax(probabilities[head])) for head in HEADS}
        return Answer(assessment.score, codes, refusal is None)

    with ThreadPoolExecutor(threads) as pool:
        answers = tqdm(pool.map(answer, indices), "measure", len(indices), unit="clip", leave=False)
        for index, one in zip(indices, answers, strict=True):
            yield labels[index], one


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
        help="weights to begin with, a file or a folder of the five published files; conv1, conv2 and the "
        "gate stay, and an epoch takes a third of the time",
    )
    parser.add_argument(
        "--leave-out-bad-clips", action="store_true", help="go on without clips that the server would refuse"
    )
    parser.add_argument(
        "--device", default="auto", help="torch's name, as cpu or cuda:1; default: a GPU where there is one"
    )
    parser.add_argument("--trained-on", help='words for every answer, for example "rendered dives"')
    for name, value in asdict(Recipe()).items():
        text = f"default: {value}" + (", or that of --start-from" if "width" in name else "")
        parser.add_argument(
            "--" + name.replace("_", "-"), type=_number(type(value), _LEAST.get(name, 0)), help=text
        )
    given = parser.parse_args()
    # Handing each step's maps back to the kernel costs a third; further arenas hand every large block back.
    keep_freed_memory(2**31 - 1, arenas=1)
    # One thread per operation and several operations at a time: none then waits for the slowest thread, which
    # doubles the speed where others use the cores too.
    on_cpu = given.device == "cpu" or not torch.cuda.is_available()
    threads = torch.get_num_threads() if on_cpu else 1
    torch.set_num_threads(1)
    try:
        recipe = _recipe(given)
        if given.render and not (given.dataset / "labels.csv").is_file():
            render_dataset(given.dataset)
        measured = train(
            *(given.dataset, given.run, given.out, recipe, given.trained_on, threads, given.start_from),
            leave_out_bad=given.leave_out_bad_clips,
            device=given.device,
        )
    except (LabelError, DivergedError, RunError, CheckpointError) as error:
        sys.exit(f"demo.train: {error}")
    except OSError as error:
        full = "the disk is full: free some; the same command then goes on. "
        sys.exit(f"demo.train: {full if error.errno in (errno.ENOSPC, errno.EDQUOT) else ''}{error}")
    except KeyboardInterrupt:
        print("demo.train: stopped; the same command goes on after the last finished epoch", file=sys.stderr)
        sys.exit(130)
    known = {name: value if math.isfinite(value) else None for name, value in measured.items()}
    given.out.with_suffix(".json").write_text(
        json.dumps({"recipe": asdict(recipe), "held_out": known}, indent=2) + "\n"
    )


def _recipe(given: argparse.Namespace) -> Recipe:
    """Return the recipe asked for; by default as wide as the weights to start from."""
    asked = {name: getattr(given, name) for name in asdict(Recipe()) if getattr(given, name) is not None}
    if given.start_from is None:
        return Recipe(**asked)
    start = load(given.start_from)
    return Recipe(**({"width": start.width, "gate_width": start.gate_width} | asked))


def _number(kind: type[float], low: float) -> Callable[[str], float]:
    """Return an argument's parser that takes what is at least `low`; argparse says why it takes no other."""

    def number(text: str) -> float:
        if not low <= (value := kind(text)) < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not at least {low:g}")
        return value

    return number


if __name__ == "__main__":
    main()
