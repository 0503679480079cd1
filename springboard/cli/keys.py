"""`springboard keys`: who may call."""

from pathlib import Path
from typing import Annotated

import typer

from springboard.auth import keys
from springboard.auth.keys import KeysFileError
from springboard.cli.said import explained

app = typer.Typer(help="Issue, list and revoke credentials.", no_args_is_help=True)

DEFAULT = Path.home() / ".config" / "springboard" / "keys.json"
KeysFile = Annotated[Path, typer.Option(envvar="SPRINGBOARD_KEYS_FILE", help="Where issued keys are kept.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who it is for; revoking needs it.")],
    bearer: Annotated[
        bool, typer.Option("--bearer", help="A bearer token in place of an access key.")
    ] = False,
    keys_file: KeysFile = DEFAULT,
) -> None:
    """Issue an access key for SigV4 (boto3), or a bearer token; shown once. A running server takes it."""
    with explained(KeysFileError):
        if bearer:
            typer.echo(f"SPRINGBOARD_TOKEN={keys.create_token(keys_file, name)}")
            return
        key = keys.create_access_key(keys_file, name)
    typer.echo(f"AWS_ACCESS_KEY_ID={key.access_key_id}\nAWS_SECRET_ACCESS_KEY={key.secret_access_key}")


@app.command("list")
def list_keys(keys_file: KeysFile = DEFAULT) -> None:
    """List who has a key; secrets are not shown."""
    with explained(KeysFileError):
        issued = keys.load(keys_file)
    for key in issued.access_keys:
        typer.echo(f"{key.name}\taccess key {key.access_key_id}\tsince {key.created:%Y-%m-%d}")
    for token in issued.tokens:
        typer.echo(f"{token.name}\tbearer token\tsince {token.created:%Y-%m-%d}")


@app.command()
def revoke(name: str, keys_file: KeysFile = DEFAULT) -> None:
    """Revoke a key or token; a running server takes it over within seconds."""
    with explained(KeysFileError):
        keys.revoke(keys_file, name)
