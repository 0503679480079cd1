"""`springboard score`: videos in, a table or JSON lines out."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from springboard.auth.sigv4 import SERVICE
from springboard.servertiming import read_stages

# The server's own deadline is 60 s, after an upload of as much.
_TIMEOUT_SECONDS = 150.0


@dataclass(frozen=True)
class Result:
    """One video's answer: its JSON, an HTTP status (0 where no answer came), milliseconds by stage."""

    source: str
    status: int
    answer: dict[str, Any]
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """Return what was wrong, empty when nothing was."""
        if self.status == 200:
            return ""
        return str(self.answer.get("error", {}).get("message", self.answer))


class Signed(httpx.Auth):
    """Signs requests with SigV4, as boto3 does, with the credentials it would take."""

    requires_request_body = True

    def __init__(self, credentials: ReadOnlyCredentials, region: str) -> None:
        self._signer = SigV4Auth(credentials, SERVICE, region)

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Add the signature's headers."""
        copy = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"Host": request.headers["Host"]},
        )
        self._signer.add_auth(copy)
        request.headers.update(dict(copy.headers.items()))
        yield request


class NoCredentials(Exception):
    """boto3 finds no credentials to sign with."""


def auth(token: str | None, sign: bool) -> httpx.Auth | None:
    """Return how requests prove who sends them. Raises `NoCredentials`."""
    if sign:
        session = boto3.Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentials("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of this server")
        return Signed(credentials.get_frozen_credentials(), session.region_name or "us-east-1")
    return _Bearer(token) if token else None


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def score_all(
    sources: Sequence[str], url: str, credentials: httpx.Auth | None, progress: bool
) -> list[Result]:
    """Have each file or s3:// address scored, one after the other; a bad one does not stop the next."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not progress,
        transient=True,
    )
    results = []
    with bar, httpx.Client(auth=credentials, timeout=_TIMEOUT_SECONDS) as client:
        task = bar.add_task("scoring", total=len(sources))
        for source in sources:
            bar.update(task, description=Path(source).name)
            results.append(_score(client, source, f"{url.rstrip('/')}/invocations"))
            bar.advance(task)
    return results


def _score(client: httpx.Client, source: str, url: str) -> Result:
    try:
        if source.startswith("s3://"):
            response = client.post(url, json={"s3_uri": source})
        else:
            body = Path(source).read_bytes()
            response = client.post(url, content=body, headers={"Content-Type": "application/octet-stream"})
        stages = read_stages(response.headers.get("Server-Timing", ""))
        return Result(source, response.status_code, response.json(), stages)
    except OSError as error:
        return _failed(source, f"cannot be read: {error.strerror}")
    except httpx.HTTPError as error:
        return _failed(source, f"no answer from {url} ({error}); is the server running? springboard serve")
    except ValueError:
        return _failed(source, f"{url} answered {response.status_code} and no JSON; is it a Springboard?")


def _failed(source: str, message: str) -> Result:
    return Result(source, 0, {"error": {"code": "no_answer", "message": message}})


def render(results: Sequence[Result], console: Console) -> None:
    """Print the results as a table, and below it what was wrong or is worth knowing, by video."""
    table = Table("score", "dive", "position", "frames", "milliseconds")
    table.add_column("video", no_wrap=True)
    for result in results:
        name = escape(Path(result.source).name)
        if result.error:
            table.add_row("-", "", "", "", "", name)
            continue
        answer = result.answer
        dive = answer.get("dive") or {}
        table.add_row(
            f"[bold]{answer['score']:.2f}[/bold]",
            dive.get("number") or "",
            dive.get("position", {}).get("label", ""),
            str(answer["video"]["frames"]),
            ", ".join(f"{stage} {spent:.0f}" for stage, spent in result.stages.items() if spent >= 0.5),
            name,
        )
    console.print(table)
    for result in results:
        for note in (
            [result.error] if result.error else [*result.answer["warnings"], *result.answer.get("notes", [])]
        ):
            console.print(f"{Path(result.source).name}: {note}", markup=False, highlight=False)


def as_json_lines(results: Sequence[Result]) -> str:
    """Return one JSON object a line: `source`, `status`, `milliseconds` by stage, and the answer."""
    return "\n".join(
        json.dumps(
            {
                "source": result.source,
                "status": result.status,
                "milliseconds": result.stages,
                **result.answer,
            }
        )
        for result in results
    )
