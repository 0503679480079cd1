"""`springboard keys`: who may call."""

import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from springboard.auth import keys
from springboard.auth.following import Follower, Secret, tell
from springboard.auth.keys import AccessKey, Keys, KeysFileError
from springboard.cli.said import explained, fail, say
from springboard.deploy.layout import Layout
from springboard.system import documents, files
from springboard.system.systemd import notify

app = typer.Typer(help="Issue, list and revoke credentials.", no_args_is_help=True)

DEFAULT = Path.home() / ".config" / "springboard" / "keys.json"
Out = Annotated[
    Path | None,
    typer.Option(
        help="A file for what is otherwise shown, readable by its owner alone; it must not be there."
    ),
]
KeysFile = Annotated[Path, typer.Option(envvar="SPRINGBOARD_KEYS_FILE", help="Where issued keys are kept.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for; revoking needs it.")],
    bearer: Annotated[
        bool, typer.Option("--bearer", help="A bearer token in place of an access key.")
    ] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="May use the control plane too (serve --control).")
    ] = False,
    out: Out = None,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Issue an access key for SigV4 (boto3), or a bearer token; shown once. A running server takes it."""
    with explained(KeysFileError):
        _is_free(out)
        issue = keys.create_token if bearer else keys.create_access_key
        _show(issue(keys_file, name, "admin" if admin else "invoke"), out)


@app.command()
def rotate(
    name: str,
    overlap_days: Annotated[
        float, typer.Option(min=0, max=365, help="How long what it replaces is good beside it.")
    ] = 7,
    out: Out = None,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Issue the successor of a key or token, shown once; the old one ends by itself after the overlap."""
    with explained(KeysFileError):
        _is_free(out)
        _show(keys.rotate(keys_file, name, timedelta(days=overlap_days)), out)


def _is_free(out: Path | None) -> None:
    if out and out.exists():
        raise KeysFileError(f"{out} is there already, and may be all there is of another key; move it away")


def _show(issued: AccessKey | str, out: Path | None) -> None:
    if isinstance(issued, str):
        said = f"SPRINGBOARD_TOKEN={issued}"
    else:
        said = f"AWS_ACCESS_KEY_ID={issued.access_key_id}\nAWS_SECRET_ACCESS_KEY={issued.secret_access_key}"
    if out is None:
        typer.echo(said)
        return
    try:
        files.write_atomically(out, f"{said}\n", mode=0o600)
    except OSError as error:
        raise KeysFileError(f"{out}: {error}; the key was issued, rotate it to have it shown") from error


@app.command("list")
def list_keys(keys_file: KeysFile = DEFAULT) -> None:
    """List who has a key; secrets are not shown."""
    with explained(KeysFileError):
        issued = keys.load(keys_file)
    for one in issued.all():
        kind = f"access key {one.access_key_id}" if isinstance(one, AccessKey) else "bearer token"
        until = f"\tuntil {one.ends:%Y-%m-%d %H:%M %Z}" if one.ends else ""
        role = "\tadmin" if one.role == "admin" else ""
        typer.echo(f"{one.name}\t{kind}\tsince {one.created:%Y-%m-%d}{until}{role}")


@app.command()
def revoke(name: str, keys_file: KeysFile = DEFAULT) -> None:
    """Revoke a key or token; a running server takes it over within seconds."""
    with explained(KeysFileError):
        keys.revoke(keys_file, name)


@app.command("export")
def export_keys(
    names: Annotated[list[str] | None, typer.Argument(help="Whose; all, without.")] = None,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Print keys as JSON, with their secrets, for `springboard keys import` elsewhere."""
    with explained(KeysFileError):
        issued = keys.load(keys_file)
    if unknown := sorted(set(names or []) - set(issued.names())):
        fail(
            f"{keys_file} has no key named {', '.join(unknown)}; it has {', '.join(issued.names()) or 'none'}"
        )
    typer.echo(issued.of(names or issued.names()).text(), nl=False)


@app.command("import")
def import_keys(
    exported: Annotated[Path, typer.Argument(help="What `export` printed; - reads standard input.")],
    exactly: Annotated[bool, typer.Option(help="Forget every key that it does not have.")] = False,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Take over exported keys. Where a name is another key's already, nothing is changed."""
    with explained(KeysFileError):
        if exported == Path("-"):
            given = documents.parse(
                sys.stdin.buffer.read(), Keys, "standard input", KeysFileError, as_json=True
            )
        else:
            given = documents.load(exported, Keys, KeysFileError, as_json=True)
        changed = keys.read_in(keys_file, given, exactly=exactly)
    typer.echo(f"changed: {', '.join(changed)}" if changed else "nothing to change")


@app.command()
def follow(
    secret: Annotated[str, typer.Argument(help="Its name in AWS Secrets Manager.")],
    beside: Annotated[
        Path | None, typer.Option(help="A file of keys that this host has beside those of the secret.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; exit 1 where that fails.")] = False,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Have the file hold the keys of a secret, and no others, again and again, until it is stopped.

    Without the secret the keys known last stay; that is said once, and in the unit's status. Under systemd
    (`Type=notify`) it is ready when the file holds what the secret has, or had.
    """
    follower = Follower(Secret(secret), keys_file, beside, say)
    if once:
        if not follower.look():
            fail(follower.status, status=1)
        return
    with suppress(KeyboardInterrupt):
        while True:
            if followed := follower.look():
                tell(Layout.here().figures)
            ready = "READY=1\n" if followed or follower.knows else ""
            notify(f"{ready}STATUS={follower.status}")
            time.sleep(seconds)
