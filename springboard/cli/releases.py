"""`springboard releases`: the registry, with the caller's own AWS credentials."""

import json
from pathlib import Path
from typing import Annotated

import typer

from springboard.cli.said import explained
from springboard.endpoint.names import version_of
from springboard.releases.manifest import ManifestError, ReleaseError
from springboard.releases.registry import Registry

app = typer.Typer(help="List, show, verify, publish and copy releases in S3.", no_args_is_help=True)

Models = Annotated[str, typer.Option(envvar="SPRINGBOARD_MODELS", help="The registry: s3://BUCKET.")]
Version = Annotated[str, typer.Argument(help="X.Y.Z")]


@app.command("list")
def list_releases(models: Models) -> None:
    """List what is published, oldest first."""
    with explained(ReleaseError, status=1):
        registry = Registry(models)
        for version in registry.versions():
            try:
                found = registry.manifest(version)
            except ManifestError as error:
                typer.echo(f"{version}\tunreadable: {' '.join(str(error).split())}")
                continue
            size = f"{found.archive.size_bytes / 1e6:.0f} MB"
            typer.echo(
                f"{version}\t{found.created[:10]}\t{size}\ttorch {found.torch}\t{found.git_commit or '-'}"
            )


@app.command()
def show(version: Version, models: Models) -> None:
    """Print a release's manifest."""
    with explained(ReleaseError, status=1):
        typer.echo(json.dumps(json.loads(Registry(models).manifest_bytes(version)), indent=2))


@app.command()
def verify(
    version: Version,
    models: Models,
    signed_by: Annotated[
        list[str] | None, typer.Option(help="A public key that must have signed it; may be repeated.")
    ] = None,
) -> None:
    """Read a release whole and compare its checksums; exits with 1 when something was changed."""
    with explained(ReleaseError, status=1):
        found = Registry(models, signers=signed_by or ()).verify(version)
    typer.echo(f"{version} is whole: sha256 {found.archive.sha256}, {found.archive.size_bytes:,} bytes")


@app.command()
def publish(
    archive: Annotated[Path, typer.Argument(help="build/dive-X.Y.Z.mar; its manifest lies beside it.")],
    models: Models,
    golden: Annotated[Path, typer.Option(help="The clip that archive.sh was given as --golden.")],
    sign: Annotated[
        Path | None,
        typer.Option(envvar="SPRINGBOARD_SIGN", help="Sign it with this SSH key, by ssh-keygen -Y."),
    ] = None,
) -> None:
    """Publish an archive; published releases never change."""
    with explained(ReleaseError, status=1):
        registry = Registry(models)
        version = version_of(archive.name)
        new = registry.publish(archive, golden, sign)
    typer.echo(f"{'published' if new else 'unchanged'}: {registry.url(version)}")


@app.command()
def copy(
    versions: Annotated[list[str], typer.Argument(metavar="VERSION...", help="X.Y.Z")],
    models: Models,
    to: Annotated[str, typer.Option(help="The other registry: s3://BUCKET, of any region.")],
) -> None:
    """Copy releases to another bucket, with their signatures."""
    with explained(ReleaseError, status=1):
        target = Registry(to)
        for version in versions:
            new = Registry(models).copy(version, target)
            typer.echo(f"{'copied' if new else 'unchanged'}: {target.url(version)}")
