"""Lists as SageMaker gives them: filtered, sorted, a page at a time."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from springboard.control.errors import ControlError
from springboard.control.store import Document

_PAGE = 10
_KEYS: dict[str, Callable[[Document], Any]] = {
    "Name": lambda one: one["name"],
    "CreationTime": lambda one: one["created"],
    "Status": lambda one: one["status"],
}


def chosen(documents: Sequence[Document], asked: dict[str, Any]) -> list[Document]:
    """Return those that a List call asks for, in its order: by CreationTime, newest first, unless told."""
    key = _KEYS[asked.get("SortBy", "CreationTime")]
    found = [one for one in documents if _fits(one, asked)]
    # By name where they are equal: a page must begin where the one before it ended.
    found.sort(key=lambda one: (key(one), one["name"]), reverse=asked.get("SortOrder") != "Ascending")
    return found


def _fits(one: Document, asked: dict[str, Any]) -> bool:
    modified = one.get("modified", one["created"])
    return (
        asked.get("NameContains", "").lower() in one["name"].lower()
        and asked.get("StatusEquals") in (None, one.get("status"))
        and one["created"] > asked.get("CreationTimeAfter", float("-inf"))
        and one["created"] < asked.get("CreationTimeBefore", float("inf"))
        and modified > asked.get("LastModifiedTimeAfter", float("-inf"))
        and modified < asked.get("LastModifiedTimeBefore", float("inf"))
    )


def page(
    found: Sequence[Any], asked: dict[str, Any], name: Callable[[Any], str], size: int = _PAGE
) -> tuple[list[Any], str | None]:
    """Return the page that `asked` wants of what was found, and the token of the next, None at the end.

    A token is the `name` of the last one shown and where it was: what is created or deleted meanwhile shows
    nothing twice. Raises `ControlError` for one that is not ours.
    """
    begin, most = 0, asked.get("MaxResults", size)
    if token := asked.get("NextToken"):
        last, position = _read(token)
        names = [name(one) for one in found]
        begin = names.index(last) + 1 if last in names else min(position, len(names))
    shown = list(found[begin : begin + most])
    if begin + most >= len(found):
        return shown, None
    written = json.dumps([name(shown[-1]), begin + most - 1]).encode()
    return shown, base64.urlsafe_b64encode(written).decode()


def _read(token: str) -> tuple[str, int]:
    try:
        last, position = json.loads(base64.urlsafe_b64decode(token.encode()))
        if isinstance(last, str) and isinstance(position, int) and position >= 0:
            return last, position
    except (ValueError, TypeError, RecursionError):
        pass
    raise ControlError("Invalid NextToken: give the one of the answer before, unchanged.")
