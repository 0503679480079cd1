"""The AWS CLI: version 1, which PyPI has; version 2 takes the same command."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cases import run

AWS = Path(sys.executable).with_name("aws")


def ask(body: bytes, endpoint: str) -> str:
    """Score a body."""
    with tempfile.TemporaryDirectory() as folder:
        video, out = Path(folder, "dive.mp4"), Path(folder, "answer.json")
        video.write_bytes(body)
        files = ["--body", f"fileb://{video}", out]
        where = ["--endpoint-url", os.environ["URL"], "--endpoint-name", endpoint]
        done = subprocess.run(
            [sys.executable, AWS, "sagemaker-runtime", "invoke-endpoint", *where, *files],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            variant = json.loads(done.stdout)["InvokedProductionVariant"]
            return f"{json.loads(out.read_text())['score']} {variant}"
        code = re.search(r"An error occurred \((\w+)\)", done.stderr)
        model = re.search(r"error \((\d+)\).*?\"code\": ?\"(\w+)\"", done.stderr)
        return " ".join([code[1] if code else done.stderr, *(model.groups() if model else ())])


run(ask)
