"""The worker's log: a line of JSON an event, under the id of the request that it is about.

TorchServe passes on what its workers print, line by line, as one level and without an id. The id is the one
that came in `X-Request-Id`; of what a batch goes through together a line has all its ids, joined by commas.
"""

import faulthandler
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_request_id: ContextVar[str] = ContextVar("request_id", default="")
# Of whatever a request names itself: ids are the front's, but a stock TorchServe has no front.
_LONGEST_ID = 128
# TorchServe's own line for each request, which has no id; the handler has one with it.
_SPOKEN_FOR = "otf_message_handler"


def bounded(request_id: str) -> str:
    """Return the id that a request names itself, no longer than ids are."""
    return request_id[:_LONGEST_ID]


@contextmanager
def about(*request_ids: str) -> Iterator[None]:
    """Put these ids into every line that is logged inside, on this thread."""
    token = _request_id.set(",".join(filter(None, request_ids)))
    try:
        yield
    finally:
        _request_id.reset(token)


def remain_about(*request_ids: str) -> None:
    """As `about`, until the next request: TorchServe logs what a handler raises after it has raised."""
    _request_id.set(",".join(filter(None, request_ids)))


class JsonLines(logging.Formatter):
    """Writes a record, its traceback in it, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. `level` comes as `"level": "ERROR"`, which log4j2.xml on hosts looks for."""
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage() + trace,
        }
        if current := _request_id.get():
            told["request_id"] = current
        return json.dumps(told)


def to_json() -> None:
    """Have all that this process logs written so; of a native crash, say where it was."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
        handler.addFilter(lambda record: record.module != _SPOKEN_FOR or record.levelno > logging.INFO)
    if not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__ or sys.stderr)
