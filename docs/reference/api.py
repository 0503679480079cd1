"""api.md: the routes and what they take and answer, from the OpenAPI document that /openapi.json serves."""

from typing import Any

from docs.reference import front
from docs.reference.markdown import code, prose, table
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
    for path, operations in sorted(document["paths"].items()):
        alike: dict[str, list[str]] = {}
        for method, operation in sorted(operations.items()):
            alike.setdefault(_operation(operation), []).append(method.upper())
        for said, methods in alike.items():
            text += f"\n## {', '.join(methods)} {path}\n\n{said}"
    text += "\n## Shapes\n"
    for name, schema in document["components"]["schemas"].items():
        text += f"\n### {name}\n\n{prose(schema.get('description'))}\n\n{_fields(schema)}"
    return text


def _operation(operation: Schema) -> str:
    text = f"{prose(operation.get('description'))}\n"
    if parameters := operation.get("parameters"):
        rows = [
            (code(one["name"]), one["in"], _rule(one["schema"]), one.get("description", ""))
            for one in parameters
        ]
        text += "\n" + table(("parameter", "in", "rule", "meaning"), rows)
    if body := operation.get("requestBody"):
        kinds = [(code(kind), _shown(one.get("schema", {}))) for kind, one in body["content"].items()]
        text += "\n" + table(("body's Content-Type", "holds"), kinds)
    answers = []
    for status, answer in operation["responses"].items():
        shapes = [_shown(one.get("schema", {})) for one in answer.get("content", {}).values()]
        answers.append((status, ", ".join(filter(None, dict.fromkeys(shapes))), answer["description"]))
    return text + "\n" + table(("status", "answer", "when"), answers)


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
