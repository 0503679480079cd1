"""What was answered, on disk: id, release, score and time, no video; and what judges said of it."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from springboard.front.truth.lines import Told

Outcome = Literal["matched", "corrected", "repeated", "unknown"]
# Several processes have it open while one front follows another.
_BUSY_SECONDS = 10.0
_MOST_FILES = 100_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, request_id TEXT NOT NULL, variant TEXT NOT NULL,
  release TEXT NOT NULL, score REAL NOT NULL, at REAL NOT NULL, truth REAL, told INTEGER,
  UNIQUE (id, release)
);
CREATE INDEX IF NOT EXISTS by_request ON answers (request_id);
CREATE INDEX IF NOT EXISTS by_told ON answers (release, told) WHERE told IS NOT NULL;
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Answered:
    """A score that was given, in points, at a Unix time; `inference_id` is the request's own without one."""

    inference_id: str
    request_id: str
    variant: str
    release: str
    score: float
    at: float


@dataclass(frozen=True)
class Matched:
    """An answer that a truth was new to."""

    variant: str
    release: str
    error: float


class TruthStore:
    """One file. Of one thread at a time; raises `sqlite3.Error` and `OSError`."""

    def __init__(self, folder: Path, most: int) -> None:
        """`most`: answers that are kept."""
        folder.mkdir(parents=True, exist_ok=True)
        self._most = most
        self._file = sqlite3.connect(folder / "truth.sqlite", timeout=_BUSY_SECONDS, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        self._file.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remember(self, answers: Iterable[Answered]) -> None:
        """Keep these; of an id and a release the last, whose truth is not yet known then."""
        with self._file:
            self._file.executemany(
                "INSERT OR REPLACE INTO answers (id, request_id, variant, release, score, at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(a.inference_id, a.request_id, a.variant, a.release, a.score, a.at) for a in answers],
            )
            self._file.execute(
                "DELETE FROM answers WHERE number <= (SELECT max(number) FROM answers) - ?", (self._most,)
            )

    def tell(self, told: Iterable[Told]) -> tuple[list[Outcome], list[Matched]]:
        """Join truths with what was answered; return what became of each, and the answers that got one."""
        outcomes, matched = list[Outcome](), list[Matched]()
        with self._file:
            (before,) = self._file.execute("SELECT coalesce(max(told), 0) FROM answers").fetchone()
            for number, one in enumerate(told, before + 1):
                outcomes.append(self._tell(one, number, matched))
        return outcomes, matched

    def _tell(self, one: Told, number: int, matched: list[Matched]) -> Outcome:
        rows = self._file.execute(
            "SELECT number, variant, release, score, truth FROM answers WHERE id = :id OR request_id = :id",
            {"id": one.inference_id},
        ).fetchall()
        if not rows:
            return "unknown"
        changed = [row for row in rows if row[4] != one.score]
        for key, variant, release, score, truth in changed:
            # A correction keeps its place in the window.
            self._file.execute(
                "UPDATE answers SET truth = ?, told = coalesce(told, ?) WHERE number = ?",
                (one.score, number, key),
            )
            if truth is None:
                matched.append(Matched(variant, release, abs(score - one.score)))
        if not changed:
            return "repeated"
        return "matched" if any(row[4] is None for row in changed) else "corrected"

    def pairs(self, window: int) -> dict[str, list[tuple[float, float]]]:
        """Return the last (score, truth) of each release, so many at most."""
        releases = self._file.execute(
            "SELECT DISTINCT release FROM answers WHERE told IS NOT NULL"
        ).fetchall()
        return {
            release: self._file.execute(
                "SELECT score, truth FROM answers WHERE release = ? AND told IS NOT NULL"
                " ORDER BY told DESC LIMIT ?",
                (release, window),
            ).fetchall()
            for (release,) in releases
        }

    def has_read(self, name: str) -> bool:
        """Whether a file of ground truth was read."""
        return self._file.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone() is not None

    def was_read(self, name: str) -> None:
        """Remember that it was; names begin with their hour, so the first are the oldest."""
        with self._file:
            self._file.execute("INSERT OR IGNORE INTO files VALUES (?)", (name,))
            self._file.execute(
                "DELETE FROM files WHERE name IN"
                " (SELECT name FROM files ORDER BY name DESC LIMIT -1 OFFSET ?)",
                (_MOST_FILES,),
            )
