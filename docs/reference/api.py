"""api.md: the routes and what they take and answer, from the OpenAPI document that /openapi.json serves."""

from collections.abc import Iterator
from typing import Any

from docs.reference import front
from docs.reference.markdown import anchor, code, prose, table
from springboard.auth.check import MetricsRule
from springboard.front.routes import create_app

Schema = dict[str, Any]


def openapi() -> Schema:
    """Return the document that a server gives at /openapi.json."""
    return create_app(front.idle(), MetricsRule.LOOPBACK).openapi()


def page() -> str:
    """Return the page of the API."""
    document = openapi()
    text = (
        "# API\n\nEvery route with what it takes and answers; a server has the same at `/docs` and "
        "`/openapi.json`. [Call it](../call.md) shows them at work.\n"
    )
    shown: dict[str, str] = {}
    # First what most callers ask, then the others, which are much like it.
    for path in sorted(document["paths"], key=lambda path: (path != "/invocations", path)):
        alike: dict[tuple[str, ...], list[str]] = {}
        for method, operation in sorted(document["paths"][path].items()):
            alike.setdefault(tuple(_operation(operation)), []).append(method.upper())
        for (about, *tables), methods in alike.items():
            heading = f"{', '.join(methods)} {path}"
            text += f"\n## {heading}\n\n{about}\n\n{_fresh(tables, heading, shown).rstrip()}\n"
    text += "\n## Shapes\n"
    for name, schema in document["components"]["schemas"].items():
        text += f"\n### {name}\n\n{prose(schema.get('description'))}\n\n{_fields(schema)}"
    return text


def _fresh(tables: list[str], heading: str, shown: dict[str, str]) -> str:
    """Return the tables that no route before showed, and the names of the routes that showed the others."""
    fresh = [one for one in tables if one not in shown]
    places = list(dict.fromkeys(shown[one] for one in tables if one in shown))
    shown |= dict.fromkeys(fresh, heading)
    said = "".join(f"{one}\n" for one in fresh)
    links = " and ".join(f"[{place}](#{anchor(place)})" for place in places)
    return said + (f"{'The rest as' if fresh else 'As'} {links}.\n" if links else "")


def _operation(operation: Schema) -> Iterator[str]:
    """Yield what it does, then the tables of its headers, bodies, answers and their headers."""
    yield prose(operation.get("description"))
    # Those in the path are in its heading.
    parameters = [one for one in operation.get("parameters", []) if one["in"] != "path"]
    if parameters:
        rows = [(code(one["name"]), _rule(one["schema"]), one.get("description", "")) for one in parameters]
        yield table(("header", "rule", "meaning"), rows)
    if body := operation.get("requestBody"):
        kinds = [(code(kind), _shown(one.get("schema", {}))) for kind, one in body["content"].items()]
        yield table(("body's Content-Type", "holds"), kinds)
    answers = []
    for status, answer in operation["responses"].items():
        shapes = [_shown(one.get("schema", {})) for one in answer.get("content", {}).values()]
        answers.append((status, ", ".join(filter(None, dict.fromkeys(shapes))), answer["description"]))
    yield table(("status", "answer", "when"), answers)
    headers = {n: one for answer in operation["responses"].values() for n, one in answer["headers"].items()}
    yield table(("answer's header", "meaning"), [(code(n), one["description"]) for n, one in headers.items()])


def _fields(schema: Schema) -> str:
    rows = []
    for name, field in schema.get("properties", {}).items():
        rows.append((code(name), _shown(field), field.get("description", "")))
    return table(("field", "what it holds", "meaning"), rows)


def _shown(schema: Schema) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(map(_shown, schema[key]))
    if schema.get("format") == "binary":
        return "the video's bytes"
    if schema.get("type") == "array":
        return f"list of {_shown(schema.get('items', {}))}"
    if inner := schema.get("properties"):
        return "{" + ", ".join(f"{code(name)}: {_shown(one)}" for name, one in inner.items()) + "}"
    kind = schema.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else kind


def _rule(schema: Schema) -> str:
    longest = f"at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return ", ".join(filter(None, (longest, code(schema.get("pattern", "")))))
