"""What is compiled for Ansible's modules, kept for all processes of the tests: see `sitecustomize`."""

from pathlib import Path

from springboard.system.checkout import ROOT

SITECUSTOMIZE = Path(__file__).with_name("sitecustomize.py")
KEPT = ROOT / "build/compiled"


def keeping() -> dict[str, str]:
    """Return the environment of an Ansible of this machine's that keeps it, too."""
    KEPT.mkdir(parents=True, exist_ok=True)
    return {"PYTHONPATH": str(SITECUSTOMIZE.parent), "COMPILED_FOLDER": str(KEPT)}
