from collections.abc import Iterator

import pytest

from tests.stands.scoring import Scoring, scoring


@pytest.fixture(scope="session")
def model() -> Iterator[Scoring]:
    """An open front before a model that notes what it is given."""
    with scoring() as one:
        yield one
