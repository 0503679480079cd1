"""A batch of requests -> their answers; any server can host this, TorchServe does it through handler.py."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from model_handler import checkpoint, logs, strip
from model_handler.device import INT8, check_cpu, check_cudnn, choose_device, choose_dtype
from model_handler.dives import POSITIONS, ROTATIONS
from model_handler.engines.choice import choose
from model_handler.network import CLIP_FRAMES
from model_handler.request import storage
from model_handler.request.errors import InternalError, OutOfMemory, ScoringError
from model_handler.request.source import S3Object
from model_handler.scoring import Assessment, Scorer
from model_handler.turns import Turns
from model_handler.video import FRAME_RATES, FrameRate, Limits, Video, decode

log = logging.getLogger(__name__)

QUANTISED = "int8"
"""The archive's folder of networks in int8, where it has any; springboard/releases/quantise.py makes it."""
STAGES = ("fetch", "decode", "gate", "score")


@dataclass(frozen=True)
class Settings:
    """The `handler` section of model-config.yaml."""

    precision: str = "auto"
    device: str = "auto"
    engine: str = "auto"
    video_buckets: tuple[str, ...] = ()
    frame_rate: FrameRate = "auto"
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_mapping(cls, section: Mapping[str, Any]) -> "Settings":
        """Check names and values; raises ValueError naming the one that is wrong."""
        _check_names("handler", section, cls)
        values = dict(section)
        limits = values.pop("limits", None) or {}
        _check_names("handler.limits", limits, Limits)
        for name, value in limits.items():
            if not isinstance(value, int | float) or value <= 0:
                raise ValueError(
                    f"model-config.yaml: handler.limits.{name} is {value!r}; it should be above 0"
                )
        values["video_buckets"] = tuple(values.get("video_buckets") or ())
        if (rate := values.get("frame_rate", "auto")) not in FRAME_RATES:
            raise ValueError(
                f"model-config.yaml: handler.frame_rate is {rate!r}; it should be {' or '.join(FRAME_RATES)}"
            )
        return cls(**values, limits=Limits(**limits))


@dataclass
class Answer:
    """One request's answer: HTTP status, JSON body, and milliseconds by stage."""

    status: int
    body: dict[str, Any]
    timings: dict[str, float]

    def json(self) -> bytes:
        """Return the body as strict JSON (no NaN)."""
        return json.dumps(self.body, allow_nan=False, separators=(",", ":")).encode()

    @property
    def server_timing(self) -> str:
        """Return the stages as a `Server-Timing` header (W3C Server Timing), in milliseconds."""
        return ", ".join(f"{stage};dur={self.timings.get(stage, 0):.1f}" for stage in STAGES)


class _Row:
    """One request on its way: what was found so far, or why it ended."""

    def __init__(self, with_strip: bool = False, request_id: str = "") -> None:
        self.with_strip = with_strip
        self.request_id = request_id
        self.timings: dict[str, float] = {}
        self.video: Video | None = None
        self.error: ScoringError | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = (time.perf_counter() - started) * 1000


class Pipeline:
    """Fetches, decodes and scores batches with the networks of one release.

    What engines find out about this machine is kept in `cache`, where there is one. `workers` such processes
    share it; on a CPU they take turns at all of its cores, beside a GPU they share them.
    """

    def __init__(
        self,
        weights: Path,
        settings: Settings,
        name: str,
        version: str,
        gpu_id: int | None = None,
        cache: Path | None = None,
        workers: int = 1,
    ) -> None:
        device = choose_device(settings.device, gpu_id)
        dtype = choose_dtype(settings.precision, device)
        check_cpu(device, dtype)
        check_cudnn(device, dtype)
        self.settings = settings
        self.on_gpu = device.type == "cuda"
        self._cores, self._workers = len(os.sched_getaffinity(0)), workers
        self._turns = Turns(weights.with_name("turns")) if workers > 1 else None
        # TorchServe limits OpenMP to one thread.
        torch.set_num_threads(max(self._cores // workers, 1) if self.on_gpu else self._cores)
        loaded = checkpoint.load(weights)
        quantised = weights.parent / QUANTISED if settings.precision == INT8 else None
        with self._turn():
            networks = choose(loaded, device, dtype, settings.engine, cache, quantised)
        self._scorer = Scorer(loaded, device, dtype, networks)
        self._model = {"name": name, "version": version}
        if self._scorer.trained_on:
            self._model["trained_on"] = self._scorer.trained_on
        # Decoding releases the GIL; more threads than a batch has rows are never used.
        self._threads = ThreadPoolExecutor(thread_name_prefix="decode")
        computes = INT8 if quantised else dtype
        log.info("%s %s computes in %s on %s, by %s", name, version, computes, device, networks.engine)

    def warm_up(self) -> None:
        """Run the networks once, so that the first request is as fast as the next."""
        with self._turn():
            self._scorer.warm_up()

    def process(
        self,
        sources: Sequence[bytes | S3Object | ScoringError],
        strips: Sequence[bool] = (),
        ids: Sequence[str] = (),
    ) -> list[Answer]:
        """Answer every source, in order; one that cannot be scored does not disturb the others.

        `strips` says which answers shall show what was scored (model_handler/strip.py); by default none.
        `ids` are the requests', for the log. An element may already be the error that reading its request
        raised. Raises only what concerns the whole batch: a fault of the device.
        """
        none, unnamed = [False] * len(sources), [""] * len(sources)
        fresh = [_Row(*one) for one in zip(strips or none, ids or unnamed, strict=True)]
        threads = self._decoders(len(sources))
        with self._decoding():
            rows = list(self._threads.map(self._load, sources, fresh, [threads] * len(sources)))
        alive = [row for row in rows if row.error is None]
        assessments: dict[int, Assessment] = {}
        if alive:
            try:
                with self._turn():
                    assessments = self._score(alive)
            except OutOfMemory as error:
                for row in alive:
                    row.error = row.error or error
        return [self._answer(row, assessments.get(id(row))) for row in rows]

    def _turn(self) -> AbstractContextManager[None]:
        return self._turns.turn() if self._turns and not self.on_gpu else nullcontext()

    def _decoding(self) -> AbstractContextManager[None]:
        return self._turns.shared() if self._turns and self.on_gpu else nullcontext()

    def _decoders(self, videos: int) -> int:
        """Return how many threads decode each of so many videos, 0 for as many as there are cores.

        One video has them all while no other worker computes on them, or beside a GPU decodes.
        """
        alone = self._turns is not None and self._turns.free()
        share = (self._cores if alone else self._cores // self._workers) // max(videos, 1)
        return 0 if share >= self._cores else max(share, 1)

    def _load(self, source: bytes | S3Object | ScoringError, row: _Row, threads: int) -> _Row:
        with logs.about(row.request_id):  # on a thread of its own
            return self._loaded(source, row, threads)

    def _loaded(self, source: bytes | S3Object | ScoringError, row: _Row, threads: int) -> _Row:
        try:
            if isinstance(source, ScoringError):
                raise source
            if isinstance(source, S3Object):
                with row.stage("fetch"):
                    source = storage.fetch(
                        source, self.settings.video_buckets, self.settings.limits.max_bytes
                    )
            with row.stage("decode"):
                row.video = decode(source, self.settings.limits, self.settings.frame_rate, threads)
        except ScoringError as error:
            row.error = error
        except MemoryError:
            log.exception("out of memory while reading a video")
            row.error = OutOfMemory("The server has no memory for this video now. Try again later.")
        except Exception:
            log.exception("unexpected error while reading a video")
            row.error = InternalError("The server failed on this video; its log says why.")
        return row

    def _score(self, rows: Sequence[_Row]) -> dict[int, Assessment]:
        with self._shared_stage(rows, "gate"):
            clips = self._scorer.clips([row.video.frames for row in rows if row.video])
            for row, refusal in zip(rows, self._scorer.refusals(clips), strict=True):
                row.error = refusal
                if refusal and row.video and row.video.warnings:
                    # What the gate saw may be half a video, or in slow motion.
                    refusal.message = " ".join((refusal.message, *row.video.warnings))
        dives = [(row, c) for row, c in zip(rows, clips, strict=True) if row.error is None]
        with self._shared_stage([row for row, _ in dives], "score"):
            scored = self._scorer.score([c for _, c in dives])
        return {id(row): assessment for (row, _), assessment in zip(dives, scored, strict=True)}

    @contextmanager
    def _shared_stage(self, rows: Sequence[_Row], name: str) -> Iterator[None]:
        """Time a stage that a batch goes through together: each of its rows waited that long."""
        clock = _Row()
        with clock.stage(name):
            yield
        for row in rows:
            row.timings.update(clock.timings)

    def _answer(self, row: _Row, assessment: Assessment | None) -> Answer:
        if assessment is not None and not math.isfinite(assessment.score):
            with logs.about(row.request_id):
                log.error("the networks gave a score that is not a number")
            row.error = InternalError("The model gave no finite score for this video.")
        if row.error is not None or assessment is None or row.video is None:
            error = row.error or InternalError("The video was not scored.")
            refused = error.body()
            if row.with_strip and row.video is not None:
                refused["error"]["strip"] = strip.draw(row.video.frames)
            return Answer(error.status, refused, row.timings)
        body = {
            "prediction": int(assessment.score),
            "score": round(assessment.score, 4),
            "dive": _dive(assessment),
            "clips": _timeline(assessment, row.video),
            "video": asdict(row.video.info),
            "warnings": list(row.video.warnings),
            "notes": list(row.video.notes),
            "model": self._model,
        }
        if row.with_strip:
            body["strip"] = strip.draw(row.video.frames)
        return Answer(200, body, row.timings)


def _dive(assessment: Assessment) -> dict[str, Any] | None:
    dive, probabilities = assessment.dive, assessment.probabilities
    if dive is None or probabilities is None:
        return None
    return {
        "number": dive.number,
        "position": _labelled(dive.position, probabilities["position"][POSITIONS.index(dive.position)]),
        "rotation": _labelled(dive.rotation, probabilities["rot_type"][ROTATIONS.index(dive.rotation)]),
        "somersaults": dive.half_somersaults / 2,
        "twists": dive.half_twists / 2,
        "armstand": dive.armstand,
    }


def _labelled(label: str, probability: float) -> dict[str, Any]:
    return {"label": label, "probability": round(probability, 4)}


def _timeline(assessment: Assessment, video: Video) -> list[dict[str, Any]]:
    """Return each clip with its frames (end exclusive, padding left out), seconds, and share of the score.

    Frames and seconds are those of the video as sent, also where not every frame of it was taken.
    """
    clips = []
    for i, contribution in enumerate(assessment.contributions):
        (start, start_s), (end, end_s) = (video.place(n * CLIP_FRAMES) for n in (i, i + 1))
        clips.append(
            {
                "start_frame": start,
                "end_frame": end,
                "start_s": round(start_s, 3),
                "end_s": round(end_s, 3),
                "contribution": round(contribution, 4),
            }
        )
    return clips


def _check_names(where: str, section: object, expected: type) -> None:
    known = [f.name for f in fields(expected)]
    if not isinstance(section, Mapping):
        raise ValueError(f"model-config.yaml: {where} should be a mapping of {', '.join(known)}")
    if unknown := sorted(set(section) - set(known)):
        raise ValueError(f"model-config.yaml: {where}.{unknown[0]} is unknown; known are {', '.join(known)}")
