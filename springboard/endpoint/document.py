"""The endpoint as `endpoint.yml` says it: its name, its variants and their shares, its shadow, its limits."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import httpx
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from springboard.endpoint.names import Address, Name, Release


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Strict):
    """A release's own scores over its reference clips, in points: what drift is measured against."""

    mean: float
    sd: Annotated[float, Field(gt=0)]
    clips: Annotated[int, Field(ge=2)]


class Served(_Strict):
    """One release at work in one TorchServe process.

    `address` is TorchServe's inference address (`http://host:port`), `management` and `metrics` its other
    two, by default the next ports. `sha256` is the archive's, shown in metrics, as is the `reference`.
    """

    release: Release
    address: Address
    management: Address = ""
    metrics: Address = ""
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    reference: Reference | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name, before in (("management", "address"), ("metrics", "management")):
            if not getattr(self, name):
                host, _, port = getattr(self, before).rpartition(":")
                object.__setattr__(self, name, f"{host}:{int(port) + 1}")
        for address in (self.address, self.management, self.metrics):
            try:
                url = httpx.URL(address)
            except httpx.InvalidURL as error:
                raise ValueError(f"{address} is no address: {error}") from error
            if url.port is not None and not 0 < url.port < 65536:
                raise ValueError(f"{address} has no port between 1 and 65535")
        return self


class Variant(Served):
    """A named share of the endpoint's traffic. Weight 0 serves only callers who pin it."""

    name: Name
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Shadow(Served):
    """A release that gets copies of `sample_percent` of the scored videos; its answers reach nobody."""

    sample_percent: Annotated[float, Field(ge=0, le=100)] = 100.0


class Limits(_Strict):
    """What the front takes, in bytes, seconds and requests.

    `deadline_seconds` covers fetching from S3, queueing and work; uploading has limits of its own.
    """

    max_body_bytes: Annotated[int, Field(ge=1)] = 25_000_000
    max_object_bytes: Annotated[int, Field(ge=1)] = 100_000_000
    deadline_seconds: Annotated[float, Field(gt=0)] = 60.0
    upload_seconds: Annotated[float, Field(gt=0)] = 60.0
    upload_idle_seconds: Annotated[float, Field(gt=0)] = 15.0
    queue_requests: Annotated[int, Field(ge=1)] = 100
    queue_bytes: Annotated[int, Field(ge=1)] = 500_000_000
    s3_concurrency: Annotated[int, Field(ge=1, le=256)] = 16

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.queue_bytes < max(self.max_body_bytes, self.max_object_bytes):
            raise ValueError(
                f"queue_bytes ({self.queue_bytes}) must hold a body of max_body_bytes and max_object_bytes"
            )
        return self


class Endpoint(_Strict):
    """The whole of `endpoint.yml`. Without variants nothing is deployed yet."""

    endpoint: Name = "dive-scoring"
    variants: tuple[Variant, ...]
    shadow: Shadow | None = None
    limits: Limits = Limits()
    allowed_buckets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [variant.name for variant in self.variants]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"variant names must differ: {', '.join(sorted(doubled))}")
        if self.variants and not any(variant.weight for variant in self.variants):
            raise ValueError("at least one variant needs a weight above 0")
        served = [*self.variants, *([self.shadow] if self.shadow else [])]
        addresses = [one.address for one in served]
        if doubled := {address for address in addresses if addresses.count(address) > 1}:
            raise ValueError(f"each variant needs a TorchServe of its own: {', '.join(sorted(doubled))}")
        return self


class EndpointFileError(Exception):
    """`endpoint.yml` cannot be used; the message has one `file:line: reason` a fault."""


def load(path: Path) -> Endpoint:
    """Read and check an endpoint file; raise `EndpointFileError` with lines and reasons."""
    try:
        return _checked(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EndpointFileError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise EndpointFileError(f"{path}:{line}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Characters YAML does not allow, a date that is none, an alias of itself: YAML tells no line of them.
        raise EndpointFileError(f"{path}:1: {error}") from error


def _checked(path: Path, text: str) -> Endpoint:
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(document, yaml.MappingNode):
        raise EndpointFileError(f"{path}:1: expected a mapping with `variants:`")
    # PyYAML takes the last of two equal keys in silence; half an edit must not pass for a whole one.
    seen = set()
    for node, key in _keys(document):
        if (id(node), str(key.value)) in seen:
            raise EndpointFileError(f"{path}:{key.start_mark.line + 1}: {key.value} stands twice")
        seen.add((id(node), str(key.value)))
    try:
        return Endpoint.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        faults = [
            f"{path}:{_line(document, fault['loc'])}: {'.'.join(map(str, fault['loc'])) or 'endpoint'}: "
            f"{re.sub('^Value error, ', '', fault['msg'])}"
            for fault in error.errors()
        ]
        raise EndpointFileError("\n".join(faults)) from error


def _keys(node: yaml.Node) -> list[tuple[yaml.MappingNode, yaml.Node]]:
    """Return every mapping in the document with each of its keys."""
    if isinstance(node, yaml.SequenceNode):
        return [pair for child in node.value for pair in _keys(child)]
    if not isinstance(node, yaml.MappingNode):
        return []
    return [pair for key, value in node.value for pair in ((node, key), *_keys(value))]


def _line(node: yaml.Node, path: Sequence[int | str]) -> int:
    """Return the line (from 1) of the deepest node on a pydantic error's path."""
    line = node.start_mark.line + 1
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
