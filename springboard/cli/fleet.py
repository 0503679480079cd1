"""`springboard fleet`: all hosts of an endpoint, with the caller's own AWS credentials."""

import json
import time
from functools import partial
from typing import Annotated, Any

import boto3
import httpx
import typer
from botocore.config import Config
from rich.console import Console

from springboard.cli.said import explained, fail, say
from springboard.client import fleet_table
from springboard.client import score as client
from springboard.client.fleet import Fleet, FleetAway, instances
from springboard.client.server import WrongAddress, address
from springboard.client.source import Away
from springboard.deploy.channel import ChannelError, Channels
from springboard.releases.manifest import ReleaseError


def fleet(
    deployment: Annotated[
        str, typer.Option(help="`springboard_deployment`, by whose tag hosts are found.")
    ] = ("springboard"),
    endpoint: Annotated[str, typer.Option(help="The endpoint's name.")] = "dive-scoring",
    models: Annotated[
        str | None,
        typer.Option(envvar="SPRINGBOARD_MODELS", help="The registry, s3://BUCKET, that has the channel."),
    ] = None,
    region: Annotated[str | None, typer.Option(envvar="AWS_REGION", help="Default: boto3's.")] = None,
    url: Annotated[
        str, typer.Option(help="Where a host is asked; with {private}, {public}, {name} or {id}.")
    ] = "http://{private}:8080",
    server_name: Annotated[
        str | None,
        typer.Option(help="The name in the hosts' certificates, where they are asked by address."),
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="SPRINGBOARD_TOKEN", help="A bearer token.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each look.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks, for the rates.")] = 2.0,
) -> None:
    """Show an endpoint's hosts on EC2: zone, type, image, release, phase, readiness, rate, p95, GPU, age.

    From EC2's tags, the channel, and each host's own answers. One that gives none is a row with the reason.
    """
    with explained(client.NoCredentials, WrongAddress):
        credentials = client.auth(token, sign=False)
        address(_filled(url))
    make: Any = boto3.client  # its types have an overload for each service's own name
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})
    listed = partial(instances, partial(make, "ec2", region_name=region, config=config), deployment)
    with httpx.Client(auth=credentials, timeout=5, event_hooks=_named(server_name)) as http:
        shown = Fleet(listed, partial(_wanted, models, endpoint), http, endpoint, url)
        with explained(FleetAway, status=1):
            shown.look()
            if watch and not as_json:
                fleet_table.watch(shown, Console(), seconds)
                return
            while True:
                time.sleep(seconds)
                shown.look()
                say(json.dumps(shown.document())) if as_json else Console().print(fleet_table.drawn(shown))
                if not watch:
                    return


def _filled(url: str) -> str:
    try:
        return url.format(private="10.0.0.1", public="10.0.0.1", name="name", id="i-0")
    except (KeyError, IndexError, ValueError):
        fail(
            f"--url {url!r} may have {{private}}, {{public}}, {{name}} and {{id}} in it, and no other braces"
        )


def _named(server_name: str | None) -> dict[str, list[Any]]:
    def name(request: httpx.Request) -> None:
        request.headers["Host"] = str(server_name)
        request.extensions["sni_hostname"] = server_name

    return {"request": [name]} if server_name else {}


def _wanted(models: str | None, endpoint: str) -> str:
    """Return the release that the channel names, "" without one; raise `Away`."""
    if models is None:
        return ""
    try:
        found = Channels(models).read(endpoint)
    except (ChannelError, ReleaseError) as error:
        raise Away(str(error)) from error
    return found[0].release if found else ""
