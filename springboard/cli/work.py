"""`springboard work`: the worker, which scores the jobs that nobody waits for."""

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from localqueue import LocalQueueError

from springboard.cli.queued import stop_event
from springboard.endpoint import document as endpoints
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import EndpointFileError
from springboard.jobs.asking import Asking
from springboard.jobs.opening import open_queue, state_folder, worker_token
from springboard.jobs.queue import QueueAway
from springboard.jobs.reporting import Reports
from springboard.jobs.webhook import Hooks
from springboard.jobs.worker import Worker
from springboard.system import logs

log = logging.getLogger("springboard.jobs")

_LOOK_SECONDS = 1.0


def work(
    endpoint_file: Annotated[Path, typer.Option(help="endpoint.yml, whose `async` says what to do.")],
    front: Annotated[str, typer.Option(help="The front that scores.")] = "http://127.0.0.1:8080",
    stop_within: Annotated[
        float, typer.Option(min=0, help="Seconds after SIGTERM for what is at work; then it is given back.")
    ] = 20,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
) -> None:
    """Score the jobs on the endpoint's queue until SIGTERM or Ctrl-C."""
    logs.configure(log_json)
    stop = stop_event()
    _Shift(endpoint_file, front, stop, stop_within).run()
    # Threads may still wait for the front; what they had is given back.
    logging.shutdown()
    os._exit(0)


class _Shift:
    """Has a worker at work as endpoint.yml says, and another one when that is edited."""

    def __init__(self, path: Path, front: str, stop: threading.Event, stop_within: float) -> None:
        self._path, self._front = path, front
        self._stop, self._stop_within = stop, stop_within
        self._now: tuple[str, Async | None] = ("", None)
        self._crew: _Crew | None = None
        self._retiring = list[threading.Thread]()
        self._told = ""

    def run(self) -> None:
        while True:
            self._look()
            if self._stop.wait(_LOOK_SECONDS):
                break
        if self._crew:
            log.info("ending: up to %g s for what is at work", self._stop_within)
            self._crew.stop(self._stop_within)
        for thread in self._retiring:
            thread.join()

    def _look(self) -> None:
        try:
            endpoint = endpoints.load(self._path)
        except EndpointFileError as error:
            self._tell(f"waiting for a valid endpoint file: {error}")
            return
        wanted = (endpoint.endpoint, endpoint.asynchronous)
        if wanted == self._now and (self._crew or endpoint.asynchronous is None):
            return
        before, self._crew = self._crew, None
        if before:  # it ends what it has; a job that both could claim only one gets
            retiring = threading.Thread(target=self._retire, args=(before,), daemon=True)
            retiring.start()
            self._retiring = [*(thread for thread in self._retiring if thread.is_alive()), retiring]
        self._now = wanted
        if endpoint.asynchronous is None:
            self._tell(f"{self._path} has no `async`: nothing to do")
            return
        try:
            self._crew = self._begin(endpoint.endpoint, endpoint.asynchronous)
        except (QueueAway, LocalQueueError, OSError) as error:
            self._tell(f"cannot begin: {error}")

    def _begin(self, name: str, settings: Async) -> "_Crew":
        token = worker_token()
        queue = open_queue(settings, name)
        hooks = Hooks(settings.webhook, state_folder() / "webhook") if settings.webhook else None
        reports = Reports(self._front, token, name)
        worker = Worker(
            settings,
            name,
            queue,
            lambda pause: Asking(self._front, token, settings.inputs, pause),
            told=reports.add,
            hooks=hooks,
        )
        for one in (hooks, reports, worker):
            if one:
                one.start()
        self._tell(f"working for {name}, up to {settings.max_concurrent} jobs at a time")
        return _Crew(worker, reports, hooks)

    def _retire(self, crew: "_Crew") -> None:
        crew.worker.finish(self._stop)
        crew.stop(self._stop_within)

    def _tell(self, what: str) -> None:
        if what != self._told:
            self._told = what
            log.info("%s", what)


@dataclass(frozen=True)
class _Crew:
    worker: Worker
    reports: Reports
    hooks: Hooks | None

    def stop(self, seconds: float) -> None:
        self.worker.stop(seconds)
        self.reports.stop()
        if self.hooks:
            self.hooks.stop()
