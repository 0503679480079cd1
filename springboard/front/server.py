"""The server process: what it starts, how it learns of edited files, how it ends."""

import array
import asyncio
import fcntl
import logging
import os
import signal
import socket
import termios
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import httpx
import uvicorn
from fastapi import FastAPI

from springboard.auth import keys
from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys, KeysFileError
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.front.connection import Connection
from springboard.front.front import Front
from springboard.front.routes import create_app
from springboard.system import systemd
from springboard.system.addresses import is_loopback
from springboard.system.watch import watch
from springboard.torchserve import transport

if TYPE_CHECKING:
    from springboard.front.traces import Traces

log = logging.getLogger("springboard.server")

_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Options:
    """How to serve: to whom, and how to end.

    `stop_within`: seconds from the signal, after which what is not answered is not waited for.
    `has_successor`: systemd keeps the listening socket, and starts another of us on it.
    `page`: the web page too, where the endpoint file does not say otherwise.
    `allow_hosts`: names that callers know a server by which asks nobody for keys and listens on loopback,
    beside loopback's own; `*` is all of them.
    `add_routes`: puts more into the application, the control plane; with the last it makes others for further
    fronts.
    """

    auth: frozenset[Mode] = frozenset({Mode.NONE})
    keys_file: Path | None = None
    metrics_rule: MetricsRule = MetricsRule.LOOPBACK
    drain_seconds: float = 5.0
    stop_within: float | None = None
    endpoint_file: Path | None = None
    has_successor: bool = False
    page: bool = True
    allow_hosts: tuple[str, ...] = ()
    add_routes: "Callable[[FastAPI, Front, Applications], None] | None" = None


# Makes a front's application as this server's own is.
Applications = Callable[[Front], FastAPI]
# Something that runs beside the server until cancelled; when it fails, the server ends.
Companion = Callable[[Front], Coroutine[None, None, None]]


class ChildFailed(Exception):
    """A process that this server depends on cannot be started; the message says why."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises OSError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=2048)
    # Inherited by every connection. Event loops set it only on sockets they made themselves, and without it
    # an answer's body waits 40 ms for the client to acknowledge its headers.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def serve(
    endpoint: Endpoint, listening: socket.socket, options: Options, companions: Sequence[Companion] = ()
) -> bool:
    """Serve until told to stop; return whether that was a second signal's "at once"."""
    accepted = keys.load(options.keys_file) if options.keys_file else Keys()
    # Proxies of the environment are for elsewhere.
    async with httpx.AsyncClient(
        limits=transport.UNBOUNDED,
        timeout=None,  # noqa: S113 - each request brings its own
        trust_env=False,
        mounts=transport.mounts(),
    ) as client:
        front = Front(endpoint, Auth(options.auth, accepted), client, options.has_successor)
        front.traces = _traces()
        trusts_machine = Mode.NONE in options.auth and is_loopback(listening.getsockname()[0])
        hosts = options.allow_hosts if trusts_machine else ("*",)

        def application(of: Front) -> FastAPI:
            return create_app(of, options.metrics_rule, options.page, hosts)

        app = application(front)
        if options.add_routes:
            options.add_routes(app, front, application)
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            # Longer than the 60 s of AWS's balancers: whoever closes last loses no request.
            timeout_keep_alive=75,
            # By then the front has drained; what is left is connections nobody uses.
            timeout_graceful_shutdown=2,
        )
        server = _Server(config, front, options.drain_seconds, options.stop_within)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(companion(front)) for companion in companions]
            running.append(group.create_task(front.run()))
            if path := options.endpoint_file:
                running.append(group.create_task(watch(path, lambda: reload_endpoint(front, path))))
            if path_of_keys := options.keys_file:
                running.append(
                    group.create_task(watch(path_of_keys, lambda: _reload_keys(front, path_of_keys)))
                )
            await server.serve(sockets=[listening])
            front.stop_at_once = server.force_exit
            for task in running:
                task.cancel()
        if front.traces:
            await asyncio.to_thread(front.traces.close)
        return server.force_exit


def _traces() -> "Traces | None":
    """Return what sends spans, where OpenTelemetry's variables name a collector."""
    if not any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_")):
        return None
    from springboard.front.traces import Traces

    return Traces()


def reload_endpoint(front: Front, path: Path) -> None:
    """Serve what the edited file says; what cannot be used changes nothing, and the log says why."""
    try:
        modified = path.stat().st_mtime
        endpoint = endpoints.load(path)
    except (EndpointFileError, OSError) as error:
        front.metrics.config_valid.set(0)
        log.error("the edited endpoint file is not taken over; the last valid one serves on:\n%s", error)
    else:
        front.metrics.config_valid.set(1)
        front.metrics.config_modified.set(modified)
        if endpoint == front.endpoint:
            return
        front.use(endpoint)
        shares = ", ".join(f"{v.name} {v.release} weight {v.weight}" for v in endpoint.variants)
        log.info("the endpoint file was edited: %s", shares or "no variants")


def _reload_keys(front: Front, path: Path) -> None:
    try:
        edited = keys.load(path)
    except KeysFileError as error:
        log.error("the edited keys are not taken over; the last valid ones stay: %s", error)
        return
    before = front.auth.keys
    if edited != before:
        front.auth.keys = edited
        gone = set(before.named()) - set(edited.named())
        left = f"; gone: {', '.join(sorted(gone))}" if gone else ""
        log.info("the keys were edited: %s%s", ", ".join(edited.names()) or "none", left)


class _Server(uvicorn.Server):
    """Uvicorn, but the first signal drains, and only the second stops at once."""

    def __init__(
        self, config: uvicorn.Config, front: Front, drain_seconds: float, stop_within: float | None
    ) -> None:
        super().__init__(config)
        self._front = front
        self._drain_seconds = drain_seconds
        self._stop_within = stop_within
        self._draining: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's hook for SIGINT and SIGTERM; runs between two bytecodes of whatever was running."""
        self._loop.call_soon_threadsafe(self._told_to_stop, signal.Signals(sig).name)

    def _told_to_stop(self, name: str) -> None:
        if self._draining is None:
            log.info("%s: draining; once more stops at once", name)
            self._draining = asyncio.create_task(self._drain())
        else:
            log.warning("%s again: stopping at once", name)
            self.should_exit = self.force_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        systemd.notify("READY=1")

    async def _drain(self) -> None:
        systemd.notify("STOPPING=1")
        for front in (self._front, *self._front.beside):
            front.draining = True
        try:
            async with asyncio.timeout(self._stop_within):
                if self._front.has_successor:
                    await self._leave_to_successor()
                else:
                    await self._front.drain(self._drain_seconds)
        except TimeoutError:
            log.warning("not drained within %g s: stopping at once", self._stop_within)
            self.force_exit = True
        self.should_exit = True

    async def _leave_to_successor(self) -> None:
        """Accept no more, so that the backlog is our successor's, and answer what comes on open connections.

        Each answer now closes its connection, so whoever calls steadily has left within the lead time; only
        then idle connections are closed. A request that crosses with that on the wire is lost: HTTP/1.1 has
        no word for "do not send any more".
        """
        for server in self.servers:
            server.close()
        connections, clock = self.server_state.connections, self._loop.time
        lead_ends = clock() + self._drain_seconds
        end = lead_ends + self._front.endpoint.limits.deadline_seconds
        while connections and clock() < end:
            if clock() >= lead_ends:
                for connection in list(connections):
                    if not _has_sent(connection):
                        connection.shutdown()  # at once where idle, else after its answer
            await asyncio.sleep(_LOOK_SECONDS)


def _has_sent(connection: asyncio.Protocol) -> bool:
    """Whether bytes came in that nobody has read yet: closing now would reset the connection."""
    transport: asyncio.Transport = connection.transport  # type: ignore[attr-defined]
    if transport.is_closing():
        return False
    waiting = array.array("i", [0])
    fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
    return waiting[0] > 0
