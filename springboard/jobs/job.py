"""A job: one video to score, as its message on the queue and its record say it."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

# What a worker tells the front of a job beside its video: it waits for everybody, and may take so long.
PRIORITY, LOW = "X-Springboard-Priority", "low"
WORK_SECONDS = "X-Springboard-Work-Seconds"
# The code of what an operator gave up.
CANCELLED = "cancelled"


class NoJob(Exception):
    """A message on the queue is no job."""


class Job(BaseModel):
    """One request for a score that nobody waits for.

    Its video lies at `input` (`s3://` or `file://`), or is `body`. Times are Unix time, `timeout` seconds of
    work. It is not begun after `expires`. Its result goes to `output`, or the reason for none to `failure`.
    `run` counts how often somebody put it again.
    """

    # Another version's jobs too: what this one does not know it leaves alone.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    id: str
    endpoint: str
    input: str = ""
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    received: float
    expires: float
    timeout: float
    output: str
    failure: str
    run: int = 0

    @classmethod
    def read(cls, text: bytes | str) -> Self:
        """Read a message; raise `NoJob`."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            raise NoJob(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None

    def written(self) -> bytes:
        """Return it as `read` reads it."""
        return self.model_dump_json().encode()

    def same_as(self, other: Self) -> bool:
        """Whether both ask for the same: the same id then is the same job."""
        return self._asked == other._asked

    @property
    def _asked(self) -> tuple[object, ...]:
        return self.input, self.body, self.content_type, self.output

    @property
    def expired(self) -> bool:
        """Whether it is too late to begin it."""
        return time.time() > self.expires


def quoted(job_id: str) -> str:
    """Return a job's id as one step of a path."""
    return quote(job_id, safe="")


def located(place: str) -> str:
    """Return a place as callers read it: a file's has `file://` before it."""
    return place if "://" in place else f"file://{place}"


def file_below(location: str, folders: Iterable[str]) -> Path | None:
    """Return the file that a `file://` names, None where it lies in none of the folders, links followed."""
    parts = urlsplit(location)
    path = Path(unquote(parts.path)).resolve()
    within = any(path.is_relative_to(Path(folder).resolve()) for folder in folders)
    return path if within and not parts.netloc else None


def reason_of(failure: bytes) -> str:
    """Return in one line what a failure object says."""
    try:
        error = json.loads(failure)["error"]
        return f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError):
        return failure[:1000].decode(errors="replace")
