"""SageMaker's API as botocore's service model describes it: requests checked by it, answers written by it.

One walk over a shape checks types, what is required, bounds, lengths, patterns and enums, and another leaves
out of an answer what is not set: `sagemaker-core` validates answers, and takes neither `{}` nor null for it.
"""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from springboard.control.errors import ControlError, SerializationError

_SHOWN = 200
# Year 9999 in Unix time; what is later is no date for Python, nor for most clients.
_LATEST = 253_402_300_799
_WIDTHS = {"integer": 31, "long": 63}
# Java's classes by Python's nearest, which take a little more: `\w` has letters and digits.
_CLASSES = {
    "L": r"\w",
    "N": r"\w",
    "Alnum": "a-zA-Z0-9",
    "Z": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    "M": r"\u0300-\u036f",
    "P": r"!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u2027\u2030-\u205e",
    "S": r"$+<=>^`|~\u00a2-\u00b4\u20a0-\u20bf\u2100-\u27bf",
}


@cache
def service() -> ServiceModel:
    """Return the service model; reading it takes a second, and some 50 MB from then on."""
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


@cache
def operation(name: str) -> OperationModel | None:
    """Return an operation of SageMaker's, None where it has none of this name."""
    return service().operation_model(name) if name in service().operation_names else None


def checked(shape: Shape | None, value: object) -> dict[str, Any]:
    """Return a request as its shape has it, without nulls and what it does not know, which AWS ignores too.

    Raises `SerializationError` for a value of another type, else `ControlError` with every fault.
    """
    faults: list[str] = []
    found = _read(shape, value, "", faults) if shape else {}
    if not isinstance(found, dict):
        raise SerializationError("The request must be a JSON object")
    if faults:
        count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected"
        raise ControlError(f"{count}: {'; '.join(faults[:10])}")
    return found


def _read(shape: Shape, value: object, at: str, faults: list[str]) -> Any:
    return _READERS[shape.type_name](shape, value, at, faults)


def _structure(shape: StructureShape, value: object, at: str, faults: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _other_type(at, "a structure")
    found = {}
    for name, member in shape.members.items():
        if value.get(name) is not None:
            found[name] = _read(member, value[name], _below(at, _lower(name)), faults)
        elif name in shape.required_members:
            faults.append(_fault(None, _below(at, _lower(name)), "Member must not be null"))
    return found


def _list(shape: ListShape, value: object, at: str, faults: list[str]) -> list[Any]:
    if not isinstance(value, list):
        raise _other_type(at, "a list")
    faults.extend(_lengths(shape, len(value), at, _shown(value)))
    found = []
    for number, one in enumerate(value, 1):
        if one is None:
            faults.append(_fault(None, f"{at}.{number}.member", "Member must not be null"))
        else:
            found.append(_read(shape.member, one, f"{at}.{number}.member", faults))
    return found


def _map(shape: MapShape, value: object, at: str, faults: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _other_type(at, "a map")
    faults.extend(_lengths(shape, len(value), at, _shown(value)))
    found = {}
    for key, one in value.items():
        _read(shape.key, key, f"{at}.key", faults)
        if one is None:
            faults.append(_fault(None, f"{at}.{key[:_SHOWN]}.member", "Member must not be null"))
        else:
            found[key] = _read(shape.value, one, f"{at}.{key[:_SHOWN]}.member", faults)
    return found


def _string(shape: Shape, value: object, at: str, faults: list[str]) -> str:
    if not isinstance(value, str):
        raise _other_type(at, "a string")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _other_type(at, "a string of Unicode characters")
    shown = value[:_SHOWN]
    faults.extend(_lengths(shape, len(value), at, shown))
    pattern, known = shape.metadata.get("pattern"), shape.metadata.get("enum")
    if pattern and not compiled(pattern).fullmatch(value):
        faults.append(_fault(shown, at, f"Member must satisfy regular expression pattern: {pattern}"))
    if known and value not in known:
        faults.append(_fault(shown, at, f"Member must satisfy enum value set: [{', '.join(known)}]"))
    return value


def _number(shape: Shape, value: object, at: str, faults: list[str]) -> int | float:
    width = _WIDTHS.get(shape.type_name)
    if isinstance(value, float) and width and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int if width else (int, float)):
        raise _other_type(at, "a whole number" if width else "a number")
    if (width and not -(2**width) <= value < 2**width) or (not width and not abs(value) <= 1e300):
        raise _other_type(at, f"a number of {width + 1} bits" if width else "a finite number")
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and value < low:
        faults.append(_fault(str(value), at, f"Member must have value greater than or equal to {low}"))
    if high is not None and value > high:
        faults.append(_fault(str(value), at, f"Member must have value less than or equal to {high}"))
    return value


def _boolean(_: Shape, value: object, at: str, __: list[str]) -> bool:
    if not isinstance(value, bool):
        raise _other_type(at, "true or false")
    return value


def _timestamp(_: Shape, value: object, at: str, __: list[str]) -> float:
    """Seconds of Unix time, as awsJson1.1 sends them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _other_type(at, "a time in seconds since 1970")
    if not math.isfinite(value) or not 0 <= value <= _LATEST:
        raise _other_type(at, "a time from 1970 to 9999")
    return float(value)


_READERS: dict[str, Callable[[Any, object, str, list[str]], Any]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "boolean": _boolean,
    "timestamp": _timestamp,
    **dict.fromkeys(("integer", "long", "float", "double"), _number),
}


def _lengths(shape: Shape, length: int, at: str, shown: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and length < low:
        yield _fault(shown, at, f"Member must have length greater than or equal to {low}")
    if high is not None and length > high:
        yield _fault(shown, at, f"Member must have length less than or equal to {high}")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return one of SageMaker's patterns, which are Java's, as Python has it."""
    return re.compile(re.sub(r"\\p\{(\w+)\}", lambda found: _CLASSES[found[1]], pattern))


def written(shape: Shape | None, value: Any) -> Any:
    """Return an answer as JSON by its shape; None, and structures of which nothing is set, are left out."""
    if shape is None or value is None:
        return {}
    return _written(shape, value) or {}


def _written(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        if unknown := value.keys() - shape.members.keys():
            raise KeyError(f"{shape.name} has no {', '.join(sorted(unknown))}")
        members = {name: _written(shape.members[name], one) for name, one in value.items() if one is not None}
        return {name: one for name, one in members.items() if one is not None} or None
    if isinstance(shape, ListShape):
        return [_written(shape.member, one) for one in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return value


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _below(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]


def _fault(shown: str | None, at: str, rule: str) -> str:
    quoted = "null" if shown is None else f"'{shown}'"
    return f"Value {quoted} at '{at}' failed to satisfy constraint: {rule}"


def _other_type(at: str, wanted: str) -> SerializationError:
    return SerializationError(f"{at or 'The request'} must be {wanted}")
