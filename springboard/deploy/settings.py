"""A host's settings, /etc/springboard/host.yml: what Ansible writes of what is wanted."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from springboard.endpoint.document import Limits
from springboard.endpoint.names import Name, Release

Weight = Annotated[int, Field(ge=1, le=99)]


class HostFileError(Exception):
    """host.yml cannot be used; the message has one line a fault."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Worker(_Strict):
    """What a release runs on: a virtual environment with `runtime.json`, and how many processes at once.

    `workers` are per GPU, or in all on a host without one; 0 takes what the release's model-config says.
    """

    runtime: Path
    workers: Annotated[int, Field(ge=0, le=64)] = 1


class Canary(_Strict):
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


class ShadowRule(_Strict):
    """A release that gets copies of `sample_percent` of the scored videos; its answers reach nobody."""

    release: Release
    sample_percent: Annotated[float, Field(gt=0, le=100)] = 5.0


class Host(_Strict):
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
    """Read and check host.yml; raise `HostFileError` with field and reason."""
    try:
        return Host.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise HostFileError(f"{path}: {error.strerror}; run playbooks/configure.yml") from error
    except yaml.YAMLError as error:
        raise HostFileError(f"{path}: {error}") from error
    except ValidationError as error:
        faults = (f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise HostFileError("\n".join(faults)) from error
