"""`springboard serve`: the server."""

import logging
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from springboard.auth import keys
from springboard.auth.check import MetricsRule, Mode
from springboard.cli import worker
from springboard.cli.keys import DEFAULT, KeysFile
from springboard.cli.said import fail
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError, Limits
from springboard.front.server import ChildFailed, Companion, Options, listen
from springboard.front.server import serve as until_stopped
from springboard.system import logs, systemd
from springboard.system.addresses import is_loopback

log = logging.getLogger("springboard.cli")


def serve(
    weights: Annotated[
        Path | None, typer.Option(help="Folder of checkpoint files; archived, then served.")
    ] = None,
    archive: Annotated[
        Path | None, typer.Option(help="A dive-X.Y.Z.mar to serve, or a folder that holds one.")
    ] = None,
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
    keys_file: KeysFile = DEFAULT,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow --auth none off loopback.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Another name of this server, where none of loopback's and no keys; `*` for all."),
    ] = None,
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
    control: Annotated[
        Path | None,
        typer.Option(help="Folder of SageMaker's control plane: endpoints are made by its API, at POST /."),
    ] = None,
    control_documents: Annotated[
        str | None,
        typer.Option(
            help="Folder or s3://BUCKET/PREFIX of the control plane's documents, with an endpoint file: "
            "`springboard agent` follows them."
        ),
    ] = None,
    control_registry: Annotated[
        str, typer.Option(help="With --control-documents: s3://BUCKET, whose releases models are.")
    ] = "",
    control_fleet: Annotated[
        str,
        typer.Option(help="With --control-documents that a fleet's hosts share: their one endpoint."),
    ] = "",
    control_as: Annotated[
        str, typer.Option(help="REGION:ACCOUNT of the control plane's ARNs.")
    ] = "us-east-1:000000000000",
    control_lenient: Annotated[
        bool, typer.Option("--control-lenient", help="Take what has no counterpart here, with a warning.")
    ] = False,
    control_prometheus: Annotated[
        str | None,
        typer.Option(help="A Prometheus with monitoring/rules; its alerts are AutoRollbackConfiguration's."),
    ] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name that the endpoint answers to, without an endpoint file."),
    ] = None,
    async_output: Annotated[
        Path | None,
        typer.Option(help="Folder for results of asynchronous requests, without an endpoint file."),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(min=0, help="Go on answering 503 this long after SIGTERM; docs/serve.md: systemd's."),
    ] = 5,
    stop_within: Annotated[
        float | None,
        typer.Option(min=1, help="Stop at once where it has not drained this many seconds after SIGTERM."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="The web page at `/`.")] = True,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one stops at once."""
    logs.configure(log_json)
    if sum(source is not None for source in (weights, archive, endpoint_file, control)) != 1:
        raise typer.BadParameter("give exactly one of --weights, --archive, --endpoint-file and --control")
    handed_over = _from_systemd()
    modes = _modes(auth, handed_over.getsockname()[0] if handed_over else host, insecure)
    uses_keys = modes != {Mode.NONE}
    options = Options(
        auth=modes,
        keys_file=keys_file if uses_keys else None,
        metrics_rule=metrics,
        drain_seconds=drain_seconds,
        stop_within=stop_within,
        endpoint_file=endpoint_file,
        has_successor=handed_over is not None,
        page=page,
        allow_hosts=tuple(allow_host or ()),
    )
    try:
        if uses_keys and not keys.load(keys_file).names():
            log.warning(
                "%s holds no keys, so nobody can call yet; run: springboard keys create NAME", keys_file
            )
        here = Endpoint(
            variants=(),
            aliases=tuple(alias or ()),
            limits=Limits(max_body_bytes=int(max_body_mb * 1e6), deadline_seconds=deadline),
            allowed_buckets=tuple(allow_bucket or ()),
        )
        if control is not None:
            from springboard.cli.control import begin

            plane = begin(
                control, control_as, control_lenient, here, async_output, log_json, control_prometheus
            )
            options = replace(options, endpoint_file=plane.place.endpoint, add_routes=plane.add_routes)
            listening = handed_over or _listen(host, port)
            endpoint, companions = plane.endpoint(), [lambda _: plane.keep(_called(listening))]
        elif endpoint_file is not None:
            companions = list[Companion]()
            if control_documents:
                from springboard.cli.plane import routes

                plane_routes = routes(
                    control_documents,
                    endpoint_file,
                    called=control_as,
                    registry=control_registry,
                    lenient=control_lenient,
                    watched=control_prometheus is not None,
                    fleet=control_fleet,
                )
                options = replace(options, add_routes=plane_routes)
                companions = plane_routes.companions
            listening = handed_over or _listen(host, port)
            endpoint = endpoints.load(endpoint_file)
        else:
            archive = _checked(archive)
            listening = handed_over or _listen(host, port)
            endpoint, companions = _local(weights, archive, here, async_output)
    except (EndpointFileError, keys.KeysFileError) as error:
        fail(str(error))
    url = _url(listening)
    log.info("listening on %s; when /ping is 200: curl -F video=@dive.mp4 %s/invocations", url, url)
    if handed_over is None:  # on a host the worker is a unit of its own
        beside = worker.companion(_called(listening), endpoint, options.endpoint_file, log_json)
        companions = [*companions, beside]
    _run(endpoint, listening, options, companions)


def _run(endpoint: Endpoint, listening: socket.socket, options: Options, companions: list[Companion]) -> None:
    failure, at_once = "", False
    try:
        at_once = uvloop.run(until_stopped(endpoint, listening, options, companions))
    except* ChildFailed as group:
        failure = str(group.exceptions[0])
    if failure:
        fail(failure)
    if at_once:
        # Threads may still wait for S3; "at once" does not wait for them.
        logging.shutdown()
        os._exit(1)


def _checked(archive: Path | None) -> Path | None:
    # Here, not above: on a host the front's environment has no Java and needs none.
    from springboard.cli import local

    return local.check(archive)


def _local(
    weights: Path | None, archive: Path | None, here: Endpoint, results: Path | None
) -> tuple[Endpoint, list[Companion]]:
    """Return the endpoint of one archive, and what runs it; `here` is all else that was said of it."""
    from springboard.cli import local, packing

    if weights is not None:
        log.info("archiving %s, unless its archive is there already", weights)
        archive = packing.archive_of(weights)
    assert archive is not None  # noqa: S101 - one of the two was given
    endpoint, companions = local.endpoint(archive, here.limits, here.allowed_buckets, results)
    return endpoint.model_copy(update={"aliases": here.aliases}), companions


def _url(listening: socket.socket) -> str:
    address, bound = listening.getsockname()[:2]
    return f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"


def _called(listening: socket.socket) -> str:
    """Return where this machine calls us."""
    return _url(listening).replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104 - not to listen


def _from_systemd() -> socket.socket | None:
    try:
        return systemd.take_socket()
    except ValueError as error:
        fail(str(error))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port")


def _modes(auth: list[Mode] | None, host: str, insecure: bool) -> frozenset[Mode]:
    modes = frozenset(auth or [Mode.NONE])
    if Mode.NONE in modes and not is_loopback(host) and not insecure:
        raise typer.BadParameter(
            f"{host} can be reached from elsewhere, and nobody would have to say who they are. "
            "Give --auth bearer or --auth sigv4 (springboard keys create NAME), or force it with --insecure."
        )
    return modes
