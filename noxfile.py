"""The tests on each Python that Springboard promises, with the lock files' packages: `make test-pythons`.

`make test` is the whole suite on one Python; here are those of this process and of real servers, and `quick`,
which CI runs, is a few of them. A Python that is not there is fetched, where it may be.
"""

import os
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Not those of one Python's: parity is the model's, which has other tests; fuzzing is luck.
TESTS = (
    "--ignore=tests/serving/model/test_parity.py",
    "--ignore=tests/unit/model/test_fuzz.py",
    "tests/unit",
    "tests/serving",
)
# From a video to its score by a real TorchServe, the front's requests, keys, and what a worker computes.
QUICK = (
    "tests/serving/model/test_torchserve.py::test_every_torchserve_path_scores_a_raw_body",
    "tests/unit/front/test_requests.py",
    "tests/unit/auth",
    "tests/unit/model/test_pipeline.py",
    "tests/unit/model/test_scoring.py",
)

nox.options.default_venv_backend = "uv"
nox.options.envdir = "build/nox"
nox.options.sessions = ["tests"]


def _install(session: nox.Session) -> None:
    # uv reads nothing of pip's configuration; of a mirror or local wheels it has to be told.
    found = os.environ.get("PIP_FIND_LINKS", "").replace(" ", ",")
    env = {"UV_FIND_LINKS": found} if found else {}
    by_hash = ("--no-deps", "--require-hashes", "-r")
    cpu = ("requirements/torch-cpu.txt",)
    # The CPU build as in the Makefile; where its index cannot be reached PyPI's, of CUDA, which needs no GPU.
    for torch in (cpu, (*cpu, "--index-url", TORCH_CPU_INDEX), ("requirements/torch-cuda.txt",)):
        try:
            session.install(*by_hash, *torch, env=env, silent=True)
            break
        except nox.command.CommandFailed:
            if torch[0].endswith("cuda.txt"):
                raise
    session.install("--require-hashes", "-r", "requirements/dev.txt", env=env)
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


def _test(session: nox.Session, *tests: str) -> None:
    _install(session)
    said = session.run("python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])", silent=True)
    if str(said).strip() != session.python:
        session.error(f"{session.name} runs on Python {said}")
    environment = {"SPRINGBOARD_VENV": str(Path(session.virtualenv.location).resolve())}
    session.run("python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", *tests, env=environment)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests that one Python can fail: in this process, and on real servers."""
    _test(session, *(session.posargs or TESTS))


@nox.session(python=PYTHONS)
def quick(session: nox.Session) -> None:
    """Run a few of them."""
    _test(session, *(session.posargs or QUICK))
