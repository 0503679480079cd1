"""A folder of clips with a table of labels: how it is written from rendered dives, and how it is read.

    DIR/labels.csv     one row per clip; the columns below
    DIR/<clip>         any video that the server decodes

| column | meaning | needed |
| --- | --- | --- |
| `clip` | path of the video, relative to DIR | yes |
| `split` | `train` or `held_out` | yes |
| `final_score` | points | of dives |
| `position`, `armstand`, `rotation_type`, `ss_no`, `tw_no` | MTL-AQA's class codes | of dives |
| `diving` | 1, or 0 for a clip that is no dive and has no other labels | no: 1 |
| `difficulty` | degree of difficulty; helps to learn the execution apart from it | no |
| `takeoff_frame`, `entry_frame` | first frame in the air, under water; help to learn to count turns | no |
| `tilt`, `splash`, `loose`, `knees`, `legs`, `distance` | faults, 0 to 1; help likewise | no |
| `dive_number`, `execution` | for the reader | no |

`final_score`, `difficulty` and the five codes are the fields of MTL-AQA's annotations, under their names.
Without rows that are no dives the gate learns to let everything in.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
from tqdm import tqdm

from demo.judging import DEDUCTIONS, DIVES
from demo.others import draw_other
from demo.render import draw, encode, perform

HEADS = {
    "position": "position",
    "armstand": "armstand",
    "rot_type": "rotation_type",
    "ss_no": "ss_no",
    "tw_no": "tw_no",
}
"""The dive classifier's heads, each with the column that labels it."""

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

_SPLITS = ("train", "held_out")
_TRAIN_SEEDS = 1_000_000  # held-out clips count their seeds from 0, so the two never meet


class LabelError(ValueError):
    """`labels.csv` lacks a column or holds a value that no clip can have."""


@dataclass(frozen=True)
class Label:
    """One clip's row; of a clip that is no dive only `path`, `held_out` and `diving` mean anything.

    `faults` are in the order of `DEDUCTIONS`, nan where unknown.
    """

    path: Path
    held_out: bool
    diving: bool
    score: float
    codes: dict[str, int]
    difficulty: float | None
    takeoff: float | None
    entry: float | None
    faults: tuple[float, ...]


def read_labels(folder: Path) -> list[Label]:
    """Return the rows of `folder/labels.csv`.

    Raises `LabelError` with the line and the column that is wrong.
    """
    table = folder / "labels.csv"
    if not table.is_file():
        raise LabelError(f"{table} is missing. Its columns are described in demo/dataset.py")
    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        needed = {"clip", "split", "final_score", *HEADS.values()}
        if missing := needed - set(reader.fieldnames or ()):
            raise LabelError(f"{table} lacks the columns {', '.join(sorted(missing))}")
        return [_label(folder, row, f"{table}, line {reader.line_num}") for row in reader]


def _label(folder: Path, row: dict[str, str], where: str) -> Label:
    diving = row.get("diving") != "0"
    if row["split"] not in _SPLITS:
        raise LabelError(f"{where}: split is {row['split']!r}, and must be one of {', '.join(_SPLITS)}")
    column = "final_score"
    try:
        score = float(row[column]) if diving else 0.0
        codes = {}
        for head, column in HEADS.items():
            codes[head] = int(row[column]) if diving else -1
        hints = {}
        for column in ("difficulty", "takeoff_frame", "entry_frame", *DEDUCTIONS):
            hints[column] = float(row[column]) if row.get(column) else None
    except ValueError as error:
        raise LabelError(f"{where}: {column} is {row[column]!r}, which is no number") from error
    return Label(
        path=folder / row["clip"],
        held_out=row["split"] == "held_out",
        diving=diving,
        score=score,
        codes=codes,
        difficulty=hints["difficulty"],
        takeoff=hints["takeoff_frame"],
        entry=hints["entry_frame"],
        faults=tuple(math.nan if (value := hints[fault]) is None else value for fault in DEDUCTIONS),
    )


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
        for split, counts in zip(_SPLITS, (train, held_out), strict=True)
        for diving, count in zip((True, False), counts, strict=True)
        for index in range(count)
    ]
    for split in _SPLITS:
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
