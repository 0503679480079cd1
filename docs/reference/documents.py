"""endpoint.md, host.md, channel.md and model-config.md: what people and playbooks write, by model."""

import dataclasses
import json
import re
from typing import Any

from docs.reference.markdown import code, prose, table
from model_handler.pipeline import Settings
from model_handler.video import Limits
from springboard.deploy.channel import Channel
from springboard.deploy.settings import Host
from springboard.endpoint.document import Endpoint
from springboard.system.checkout import ROOT

Schema = dict[str, Any]
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "maxLength": "at most {} characters",
    "pattern": "`{}`",
}


def endpoint() -> str:
    """Return the page of endpoint.yml."""
    return (
        "# endpoint.yml\n\nWhat the front serves: variants and their releases, shares, limits. `springboard "
        "deploy` writes it on a host; on your own machine you may "
        "([On your machine](../serve.md#endpointyml)).\n\n" + _model(Endpoint.model_json_schema())
    )


def host() -> str:
    """Return the page of host.yml."""
    return (
        "# host.yml\n\nHow releases are deployed on a host, `/etc/springboard/host.yml`. Ansible writes it "
        "from `inventory/group_vars` ([Deploy and roll back](../deploy.md)).\n\n"
        + _model(Host.model_json_schema())
    )


def channel() -> str:
    """Return the page of an endpoint's channel."""
    return (
        "# Channels\n\nWhat all hosts of an endpoint shall serve, `s3://BUCKET/channels/ENDPOINT.json`. "
        "`springboard channel set` and the playbooks write it "
        "([Deploy and roll back](../deploy.md#following-a-channel)).\n\n"
        + _model(Channel.model_json_schema())
    )


def model_config() -> str:
    """Return the page of model-config.yaml."""
    text = (ROOT / "model_handler" / "model-config.yaml").read_text(encoding="utf-8")
    sections = "".join(
        f"## {title}\n\n{prose(kind.__doc__)}\n\n{_dataclass(kind)}\n"
        for title, kind in (("handler", Settings), ("handler.limits", Limits))
    )
    return (
        "# model-config.yaml\n\nHow a release runs in TorchServe and what one video may cost; packed into "
        f"the archive by `archive.sh`, which takes another one with `--config`.\n\n{sections}"
        "## The default\n\n"
        f"The names above `handler` are TorchServe's own.\n\n```yaml\n{text.rstrip()}\n```\n"
    )


def _dataclass(kind: type[Any]) -> str:
    rows = []
    for field in dataclasses.fields(kind):
        default = field.default if field.default is not dataclasses.MISSING else None
        shown = "" if default is None else json.dumps(default)
        rows.append((code(field.name), _type(field.type), code(shown)))
    return table(("field", "type", "default"), rows)


def _type(kind: Any) -> str:
    return code(getattr(kind, "__name__", kind)) if isinstance(kind, type) else code(kind)


def _model(schema: Schema) -> str:
    """Return a section for the whole and one for each model in it, in the order in which they are met."""
    known: dict[str, Schema] = schema.pop("$defs", {})
    text = f"{prose(schema['description'])}\n\n{_fields(schema)}"
    for name, part in sorted(known.items(), key=lambda pair: json.dumps(schema).find(f'/{pair[0]}"')):
        if "properties" in part:
            text += f"\n## {name}\n\n{prose(part.get('description'))}\n\n{_fields(part)}"
        elif "enum" in part:
            text += f"\n## {name}\n\n{prose(part.get('description'))}\n\n{_kind(part)}\n"
    return text


def _fields(schema: Schema) -> str:
    needed = schema.get("required", [])
    described = any("description" in field for field in schema["properties"].values())
    rows = []
    for name, field in schema["properties"].items():
        default = "required" if name in needed else _default(field.get("default"))
        row = (code(name), _kind(field), default, prose(field.get("description")))
        rows.append(row if described else row[:3])
    head = ("field", "what it holds", "default", "meaning")
    return table(head if described else head[:3], rows)


def _default(value: Any) -> str:
    # A whole model is told in its own section.
    return "as below" if isinstance(value, dict) else code(json.dumps(value)) if value is not None else ""


def _kind(field: Schema) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"] if one.get("type") != "null")
    if "enum" in field:
        return ", ".join(code(value) for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    bounds = [text.format(_plain(field[key])) for key, text in _BOUNDS.items() if key in field]
    return ", ".join([field.get("type", "anything"), *bounds])


def _plain(value: Any) -> str:
    return re.sub(r"\.0$", "", str(value))
