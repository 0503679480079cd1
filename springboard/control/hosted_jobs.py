"""Transform jobs on a host: its own front scores them, behind everybody who waits for an answer.

Nothing is started for them, and nobody here is root: a job's model is a release that the host serves.

    objects ──> batch ──> queue ──> worker, here ──> the host's front ──> the release that serves
                  └──> OUTPUT/PATH.out
"""

import json
import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from springboard.control import sources
from springboard.control.documents import Documents
from springboard.control.endpoints import slot_of
from springboard.control.errors import ControlError
from springboard.control.inputs import Inputs
from springboard.control.names import ENDPOINT, FRONT, TRANSFORM
from springboard.control.store import Document, Folder
from springboard.control.transforming import Transformer, TransformError
from springboard.control.transforms import turn
from springboard.deploy.stop import Stopped
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import EndpointFileError
from springboard.endpoint.names import MODEL
from springboard.jobs.asking import Asking
from springboard.jobs.local import LocalQueue
from springboard.jobs.worker import Worker
from springboard.releases.manifest import ReleaseError

log = logging.getLogger("springboard.control")

_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 5.0
# What is at work when we are told to end has so long.
_STOP_SECONDS = 10.0


@dataclass(kw_only=True)
class HostTransformer(Transformer):
    """One job's; `registry` is the host's, s3://BUCKET, `front` its front's URL, who knows us by `token`."""

    registry: str
    front: str
    token: str

    @contextmanager
    def _scoring(
        self, document: Document, settings: Async, queue: LocalQueue
    ) -> Iterator[Callable[[], None]]:
        release = self._release(document)
        path, front = f"/predictions/{MODEL}/{release}", self.front + self._below(release)

        def asking(pause: Callable[[float], bool]) -> Asking:
            return Asking(front, self.token, (), pause, path)

        worker = Worker(settings, self.name, queue, asking, self.store)
        worker.start()
        try:
            yield self._look
        finally:
            worker.stop(_STOP_SECONDS)

    def _below(self, release: str) -> str:
        """Return below which path of the front an endpoint serves a release, the first one before others."""
        for one in sorted(self.documents.every(ENDPOINT), key=slot_of):
            if any(variant["release"] == release for variant in (one["serving"] or {}).get("variants", [])):
                return f"/endpoints/{one['name']}{FRONT}" if slot_of(one) else ""
        return ""

    def _release(self, document: Document) -> str:
        return sources.release_of(document["model"], self.registry)

    def _write(self, inputs: Inputs, output: Document, results: list[tuple[str, bytes]]) -> None:
        """Write what this job's release has answered: one that waited while it was replaced got another's."""
        found = self.documents.read(TRANSFORM, self.name)
        release = self._release(found[0]) if found else ""
        for place, result in results:
            if (version := json.loads(result)["model"]["version"]) != release:
                raise TransformError(f"{place} was scored by {version}: {release} serves no more")
        super()._write(inputs, output, results)


def refusal(
    documents: Documents, served: Callable[[], Collection[str]]
) -> Callable[[Document, Document], None]:
    """Return what refuses a job that a host does not do; `served` are the releases that serve now."""

    def refuse(asked: Document, model: Document) -> None:
        try:
            release = sources.release_of(model, documents.registry)
        except ReleaseError as error:
            raise ControlError(f"{error}.") from None
        if release not in (serves := served()):
            there = ", ".join(sorted(serves)) or "nothing"
            raise ControlError(
                f"A host's transform jobs are scored by what serves there, {there}, and model "
                f"{asked['ModelName']} is {release}. Have an endpoint serve it, or do the job with "
                "springboard serve --control."
            )
        if "MaxPayloadInMB" in asked:
            documents.no_counterpart("MaxPayloadInMB is given; the host's own limits hold for jobs, too.")

    return refuse


def work(folder: Path, own: Path, made: Callable[[str], HostTransformer], ask: Callable[[], None]) -> None:
    """Do the jobs of a folder of documents, one at a time, until `ask` raises `Stopped`.

    `made` returns who does one; `own` is what is kept of a job until it has ended.
    """
    jobs, seen = Folder(folder), -1
    while True:
        try:
            ask()
            now = _changed(folder / TRANSFORM)
            if now == seen or not (name := turn(jobs)):
                seen = now
                time.sleep(_LOOK_SECONDS)
                continue
            made(name).run()
            shutil.rmtree(own, ignore_errors=True)
        except Stopped:
            return
        except (EndpointFileError, OSError, ValueError) as error:  # or a document is no JSON
            log.warning("%s; it is tried again", error)
            time.sleep(_AGAIN_SECONDS)
        except Exception:
            log.exception("a bug of ours; it begins anew")
            time.sleep(_AGAIN_SECONDS)


def _changed(folder: Path) -> int:
    """Return when something was put into a folder: all jobs that ever were are read only then."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return -1
