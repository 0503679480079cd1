"""TorchServe's side of the model: its verbs `initialize` and `handle`, and nothing that knows of video."""

import logging
import os
from pathlib import Path
from typing import Any

import cv2

from model_handler import logs
from model_handler.device import keep_freed_memory
from model_handler.pipeline import Answer, Pipeline, Settings
from model_handler.request.errors import InternalError, ScoringError
from model_handler.request.source import S3Object, parse, pick_field

log = logging.getLogger(__name__)

_EX_SOFTWARE = 70  # sysexits.h


class DiveHandler:
    """Scores dives. TorchServe makes one in each worker process and hands it batches."""

    def initialize(self, context: Any) -> None:
        """Load the release's weights and run them once; only then does TorchServe call the worker ready."""
        logs.to_json()
        properties = context.system_properties
        config = context.model_yaml_config or {}
        settings = dict(config.get("handler") or {})
        if buckets := os.environ.get("SPRINGBOARD_VIDEO_BUCKETS"):
            # Which buckets may be read belongs to a deployment, not to a release.
            settings["video_buckets"] = buckets.replace(",", " ").split()
        cv2.setNumThreads(1)
        keep_freed_memory()
        model = context.manifest["model"]
        self._pipeline = Pipeline(
            Path(properties["model_dir"]) / model["serializedFile"],
            Settings.from_mapping(settings),
            model["modelName"],
            model["modelVersion"],
            properties.get("gpu_id"),
            Path(kept) if (kept := os.environ.get("SPRINGBOARD_CACHE")) else None,
            max(1, int(config.get("maxWorkers", 1))),
        )
        self._pipeline.warm_up()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """Answer each request of a batch with its own status, body and `Server-Timing`."""
        ids = [logs.bounded(_header(context, i, "x-request-id")) for i in range(len(data))]
        for request_id in ids:
            with logs.about(request_id):
                log.info("received")
        logs.remain_about(*ids)
        try:
            answers = self._pipeline.process(
                [_source(row, context, i) for i, row in enumerate(data)],
                [_header(context, i, "x-springboard-include") == "strip" for i in range(len(data))],
                ids,
            )
        except Exception as error:
            log.exception("the batch failed")
            if self._pipeline.on_gpu and isinstance(error, RuntimeError):
                # After a CUDA fault the process computes nothing any more, but TorchServe would keep it.
                log.critical("ending this worker so that TorchServe replaces it")
                logging.shutdown()
                os._exit(_EX_SOFTWARE)
            failed = InternalError("The server failed on this batch; its log says why.")
            answers = [Answer(failed.status, failed.body(), {}) for _ in data]
        for i, answer in enumerate(answers):
            context.set_response_status(code=answer.status, idx=i)
            context.set_response_content_type(i, "application/json")
            context.set_response_header(i, "Server-Timing", answer.server_timing)
        return [answer.json() for answer in answers]


def _source(row: dict[str, Any], context: Any, index: int) -> bytes | S3Object | ScoringError:
    """Return the row's video source: TorchServe gives a raw body as the field `body`, a form as fields."""
    try:
        content_type = _header(context, index, "content-type")
        if content_type.startswith("multipart/"):
            return parse(pick_field(row))
        return parse(row.get("body", row.get("data", b"")), content_type)
    except ScoringError as error:
        return error


def _header(context: Any, index: int, name: str) -> str:
    """Return a header of one request of the batch; `name` in small letters, empty where it has none."""
    headers = context.get_all_request_header(index).items()
    return next((str(value) for key, value in headers if key.lower() == name), "")
