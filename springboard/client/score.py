"""`springboard score`: videos in, a table or JSON lines out."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from rich.box import SQUARE
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
        error = self.answer.get("error")
        return str(error.get("message", self.answer) if isinstance(error, dict) else self.answer)


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
        try:
            session = boto3.Session()
            credentials = session.get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        except BotoCoreError as error:  # an unknown AWS_PROFILE, say
            raise NoCredentials(f"AWS credentials cannot be had: {error}") from error
        if frozen is None:
            raise NoCredentials("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of this server")
        return Signed(frozen, session.region_name or "us-east-1")
    if token and not (token.isascii() and token.isprintable()):
        raise NoCredentials("the token holds characters that no token has; copy it anew")
    return _Bearer(token) if token else None


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def score_each(
    sources: Sequence[str], url: str, credentials: httpx.Auth | None, progress: bool
) -> Iterator[Result]:
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
    with bar, httpx.Client(auth=credentials, timeout=_TIMEOUT_SECONDS) as client:
        task = bar.add_task("scoring", total=len(sources))
        for source in sources:
            bar.update(task, description=escape(name_of(source)))
            yield _score(client, source, f"{url}/invocations")
            bar.advance(task)


def _score(client: httpx.Client, source: str, url: str) -> Result:
    try:
        if source.startswith("s3://"):
            response = client.post(url, json={"s3_uri": source})
        else:
            body = Path(source).read_bytes()
            response = client.post(url, content=body, headers={"Content-Type": "application/octet-stream"})
    except OSError as error:
        return _failed(source, f"cannot be read: {error.strerror}")
    except httpx.HTTPError as error:
        return _failed(source, f"no answer from {url} ({error}); is the server running? springboard serve")
    try:
        answer = response.json()
    except ValueError:
        return _failed(source, f"{url} answered {response.status_code} and no JSON; is it a Springboard?")
    if not isinstance(answer, dict) or (response.status_code == 200 and "score" not in answer):
        return _failed(source, f"{url} answered without a score; is it a Springboard?")
    stages = read_stages(response.headers.get("Server-Timing", ""))
    return Result(source, response.status_code, answer, stages)


def _failed(source: str, message: str) -> Result:
    return Result(source, 0, {"error": {"code": "no_answer", "message": message}})


def name_of(source: str) -> str:
    """Return a file's name as it can be shown: names may be no text, or hold what moves a cursor."""
    text = os.fsencode(Path(source).name).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Rows:
    """A table that is printed as its rows come, and below each what was wrong or is worth knowing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        names = ("score", "dive", "position", "frames", "milliseconds", "video")
        self._print(*(f"[bold]{name}[/bold]" for name in names))
        console.rule(style="dim")

    def add(self, result: Result) -> None:
        """Print one more result."""
        name = name_of(result.source)
        if result.error:
            self._print("-", "", "", "", "", escape(name))
        else:
            answer = result.answer
            dive = answer.get("dive") or {}
            self._print(
                f"[bold]{answer['score']:.2f}[/bold]",
                dive.get("number") or "",
                dive.get("position", {}).get("label", ""),
                str(answer.get("video", {}).get("frames", "")),
                ", ".join(f"{stage} {spent:.0f}" for stage, spent in result.stages.items() if spent >= 0.5),
                escape(name),
            )
        told = [*result.answer.get("warnings", []), *result.answer.get("notes", [])]
        for note in [result.error] if result.error else told:
            self._console.print(f"{name}: {note}", markup=False, highlight=False)

    def _print(self, *cells: str) -> None:
        # Each row is a table of its own, of fixed widths: the next one may take a minute.
        table = Table(box=SQUARE, show_header=False, show_edge=False, expand=True)
        for width in (6, 6, 8, 6):
            table.add_column(width=width, no_wrap=True)
        table.add_column(ratio=1)
        table.add_column(ratio=1, no_wrap=True)
        table.add_row(*cells)
        self._console.print(table)


def as_json_line(result: Result) -> str:
    """Return a JSON object: `source`, `status`, `milliseconds` by stage, and the answer."""
    return json.dumps(
        {"source": result.source, "status": result.status, "milliseconds": result.stages, **result.answer}
    )
