"""What is made of Ansible's modules for each task and each run, kept for all processes of the tests.

What Python compiles of them, here and on hosts: see `sitecustomize`. The archives that they are sent in: see
`callbacks/kept_modules`. A process that has imported what they take: see `forking`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from springboard.system.checkout import ROOT
from tests.stands.started import started

SITECUSTOMIZE, FORKING = (Path(__file__).with_name(f"{name}.py") for name in ("sitecustomize", "forking"))
KEPT = ROOT / "build/compiled"


def keeping() -> dict[str, str]:
    """Return the environment of an Ansible of this machine's that keeps both."""
    KEPT.mkdir(parents=True, exist_ok=True)
    locked = sha256((ROOT / "requirements" / "dev.txt").read_bytes()).hexdigest()[:12]
    here = str(SITECUSTOMIZE.parent)
    return {
        "PYTHONPATH": here,
        "COMPILED_FOLDER": str(KEPT),
        "ANSIBLE_CALLBACK_PLUGINS": f"{here}/callbacks",
        "ANSIBLE_CALLBACKS_ENABLED": "kept_modules",
        "KEPT_MODULES": str(ROOT / "build" / f"modules-{locked}"),
    }


@contextmanager
def in_forks(folder: Path) -> Iterator[dict[str, str]]:
    """Yield what, beside `keeping`, has an Ansible run this machine's modules in forks of one process."""
    path = str(folder / "modules")
    command = [sys.executable, "-m", "tests.stands.compiled.forking", path, "aws"]
    with started(command, os.environ | keeping(), folder / "modules.log"):
        yield {"MODULES_SERVER": path}
