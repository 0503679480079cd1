"""`springboard channel`: what all hosts of an endpoint shall serve, with the caller's own AWS credentials."""

import json
from typing import Annotated, Any, BinaryIO

import typer

from springboard.cli.said import explained, say
from springboard.deploy.channel import Channel, ChannelError, Channels, Rules
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from springboard.system import documents

app = typer.Typer(help="Show and set what the hosts of an endpoint follow.", no_args_is_help=True)

_ABSENT = "absent"
Models = Annotated[str, typer.Option(envvar="SPRINGBOARD_MODELS", help="The registry: s3://BUCKET.")]
Endpoint = Annotated[str, typer.Option(help="The endpoint's name.")]


@app.command()
def show(models: Models, endpoint: Endpoint = "dive-scoring") -> None:
    """Print an endpoint's channel and its version, for `set --if`; of one that is absent, null."""
    with explained(ChannelError, ReleaseError, status=1):
        found = Channels(models).read(endpoint)
    channel, version = (_said(found[0]), found[1]) if found else (None, _ABSENT)
    say(json.dumps({"version": version, "channel": channel}, indent=2))


@app.command("set")
def set_channel(
    models: Models,
    release: Annotated[str | None, typer.Argument(help="X.Y.Z; default: as it is.")] = None,
    endpoint: Endpoint = "dive-scoring",
    only_if: Annotated[
        str | None,
        typer.Option("--if", metavar="VERSION", help="Only where this is its version, or `absent`."),
    ] = None,
    settings: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="JSON with `canary` and `settings`, in place of those that it has; - is stdin."),
    ] = None,
) -> None:
    """Have the hosts of an endpoint serve a release that is published; of two who set it one is refused.

    The last line is `changed` or `unchanged`.
    """
    with explained(ChannelError, ReleaseError, status=1):
        channels = Channels(models)
        found = channels.raw(endpoint)
        text, version = found or (None, None)
        if only_if not in (None, version or _ABSENT):
            raise ChannelError(
                f"{channels.url(endpoint)} is {version or _ABSENT}, not {only_if}: somebody changed it"
            )
        before = _before(channels, endpoint, text, replaced=bool(release and settings))
        if (named := release or before.get("release")) is None:
            say(f"{channels.url(endpoint)} is not there yet: name the release, X.Y.Z")
            say("unchanged")
            return
        channel = _wanted(named, settings, before)
        # What is not published, no host could serve.
        Registry(models).manifest(channel.release)
        changed = _said(channel) != before
        if changed:
            channels.write(endpoint, channel, version)
            say(f"{channels.url(endpoint)} names {channel.release}")
    say("changed" if changed else "unchanged")


def _said(channel: Channel) -> dict[str, Any]:
    return channel.model_dump(mode="json", exclude_unset=True)


def _before(channels: Channels, endpoint: str, text: bytes | None, replaced: bool) -> dict[str, Any]:
    """Return what a channel says; nothing where it is damaged and `replaced` whole."""
    if text is None:
        return {}
    try:
        return _said(channels.parse(endpoint, text))
    except ChannelError as error:
        if replaced:
            return {}
        raise ChannelError(f"{error}\nTo replace it whole, name the release and give --settings") from error


def _wanted(release: str, settings: BinaryIO | None, before: dict[str, Any]) -> Channel:
    rules = before
    if settings:
        given = documents.parse(
            settings.read(), Rules, getattr(settings, "name", "--settings"), ChannelError, as_json=True
        )
        rules = given.model_dump(mode="json", exclude_unset=True)
    text = json.dumps({**rules, "release": release}).encode()
    return documents.parse(text, Channel, "the channel", ChannelError, as_json=True)
