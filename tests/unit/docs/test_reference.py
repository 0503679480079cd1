"""The committed reference is what the code says."""

import subprocess
import sys

from springboard.system.checkout import ROOT


def test_reference_is_what_the_code_says() -> None:
    command = [sys.executable, "-m", "docs.reference", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
