"""Documents that people and programs write, YAML or JSON; a fault is told with its file and line."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

# A few kilobytes are usual. PyYAML takes a second for a quarter of a megabyte.
_MAX_YAML_BYTES = 256_000
# Nodes with every alias written out; a few lines of aliases of aliases make billions.
_MAX_NODES = 100_000
_MAX_FAULTS = 20


class Strict(BaseModel):
    """A part of a document: what it does not know is a fault, and nothing changes it once read."""

    # What stands below a field is its meaning in docs/reference.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


M = TypeVar("M", bound=BaseModel)


class _Fault(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def load(
    path: Path, model: type[M], raises: type[Exception], *, as_json: bool = False, missing: M | None = None
) -> M:
    """Read and check a document, YAML or JSON; return `missing` where there is none and that is fine.

    Raises `raises` with one `file:line: field: reason` a fault.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        if missing is not None and isinstance(error, FileNotFoundError):
            return missing
        raise raises(f"{path}: {error.strerror}") from error
    return parse(text, model, str(path), raises, as_json=as_json)


def parse(text: bytes, model: type[M], origin: str, raises: type[Exception], *, as_json: bool = False) -> M:
    """Check a document's `text`, which came from `origin`; as `load`.

    Values are never quoted: some documents hold secrets.
    """
    try:
        content = _read_json(text) if as_json else _read_yaml(text)
    except _Fault as fault:
        raise raises(f"{origin}:{fault.line}: {fault}") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        nodes = _nodes(text)
        faults = [
            f"{origin}:{_line(nodes, fault['loc'])}: {_place(fault['loc'])}"
            f"{re.sub('^Value error, ', '', fault['msg'])}"
            for fault in error.errors(include_input=False, include_url=False)[:_MAX_FAULTS]
        ]
        if (more := error.error_count() - _MAX_FAULTS) > 0:
            faults.append(f"{origin}: and {more} faults more")
        raise raises("\n".join(faults)) from None


def _place(steps: Sequence[int | str]) -> str:
    return f"{'.'.join(map(str, steps))}: " if steps else ""


def _read_json(text: bytes) -> object:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _Fault(error.lineno, f"no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _Fault(1, f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _Fault(1, "expected an object with fields")
    return content


def _read_yaml(text: bytes) -> object:
    if len(text) > _MAX_YAML_BYTES:
        raise _Fault(1, f"longer than {_MAX_YAML_BYTES} bytes")
    try:
        decoded = text.decode()
        document = yaml.compose(decoded, Loader=yaml.SafeLoader)
        if not isinstance(document, yaml.MappingNode):
            raise _Fault(1, "expected a mapping: `field: value` lines")
        _check(document)
        return yaml.safe_load(decoded)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _Fault(line, str(error.problem)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Characters YAML does not allow, a date that is none, too deep a nesting: YAML tells no line of them.
        raise _Fault(1, str(error)) from error


def _check(document: yaml.Node) -> None:
    """Refuse equal keys, and aliases that multiply or run in rings: PyYAML takes them, and may never end."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        """Return how many nodes there are with aliases written out."""
        line = node.start_mark.line + 1
        if id(node) in sizes:
            if not sizes[id(node)]:
                raise _Fault(line, "an alias of what it is in: endless recursion")
            return sizes[id(node)]
        sizes[id(node)] = 0
        total = 1 + sum(size(child) for child in _children(node))
        if total > _MAX_NODES:
            raise _Fault(line, f"its aliases make more than {_MAX_NODES} values of it")
        sizes[id(node)] = total
        return total

    size(document)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            # PyYAML takes the last of two; half an edit must not pass for a whole one.
            if (name := str(key.value)) in seen:
                raise _Fault(key.start_mark.line + 1, f"{key.value} stands twice")
            seen.add(name)
            yield from (key, value)


def _nodes(text: bytes) -> yaml.Node | None:
    """Return the document's nodes, with their lines. JSON is YAML but for a few characters in its strings."""
    if len(text) > _MAX_YAML_BYTES:
        return None
    try:
        nodes: Any = yaml.compose(text.decode(), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return nodes if isinstance(nodes, yaml.Node) else None


def _line(node: yaml.Node | None, path: Sequence[int | str]) -> int:
    """Return the line (from 1) of the deepest node on a pydantic error's path."""
    line = node.start_mark.line + 1 if node else 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line
