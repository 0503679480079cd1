"""A folder of labelled clips: `labels.csv`, checked as a whole before anything is done with it.

    DIR/labels.csv     one row per clip; the columns below
    DIR/<clip>         any video that the server decodes

| column | meaning | needed |
| --- | --- | --- |
| `clip` | path of the video, relative to DIR | yes |
| `split` | `train` or `held_out` | yes |
| `final_score` | points, 0 to 150 | of dives |
| `position`, `armstand`, `rotation_type`, `ss_no`, `tw_no` | MTL-AQA's class codes | of dives |
| `diving` | 1, or 0 for a clip that is no dive and has no other labels | no: 1 |
| `difficulty` | degree of difficulty; helps to learn the execution apart from it | no |
| `takeoff_frame`, `entry_frame` | first frame in the air, under water; help to learn to count turns | no |
| `tilt`, `splash`, `loose`, `knees`, `legs`, `distance` | faults, 0 to 1; help likewise | no |
| `dive_number`, `execution` | for the reader | no |

Of a clip with more than 35 frames a second about 30 are taken, and its frames are counted among these.
`final_score`, `difficulty` and the five codes are the fields of MTL-AQA's annotations, under their names.
Without rows that are no dives the gate learns to let everything in. As spreadsheets save it: UTF-8 or UTF-16,
with or without a mark; commas, semicolons or tabs, and Excel's line `sep=;`; decimal commas where commas
separate nothing.
"""

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from demo.judging import DEDUCTIONS
from model_handler import network
from springboard.system.files import sha256

HEADS = {
    "position": "position",
    "armstand": "armstand",
    "rot_type": "rotation_type",
    "ss_no": "ss_no",
    "tw_no": "tw_no",
}
"""The dive classifier's heads, each with the column that labels it."""

SPLITS = ("train", "held_out")
_NEEDED = ("clip", "split", "final_score", *HEADS.values())
_MAX_SCORE = 150.0  # MTL-AQA's end at 104.5; the hardest dive there is, perfectly done, gives 144
_SHOWN = 40  # faults in one message


class LabelError(ValueError):
    """`labels.csv` cannot be trained on; the message names every line that is wrong, and how."""

    @classmethod
    def of(cls, table: Path, faults: Sequence[str]) -> "LabelError":
        """Say all faults at once: a table of thousands of rows is not mended one run at a time."""
        more = [f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        return cls("\n  ".join([f"{table} has {count}:", *faults[:_SHOWN], *more]))


@dataclass(frozen=True)
class Label:
    """One clip's row; of a clip that is no dive only `path`, `held_out` and `diving` mean anything.

    `faults` are in the order of `DEDUCTIONS`, nan where unknown. `sha256` is of the clip's bytes, `line` is
    where the row begins in `labels.csv`.
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
    sha256: str = ""
    line: int = 0


def read_labels(folder: Path) -> list[Label]:
    """Return the rows of `folder/labels.csv`; every clip is there, and none is there twice.

    Raises `LabelError` with all faults, each with its line.
    """
    table = folder / "labels.csv"
    rows = [_Row(cells, line) for line, cells in _rows(table)]
    read = [row.label(folder) for row in rows]
    faults = [(row.line, text) for row in rows for text in row.wrong]
    labels = [label for row, label in zip(rows, read, strict=True) if not row.wrong]
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(_sha256, [label.path for label in labels]))
    faults += [
        (label.line, f"clip {label.path} cannot be read: {digest.strerror}")
        for label, digest in zip(labels, digests, strict=True)
        if isinstance(digest, OSError)
    ]
    labels = [
        replace(label, sha256=digest)
        for label, digest in zip(labels, digests, strict=True)
        if isinstance(digest, str)
    ]
    faults += _repeated(labels)
    if faults:
        raise LabelError.of(table, [f"line {line}: {text}" for line, text in sorted(faults)])
    return labels


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the filled rows with the lines they begin in."""
    if not table.is_file():
        raise LabelError(f"{table} is missing. Its columns are described in demo/labels.py")
    text = _decode(table)
    lines, separator = _cells(table, text)
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    if missing := [name for name in _NEEDED if name not in header]:
        raise LabelError(
            f"{table} lacks the columns {', '.join(missing)}. Its first line names "
            f"{', '.join(header)[:400] or 'none'}"
        )
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise LabelError(f"{table} has the columns {', '.join(twice)} more than once; keep one of each")
    rows, faults = [], []
    for line, cells, last in lines[1:]:
        if len(cells) != len(header):
            on = f". It goes on to line {last}: is a quote not closed?" if last > line else ""
            faults.append(f"line {line}: {len(cells)} cells, where the first line has {len(header)}{on}")
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        if separator != ",":
            row = {name: cell if name == "clip" else cell.replace(",", ".") for name, cell in row.items()}
        rows.append((line, row))
    if faults:
        raise LabelError.of(table, faults)
    if not rows:
        raise LabelError(f"{table} has a first line and no rows")
    return rows


def _cells(table: Path, text: str) -> tuple[list[tuple[int, list[str], int]], str]:
    """Return all rows that hold something, with the lines they begin and end in, and what separates cells."""
    blank = len(text) - len(text.lstrip("\r\n"))
    first = text[blank:].partition("\n")[0]
    separator = max(",;\t", key=first.count)
    if told := _EXCELS_SEPARATOR.match(text):
        separator = told["separator"]
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begins = 1
    try:
        for cells in reader:
            # Spreadsheets end in rows of empty cells.
            if any(cell.strip() for cell in cells) and not (told and reader.line_num == 1):
                rows.append((begins, cells, reader.line_num))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise LabelError(f"{table}, line {begins}: {error}. Is a quote not closed?") from error
    return rows, separator


_EXCELS_SEPARATOR = re.compile(r"sep=(?P<separator>[,;\t])\s*$", re.MULTILINE)
_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def _decode(table: Path) -> str:
    content = table.read_bytes()
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise LabelError(f"{table} is a spreadsheet's own file. Save it as 'CSV UTF-8'")
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in content[:64]:
        # UTF-16 without its mark: of a header's letters every other byte is 0.
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise LabelError(f"{table}, line {line}: not {encoding}. Save it as 'CSV UTF-8'") from error


class _Row:
    """A row on its way to a label; what is wrong gathers in `wrong`, and then the label means nothing."""

    def __init__(self, cells: Mapping[str, str], line: int) -> None:
        self.cells, self.line = cells, line
        self.wrong: list[str] = []

    def label(self, folder: Path) -> Label:
        diving = self._one_of("diving", ("1", "0"), default="1") == "1"
        takeoff, entry = self._hint("takeoff_frame", 0, 1e6), self._hint("entry_frame", 0, 1e6)
        if takeoff is not None and entry is not None and takeoff >= entry:
            self.wrong.append(f"entry_frame {entry:g} does not come after takeoff_frame {takeoff:g}")
        faults = [self._hint(fault, 0, 1) for fault in DEDUCTIONS]
        return Label(
            path=self._path(folder),
            held_out=self._one_of("split", SPLITS) == "held_out",
            diving=diving,
            score=self._number("final_score", 0, _MAX_SCORE) if diving else 0.0,
            codes={head: self._code(head) if diving else -1 for head in HEADS},
            difficulty=self._hint("difficulty", 0.1, 10),
            takeoff=takeoff,
            entry=entry,
            faults=tuple(math.nan if value is None else value for value in faults),
            line=self.line,
        )

    def _path(self, folder: Path) -> Path:
        clip = self.cells["clip"]
        path = folder / clip
        if "\\" in clip and not os.path.exists(path):
            path = folder / clip.replace("\\", "/")  # as Windows writes it
        if not clip:
            self.wrong.append("clip is empty")
        elif os.path.isdir(path):
            self.wrong.append(f"clip {clip} is a folder")
        elif not os.path.isfile(path):  # of any name: pathlib raises for those that no file can have
            alike = _names(path.parent).get(path.name.lower())
            hint = f"; {alike} is" if alike else ""
            self.wrong.append(f"clip {clip[:200]} is not there{hint}")
        return path

    def _one_of(self, column: str, allowed: Sequence[str], default: str = "") -> str:
        value = self.cells.get(column) or default
        if value not in allowed:
            self.wrong.append(f"{column} is {value!r}, and must be {' or '.join(allowed)}")
        return value

    def _code(self, head: str) -> int:
        last = network.HEADS[head] - 1
        value = self._number(HEADS[head], 0, last)
        if value % 1:  # pandas writes whole numbers as 1.0 where others are missing
            self.wrong.append(f"{HEADS[head]} is {self.cells[HEADS[head]]!r}, and must be a whole number")
        return int(value)

    def _hint(self, column: str, low: float, high: float) -> float | None:
        return self._number(column, low, high) if self.cells.get(column) else None

    def _number(self, column: str, low: float, high: float) -> float:
        """Return the column's number, `low` where it holds none."""
        text = self.cells[column]
        try:
            # Python would read 1_0 and other alphabets' digits.
            value = float("" if "_" in text or not text.isascii() else text)
        except ValueError:
            self.wrong.append(f"{column} is {text!r}, which is no number")
            return low
        if low <= value <= high:  # nan is not
            return value
        self.wrong.append(f"{column} is {text!r}, and must be from {low:g} to {high:g}")
        return low


@cache
def _names(folder: Path) -> dict[str, str]:
    """Return a folder's names by what they are where cases are one."""
    return {entry.lower(): entry for entry in os.listdir(folder)} if os.path.isdir(folder) else {}


def _sha256(path: Path) -> str | OSError:
    try:
        return sha256(path)
    except OSError as error:
        return error


def _repeated(labels: Iterable[Label]) -> list[tuple[int, str]]:
    """Return the rows whose very bytes an earlier row has: leakage, or one clip counted twice."""
    first: dict[str, Label] = {}
    faults = []
    for label in labels:
        earlier = first.setdefault(label.sha256, label)
        if earlier is label:
            continue
        leaks = ", once to train on and once held out" if earlier.held_out != label.held_out else ""
        faults.append((label.line, f"{label.path.name} is the clip of line {earlier.line} again{leaks}"))
    return faults
