"""A client that openapi-python-client writes from /openapi.json, every warning of which is an error here."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from cases import GOOD

# The events of a response stream are AWS's own, which no generator reads.
SETTINGS = {
    "post_hooks": [],
    "content_type_overrides": {"application/vnd.amazon.eventstream": "application/octet-stream"},
}

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "settings.json").write_text(json.dumps(SETTINGS))
    command = ["generate", "--url", f"{os.environ['URL']}/openapi.json", "--meta", "none"]
    command += [
        "--output-path",
        f"{folder}/dives",
        "--config",
        f"{folder}/settings.json",
        "--fail-on-warning",
    ]
    subprocess.run(["openapi-python-client", *command], check=True)
    sys.path.insert(0, folder)
    dives = importlib.import_module("dives")
    invocations = importlib.import_module("dives.api.score.invocations")
    models = importlib.import_module("dives.models")
    File = importlib.import_module("dives.types").File

    def say(body: object) -> str:
        with dives.AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["TOKEN"]) as client:
            answer = invocations.sync_detailed(client=client, body=body)
        if isinstance(answer.parsed, models.Score):
            return str(answer.parsed.score)
        assert isinstance(answer.parsed, models.Error)
        return f"{answer.status_code.value} {answer.parsed.error.code}"

    answers = {
        "good": say(File(BytesIO(GOOD))),
        "not a dive": say(File(BytesIO(b"status=422 code=not_a_dive"))),
        "too large": say(File(BytesIO(b"x" * 3_000_000))),
        "good again": say(models.VideoForm(File(BytesIO(GOOD), "dive.mp4", "video/mp4"))),
    }
print(json.dumps(answers))
