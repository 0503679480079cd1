"""`springboard score | top`: what a person asks a running server."""

import sys
from typing import Annotated

import httpx
import typer
from rich.console import Console

from springboard.cli.said import explained, fail
from springboard.client import score as client
from springboard.client.server import WrongAddress, address
from springboard.client.source import Away, Source
from springboard.client.top import show


def score(
    videos: Annotated[list[str], typer.Argument(help="Files, or s3://bucket/key addresses.")],
    url: Annotated[str, typer.Option(envvar="SPRINGBOARD_URL")] = "http://127.0.0.1:8080",
    token: Annotated[str | None, typer.Option(envvar="SPRINGBOARD_TOKEN", help="A bearer token.")] = None,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign with the AWS credentials of the environment.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Score videos; exits with 1 when any could not be scored."""
    with explained(client.NoCredentials, WrongAddress):
        credentials, url = client.auth(token, sign), address(url)
    # On a terminal the rows themselves show how far it is.
    progress = sys.stderr.isatty() and not sys.stdout.isatty()
    rows = None if as_json else client.Rows(Console())
    asked = failed = 0
    try:
        for result in client.score_each(videos, url, credentials, progress):
            asked += 1
            failed += bool(result.error)
            if rows:
                rows.add(result)
            else:
                typer.echo(client.as_json_line(result))
    except KeyboardInterrupt:
        fail(f"stopped after {asked} of {len(videos)} videos", status=130)
    if failed:
        raise typer.Exit(1)


def top(
    url: Annotated[str, typer.Option(envvar="SPRINGBOARD_URL")] = "http://127.0.0.1:8080",
    token: Annotated[str | None, typer.Option(envvar="SPRINGBOARD_TOKEN", help="A bearer token.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 2.0,
) -> None:
    """Show a running server's figures: rate, errors, quantiles, variants, stages, queue, GPU."""
    with explained(Away, client.NoCredentials, WrongAddress):
        credentials, url = client.auth(token, sign=False), address(url)
        with httpx.Client(auth=credentials, timeout=5) as http:
            show(Source(http, url), url, Console(), seconds, once)
