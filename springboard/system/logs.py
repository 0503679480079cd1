"""Logs: one line an event, for people or as JSON, each with the id of the request it belongs to."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
# What the line of this task's request tells beside its status: a dict that whoever handles it adds to.
told: ContextVar[dict[str, object]] = ContextVar("told")
_PLAIN = frozenset(vars(logging.makeLogRecord({})))


class _Formatter(logging.Formatter):
    """Turns `extra` fields into `key=value`, or into JSON members."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
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


def configure(as_json: bool) -> None:
    """Send everything at INFO and above to stderr; a request's own line comes from access.py."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(as_json))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "uvicorn", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
