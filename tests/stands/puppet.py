"""A TorchServe handler that does as the body says, so that faults come when a test wants them.

A body is words: `score=84.15`, `sleep=0.5`, `status=422 code=not_a_dive`, `die`, `raise`, `cuda`, `hold=FILE`
(for as long as FILE is there), `hang=FILE` (until killed, but only while FILE is there, which it removes).
Anything else, as a video, scores 50. Answers have the shape of model_handler's.

A release may have a fault of its own, `handler: {fault: ...}` in its model-config: `raises` on a third of the
requests, three in a row, so that trying again there does not help; `fails` on as many, with an answer; `slow`
takes three times as long and `slower` twice, `dies` with all of TorchServe at its 8th request, `unloadable`,
`off` by ten points.
"""

import itertools
import json
import os
import signal
import time
from typing import Any


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[bytes] | None:
    fault = (context.model_yaml_config or {}).get("handler", {}).get("fault", "")
    if data is None:  # TorchServe asks the handler to initialise itself
        if fault == "unloadable":
            raise RuntimeError("weights are missing")
        return None
    answers = []
    for i, row in enumerate(data):
        body = bytes(row.get("body") or row.get("data") or b"")
        context.set_response_content_type(i, "application/json")
        context.set_response_header(
            i, "Server-Timing", "fetch;dur=0.0, decode;dur=1.5, gate;dur=2.5, score;dur=3.0"
        )
        status, answer = _answer(body[:200].decode(errors="replace").split(), body, context, fault)
        context.set_response_status(code=status, idx=i)
        answers.append(json.dumps(answer).encode())
    return answers


_requests = itertools.count(1)
_TIMES = {"slow": 3, "slower": 2}


def _work(said: dict[str, str], times: int) -> None:
    time.sleep(float(said.get("sleep", 0)) * times)
    while "hold" in said and os.path.exists(said["hold"]):
        time.sleep(0.02)


def _answer(words: list[str], body: bytes, context: Any, fault: str) -> tuple[int, dict[str, Any]]:
    said = dict(word.partition("=")[::2] for word in words)
    if not body:
        return 400, {"error": {"code": "empty_body", "message": "The body is empty."}}
    count = next(_requests)
    _work(said, _TIMES.get(fault, 1))
    if fault == "raises" and count % 9 > 5:
        raise RuntimeError("one in three")
    if fault == "fails" and count % 9 > 5:
        return 500, {"error": {"code": "internal_error", "message": "One in three."}}
    if fault == "dies" and count == 8:
        os.killpg(0, signal.SIGKILL)
    if "hang" in said and os.path.exists(said["hang"]):
        os.remove(said["hang"])
        signal.pause()
    if "die" in said:
        os.kill(os.getpid(), signal.SIGKILL)
    if "raise" in said:
        raise RuntimeError("as told")
    if "cuda" in said:
        raise RuntimeError("CUDA error: as told")
    if "status" in said:
        return int(said["status"]), {"error": {"code": said["code"], "message": "As told."}}
    score = float(said.get("score", 50)) + (10 if fault == "off" else 0)
    number = {"label": "pike", "probability": 0.9}
    return 200, {
        "prediction": int(score),
        "score": score,
        "dive": {
            "number": "101B",
            "position": number,
            "rotation": {"label": "forward", "probability": 0.8},
            "somersaults": 0.5,
            "twists": 0.0,
            "armstand": False,
        },
        "clips": [{"start_frame": 0, "end_frame": 16, "start_s": 0.0, "end_s": 0.6, "contribution": score}],
        "video": {
            "frames": 16,
            "fps": 25.0,
            "duration_s": 0.64,
            "width": 171,
            "height": 128,
            "scored_frames": 16,
        },
        "warnings": [],
        "notes": [],
        "model": {
            "name": "dive",
            "version": context.manifest["model"]["modelVersion"],
            "pid": os.getpid(),
            "bytes": len(body),
        },
    }
