"""errors.md: every error a caller can get, from its class; and what the edge says itself."""

from collections.abc import Iterator

import yaml

import springboard.front.routes
from docs.reference.markdown import code, prose, table
from model_handler.request.errors import ScoringError
from springboard.refusal import Refusal
from springboard.system.checkout import ROOT

# Bases, not errors of their own.
_BASES = (ScoringError, Refusal)
assert springboard.front.routes  # noqa: S101 - it is what imports every class that the front can raise


def page() -> str:
    """Return the page of error codes."""
    kinds = sorted(
        set(_every(ScoringError)) - set(_BASES), key=lambda kind: (kind.status, kind.code, kind.__name__)
    )
    rows = [
        (str(kind.status), code(kind.code), *_typed(kind), prose(kind.__doc__).split("\n\n")[0])
        for kind in kinds
    ]
    return (
        "# Error codes\n\nWhat `/invocations` answers, and what boto3 raises for it. The page "
        "[Errors](../errors.md) explains them.\n\n"
        + table(("status", "code", "boto3", "Retry-After", "when"), rows)
        + "\nA `ModelError` is 424; its `OriginalStatusCode` and `OriginalMessage` are the answer of "
        "`/invocations`.\n\n## Of the edge\n\n"
        "What nginx answers itself on a host that has it, in the same words.\n\n"
        + table(("status", "code", "on /endpoints/...", "message"), _edge())
    )


def _every(base: type[ScoringError]) -> Iterator[type[ScoringError]]:
    yield base
    for kind in base.__subclasses__():
        # Tests may have made classes of their own in this process.
        if kind.__module__.startswith(("springboard.", "model_handler.")):
            yield from _every(kind)


def _typed(kind: type[ScoringError]) -> tuple[str, str]:
    typed = kind.sagemaker if issubclass(kind, Refusal) else None
    retry_after = kind.retry_after if issubclass(kind, Refusal) else None
    named = f"{typed[0]} {code(typed[1])}" if typed else "424 `ModelError`"
    return named, f"{retry_after} s" if retry_after else ""


def _edge() -> Iterator[tuple[str, str, str, str]]:
    variables = yaml.safe_load((ROOT / "playbooks/roles/edge/vars/main.yml").read_text(encoding="utf-8"))
    for error in [*variables["_edge_errors"], variables["_edge_no_body"]]:
        typed = error.get("typed")
        # Its numbers are a host's own.
        message = error["message"].replace("{{ '{:,}'.format(edge_max_body_bytes | int) }}", "N")
        message = message.replace("{{ edge_requests_per_second }}", "N")
        message = message.replace("{{ edge_connections_per_address }}", "N")
        yield (
            str(error["status"]),
            code(error["code"]),
            f"{typed[0]} {code(typed[1])}" if typed else "",
            message,
        )
