"""The `springboard` command."""

import hashlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import httpx
import typer
import uvloop
from rich.console import Console

from springboard.auth import keys
from springboard.auth.check import MetricsRule, Mode, is_loopback
from springboard.cli import host as cli_host
from springboard.cli import releases as cli_releases
from springboard.client import score as client
from springboard.client import top
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError, Limits, Variant
from springboard.front.server import ChildFailed, Companion, Options, listen, serve
from springboard.system import logs, systemd
from springboard.system.checkout import ROOT

KEYS_FILE = Path.home() / ".config" / "springboard" / "keys.json"
LOCAL_VERSION = "0.0.0-local"

app = typer.Typer(help="A self-managed inference server for dive scoring.", no_args_is_help=True)
keys_app = typer.Typer(help="Issue, list and revoke credentials.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(cli_releases.app, name="releases")
for command in (cli_host.deploy, cli_host.rollback, cli_host.tidy):
    app.command()(command)
log = logging.getLogger("springboard.cli")

KeysFile = Annotated[Path, typer.Option(envvar="SPRINGBOARD_KEYS_FILE", help="Where issued keys are kept.")]


def main() -> None:
    """Run the command."""
    app()


@app.command("serve")
def serve_command(
    weights: Annotated[
        Path | None, typer.Option(help="Folder of checkpoint files; archived, then served.")
    ] = None,
    archive: Annotated[Path | None, typer.Option(help="A dive-X.Y.Z.mar to serve.")] = None,
    endpoint_file: Annotated[
        Path | None, typer.Option(help="endpoint.yml: TorchServes to connect to.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; a socket from systemd goes first.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    auth: Annotated[
        list[Mode] | None, typer.Option(help="May be given twice. Default none, on loopback.")
    ] = None,
    keys_file: KeysFile = KEYS_FILE,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow --auth none off loopback.")] = False,
    metrics: Annotated[MetricsRule, typer.Option(help="Who may read /metrics.")] = MetricsRule.LOOPBACK,
    max_body_mb: Annotated[
        float, typer.Option(min=0.001, help="Largest body, without an endpoint file.")
    ] = 25,
    deadline: Annotated[
        float, typer.Option(min=0.1, help="Seconds a request may take, without an endpoint file.")
    ] = 60,
    allow_bucket: Annotated[
        list[str] | None, typer.Option(help="S3 bucket that videos may come from.")
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="Go on answering 503 this long after SIGTERM; docs/serve.md: systemd's."),
    ] = 5,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one stops at once."""
    logs.configure(log_json)
    if sum(source is not None for source in (weights, archive, endpoint_file)) != 1:
        raise typer.BadParameter("give exactly one of --weights, --archive and --endpoint-file")
    handed_over = _from_systemd()
    modes = _modes(auth, handed_over.getsockname()[0] if handed_over else host, insecure)
    uses_keys = modes != {Mode.NONE}
    options = Options(
        auth=modes,
        keys_file=keys_file if uses_keys else None,
        metrics_rule=metrics,
        drain_seconds=drain_seconds,
        endpoint_file=endpoint_file,
        has_successor=handed_over is not None,
    )
    try:
        if uses_keys and not keys.load(keys_file).names():
            log.warning(
                "%s holds no keys, so nobody can call yet; run: springboard keys create NAME", keys_file
            )
        listening = handed_over or _listen(host, port)
        if endpoint_file is not None:
            endpoint, companions = endpoints.load(endpoint_file), list[Companion]()
        else:
            limits = Limits(max_body_bytes=int(max_body_mb * 1e6), deadline_seconds=deadline)
            mar = archive if archive is not None else _archive(weights or Path())
            endpoint, companions = _local(mar, limits, tuple(allow_bucket or ()))
    except (EndpointFileError, keys.KeysFileError) as error:
        _fail(str(error))
    address, bound = listening.getsockname()[:2]
    url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
    log.info("listening on %s; when /ping is 200: curl -F video=@dive.mp4 %s/invocations", url, url)
    failure, at_once = "", False
    try:
        at_once = uvloop.run(serve(endpoint, listening, options, companions))
    except* ChildFailed as group:
        failure = str(group.exceptions[0])
    if failure:
        _fail(failure)
    if at_once:
        # Threads may still wait for S3; "at once" does not wait for them.
        logging.shutdown()
        os._exit(1)


def _from_systemd() -> socket.socket | None:
    try:
        return systemd.take_socket()
    except ValueError as error:
        _fail(str(error))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        _fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port")


def _modes(auth: list[Mode] | None, host: str, insecure: bool) -> frozenset[Mode]:
    modes = frozenset(auth or [Mode.NONE])
    if Mode.NONE in modes and not is_loopback(host) and not insecure:
        raise typer.BadParameter(
            f"{host} can be reached from elsewhere, and nobody would have to say who they are. "
            "Give --auth bearer or --auth sigv4 (springboard keys create NAME), or force it with --insecure."
        )
    return modes


def _local(archive: Path, limits: Limits, buckets: tuple[str, ...]) -> tuple[Endpoint, list[Companion]]:
    """Return an endpoint of one variant, and the TorchServe that shall run beside the front for it."""
    # Here, not above: on a host the front's environment has no Java and needs none.
    from springboard.cli.local import keep_running
    from springboard.torchserve.process import TorchServe

    if not archive.is_file():
        _fail(f"{archive} does not exist; make it with: ./archive.sh --weights DIR --version X.Y.Z")
    child = TorchServe(archive, environment=_without_credentials(os.environ))
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    variant = Variant(
        name="local",
        release=child.version,
        address=child.served.address,
        management=child.served.management,
        metrics=child.served.metrics,
        sha256=sha256,
    )
    return Endpoint(variants=(variant,), limits=limits, allowed_buckets=buckets), [
        lambda front: keep_running(child, front)
    ]


def _without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a process that parses strangers' videos may know: the front alone reads S3."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")} | {
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _archive(weights: Path) -> Path:
    """Run archive.sh; stop it when we are stopped meanwhile."""
    log.info("archiving %s", weights)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = [str(ROOT / "archive.sh"), "--weights", str(weights), "--version", LOCAL_VERSION]
    with subprocess.Popen(command, stdout=sys.stderr) as process:
        try:
            status = process.wait()
        except BaseException:
            process.terminate()
            raise
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if status:
        _fail(f"archive.sh failed with status {status}")
    return ROOT / "build" / f"dive-{LOCAL_VERSION}.mar"


@app.command()
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
    try:
        credentials = client.auth(token, sign)
    except client.NoCredentials as error:
        _fail(str(error))
    results = client.score_all(videos, url, credentials, progress=sys.stderr.isatty())
    if as_json:
        typer.echo(client.as_json_lines(results))
    else:
        client.render(results, Console())
    if any(result.error for result in results):
        raise typer.Exit(1)


@app.command("top")
def top_command(
    url: Annotated[str, typer.Option(envvar="SPRINGBOARD_URL")] = "http://127.0.0.1:8080",
    token: Annotated[str | None, typer.Option(envvar="SPRINGBOARD_TOKEN", help="A bearer token.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Between two looks.")] = 2.0,
) -> None:
    """Show a running server's figures: rate, errors, quantiles, variants, stages, queue, GPU."""
    with httpx.Client(auth=client.auth(token, sign=False), timeout=5) as http:
        try:
            top.show(top.Source(http, url), url, Console(), seconds, once)
        except top.Away as away:
            _fail(str(away))


@keys_app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who it is for; revoking needs it.")],
    bearer: Annotated[
        bool, typer.Option("--bearer", help="A bearer token in place of an access key.")
    ] = False,
    keys_file: KeysFile = KEYS_FILE,
) -> None:
    """Issue an access key for SigV4 (boto3), or a bearer token; shown once. A running server takes it."""
    try:
        if bearer:
            typer.echo(f"SPRINGBOARD_TOKEN={keys.create_token(keys_file, name)}")
            return
        key = keys.create_access_key(keys_file, name)
    except keys.KeysFileError as error:
        _fail(str(error))
    typer.echo(f"AWS_ACCESS_KEY_ID={key.access_key_id}\nAWS_SECRET_ACCESS_KEY={key.secret_access_key}")


@keys_app.command("list")
def list_keys(keys_file: KeysFile = KEYS_FILE) -> None:
    """List who has a key; secrets are not shown."""
    try:
        issued = keys.load(keys_file)
    except keys.KeysFileError as error:
        _fail(str(error))
    for key in issued.access_keys:
        typer.echo(f"{key.name}\taccess key {key.access_key_id}\tsince {key.created:%Y-%m-%d}")
    for token in issued.tokens:
        typer.echo(f"{token.name}\tbearer token\tsince {token.created:%Y-%m-%d}")


@keys_app.command("revoke")
def revoke_key(name: str, keys_file: KeysFile = KEYS_FILE) -> None:
    """Revoke a key or token; a running server takes it over within seconds."""
    try:
        keys.revoke(keys_file, name)
    except keys.KeysFileError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"springboard: {message}", err=True)
    raise typer.Exit(2)
