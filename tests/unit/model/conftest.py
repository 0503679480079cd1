"""A pipeline as a worker has it, with small weights."""

from pathlib import Path

import pytest

from model_handler.pipeline import Pipeline, Settings


@pytest.fixture(scope="package")
def pipeline(small_weights: Path) -> Pipeline:
    return Pipeline(small_weights, Settings(precision="fp32", device="cpu"), "dive", "1.0.0")
