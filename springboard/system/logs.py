"""Logs: one line an event, for people or as JSON, each with the id of the request it belongs to."""

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
# The caller's `traceparent` (W3C Trace Context), as it came; empty where there was none that is one.
traceparent: ContextVar[str] = ContextVar("traceparent", default="")
# What the line of this task's request tells beside its status: a dict that whoever handles it adds to.
told: ContextVar[dict[str, object]] = ContextVar("told")
_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class _Formatter(logging.Formatter):
    """Turns `extra` fields into `key=value`, or into JSON members."""

    def __init__(self, as_json: bool, to_journal: bool = False) -> None:
        super().__init__()
        self._as_json = as_json
        self._to_journal = to_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; for the journal each line of it has its priority before it."""
        text = self._formatted(record)
        if not self._to_journal:
            return text
        priority = f"<{_priority(record.levelno)}>"
        return "\n".join(priority + line for line in text.splitlines())

    def _formatted(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        fields = {key: value for key, value in vars(record).items() if key not in _PLAIN}
        if current := request_id.get():
            fields.setdefault("request_id", current)
        message = record.getMessage()
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        if self._as_json:
            return json.dumps(
                {
                    "time": time.isoformat(timespec="milliseconds"),
                    "level": record.levelname,
                    "logger": record.name,
                    "message": message + trace,
                    **fields,
                },
                default=str,
            )
        extras = "".join(f" {key}={value}" for key, value in fields.items() if value not in ("", None))
        return f"{time.astimezone():%H:%M:%S} {record.levelname:<7} {message}{extras}{trace}"


def _priority(level: int) -> int:
    """Return syslog's number for a level, as journald reads it (sd-daemon(3))."""
    if level >= logging.CRITICAL:
        return 2
    if level >= logging.ERROR:
        return 3
    return 4 if level >= logging.WARNING else 6


def _to_journal() -> bool:
    """Whether stderr goes to journald, which says so (systemd.exec(5)): it would call every line INFO."""
    try:
        told = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{told.st_dev}:{told.st_ino}"


def configure(as_json: bool) -> None:
    """Send everything at INFO and above to stderr; a request's own line comes from access.py."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(as_json, _to_journal()))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
