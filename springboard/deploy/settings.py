"""A host's settings, /etc/springboard/host.yml: what Ansible writes of what is wanted."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from springboard.endpoint.document import Limits
from springboard.endpoint.names import Name, Release
from springboard.system import documents
from springboard.system.documents import Strict

Weight = Annotated[int, Field(ge=1, le=99)]


class HostFileError(Exception):
    """host.yml cannot be used; the message has one line a fault."""


class Worker(Strict):
    """What a release runs on: a virtual environment with `runtime.json`, and how many processes at once.

    `workers` are per GPU, or in all on a host without one; 0 takes what the release's model-config says.
    """

    runtime: Path
    workers: Annotated[int, Field(ge=0, le=64)] = 1


class Canary(Strict):
    """How a new release is tried before it takes all traffic, and what stops it.

    It gets `weight` percent for `bake_seconds`, then each of `steps` for `step_seconds`; weight 0: no trial.
    `max_error_ratio`: failed attempts by attempts, above the old release's. `max_unscored_ratio`: answers
    without a score, above the old release's. `max_p95_ratio`: its p95 of an attempt, by the old release's.
    `max_score_shift`: how far its mean score may be off, in the standard deviations of the manifest's
    reference scores. After fewer than `min_attempts` it is held for up to `hold_bakes` times `bake_seconds`
    in all, and then rolled back unless `accept_little_traffic`.
    """

    weight: Annotated[int, Field(ge=0, le=99)] = 10
    bake_seconds: Annotated[float, Field(gt=0)] = 300.0
    steps: tuple[Weight, ...] = (50,)
    step_seconds: Annotated[float, Field(gt=0)] = 60.0
    min_attempts: Annotated[int, Field(ge=1)] = 50
    hold_bakes: Annotated[float, Field(ge=1)] = 3.0
    accept_little_traffic: bool = False
    max_error_ratio: Annotated[float, Field(ge=0, le=1)] = 0.02
    max_unscored_ratio: Annotated[float, Field(ge=0, le=1)] = 0.2
    max_p95_ratio: Annotated[float, Field(gt=1)] = 1.5
    max_score_shift: Annotated[float, Field(gt=0)] = 0.5


class ShadowRule(Strict):
    """A release that gets copies of `sample_percent` of the scored videos; its answers reach nobody."""

    release: Release
    sample_percent: Annotated[float, Field(gt=0, le=100)] = 5.0


class Host(Strict):
    """The whole of host.yml. `models` is the registry, s3://BUCKET."""

    endpoint: Name = "dive-scoring"
    allowed_buckets: tuple[str, ...] = ()
    limits: Limits = Limits()
    models: str
    worker: Worker
    canary: Canary = Canary()
    shadow: ShadowRule | None = None
    keep_warm_seconds: Annotated[float, Field(ge=0)] = 900.0
    keep_releases: Annotated[int, Field(ge=2)] = 3
    ready_timeout_seconds: Annotated[float, Field(gt=0)] = 300.0
    front_url: str = "http://127.0.0.1:8080"


def load(path: Path) -> Host:
    """Read and check host.yml; raise `HostFileError` with lines and reasons."""
    try:
        return documents.load(path, Host, HostFileError)
    except HostFileError as error:
        if path.exists():
            raise
        raise HostFileError(f"{error}; run playbooks/configure.yml") from error
