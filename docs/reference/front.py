"""A front that serves nobody, for the pages that ask it what it has: routes and metrics."""

import httpx

from springboard.auth.check import Auth, Mode
from springboard.auth.keys import Keys
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front

# Nothing listens on port 1, so its TorchServe is not there.
_ENDPOINT = {
    "variants": [
        {
            "name": "stable",
            "release": "1.0.0",
            "address": "http://127.0.0.1:1",
            "reference": {"mean": 60, "sd": 15, "clips": 100},
        }
    ]
}


def idle() -> Front:
    """Return a front with one variant whose workers are away."""
    auth = Auth(frozenset({Mode.NONE}), Keys())
    return Front(Endpoint.model_validate(_ENDPOINT), auth, httpx.AsyncClient())
