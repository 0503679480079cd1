"""Draws a folder of labelled clips, as demo/labels.py describes it."""

import argparse
import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from demo.judging import DEDUCTIONS, DIVES
from demo.labels import HEADS, SPLITS
from demo.others import draw_other
from demo.render import draw, encode, perform

COLUMNS = (
    "clip",
    "split",
    "diving",
    "final_score",
    *HEADS.values(),
    "takeoff_frame",
    "entry_frame",
    "difficulty",
    *DEDUCTIONS,
    "dive_number",
    "execution",
)

_TRAIN_SEEDS = 1_000_000  # held-out clips count their seeds from 0, so the two never meet


def render_clip(folder: Path, split: str, index: int, diving: bool) -> dict[str, str | int | float]:
    """Draw one clip into the folder and return its row."""
    seed = index + (_TRAIN_SEEDS if split == "train" else 0)
    name = f"{split}/{'dive' if diving else 'other'}-{index:05d}.mp4"
    row: dict[str, str | int | float] = {"clip": name, "split": split, "diving": int(diving)}
    if diving:
        # Dive numbers take turns, so that rare ones are learned and measured like common ones.
        performance = perform(seed, number=list(DIVES)[index % len(DIVES)])
        drawn, dive = draw(performance), performance.dive
        row |= {
            "final_score": performance.score,
            "position": dive.position,
            "armstand": int(dive.armstand),
            "rotation_type": dive.rotation_type,
            "ss_no": dive.ss_no,
            "tw_no": dive.tw_no,
            "takeoff_frame": drawn.takeoff,
            "entry_frame": drawn.entry,
            "difficulty": dive.difficulty,
            **{fault: round(value, 4) for fault, value in asdict(performance.faults).items()},
            "dive_number": dive.number,
            "execution": round(performance.faults.execution(), 2),
        }
    else:
        drawn = draw_other(seed)
    (folder / name).write_bytes(encode(drawn.frames, drawn.fps))
    return row


def render_dataset(
    folder: Path,
    train: tuple[int, int] = (1700, 300),
    held_out: tuple[int, int] = (300, 150),
    workers: int | None = None,
) -> None:
    """Draw so many (dives, others) for each split into the folder, and its `labels.csv` last."""
    jobs = [
        (folder, split, index, diving)
        for split, counts in zip(SPLITS, (train, held_out), strict=True)
        for diving, count in zip((True, False), counts, strict=True)
        for index in range(count)
    ]
    for split in SPLITS:
        (folder / split).mkdir(parents=True, exist_ok=True)
    with drawing_processes(workers) as pool:
        rows = list(tqdm(_render_all(pool, jobs), total=len(jobs), desc="render", unit="clip"))
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def drawing_processes(workers: int | None = None) -> ProcessPoolExecutor:
    """Return processes to draw in, one per core unless told otherwise."""
    return ProcessPoolExecutor(
        workers,
        # A forked child inherits locks that other threads held just then, and may wait for ever.
        mp_context=get_context("spawn"),
        # OpenCV's own threads would only get in the other processes' way.
        initializer=cv2.setNumThreads,
        initargs=(1,),
    )


def _render_all(
    pool: ProcessPoolExecutor, jobs: list[tuple[Path, str, int, bool]]
) -> Iterator[dict[str, str | int | float]]:
    return pool.map(render_clip, *zip(*jobs, strict=True), chunksize=4)


def main() -> None:
    """Render a dataset from the command line."""
    parser = argparse.ArgumentParser(
        description="Draw dives, and clips that are none, with their true labels."
    )
    parser.add_argument("folder", type=Path, help="where to write the clips and labels.csv")
    parser.add_argument("--dives", type=int, default=1700, help="dives to train on (default: %(default)s)")
    parser.add_argument(
        "--others", type=int, default=300, help="clips that are no dives (default: %(default)s)"
    )
    parser.add_argument("--held-out-dives", type=int, default=300, help="(default: %(default)s)")
    parser.add_argument("--held-out-others", type=int, default=150, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    given = parser.parse_args()
    render_dataset(
        given.folder,
        (given.dives, given.others),
        (given.held_out_dives, given.held_out_others),
        given.workers,
    )


if __name__ == "__main__":
    main()
