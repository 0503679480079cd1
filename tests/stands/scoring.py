"""A front whose model is a function of this process: what arrives there, and what callers are answered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.routes import create_app
from springboard.front.scheduling.dispatch import Scored
from springboard.front.scheduling.lane import Ticket
from springboard.system.tls import authorities
from springboard.torchserve.client import Answer, Video
from tests.stands.served import served

LIMITS = {"max_body_bytes": 1_000_000, "queue_bytes": 4_000_000, "max_object_bytes": 1_000_000}
VARIANTS = (("stable", "1.0.0", 90), ("canary", "1.1.0", 10))


@dataclass
class Scoring:
    """What the model is given, in the order it came, with what the front held meanwhile."""

    front: Front
    client: httpx.Client
    url: str = ""
    port: int = 0
    videos: list[bytes] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)

    async def score(self, video: Video, ticket: Ticket) -> Scored:
        """Give 61.5 points for anything but `unreadable`, or `unreadable: ` and what is then answered."""
        assert ticket.since < ticket.target <= ticket.deadline
        self.videos.append(video.body)
        self.held.append(self.front.admission.bytes)
        self.tickets.append(ticket)
        self.includes.append(video.include)
        variant = ticket.pin or "stable"
        if video.body.startswith(b"unreadable"):
            message = video.body.partition(b"unreadable: ")[2].decode() or "This is no video."
            error = {"code": "unreadable_video", "message": message}
            return Scored(Answer(422, json.dumps({"error": error}).encode(), {}), variant, "1.0.0", 0.0)
        said = {"prediction": 61, "score": 61.5}
        return Scored(Answer(200, json.dumps(said).encode(), {"decode": 1.5}), variant, "1.0.0", 0.0)

    def post(self, path: str, body: Any = b"", **more: Any) -> httpx.Response:
        """Send a body."""
        return self.client.post(path, content=body, **more)


@contextmanager
def scoring(
    keys: Keys | None = None,
    hosts: tuple[str, ...] = ("*",),
    cors: tuple[str, ...] = (),
    jobs: dict[str, Any] | None = None,
    **limits: Any,
) -> Iterator[Scoring]:
    """Serve such a front; with `keys` it asks for them. `jobs` is its `async`."""
    variants = [
        {"name": name, "release": release, "weight": weight, "address": f"http://127.0.0.1:{port}"}
        for (name, release, weight), port in zip(VARIANTS, (1, 4), strict=True)
    ]
    endpoint = Endpoint.model_validate(
        {
            "variants": variants,
            "limits": {**LIMITS, **limits},
            "cors": {"origins": cors},
            "allowed_buckets": ["dives"],
            "async": jobs,
        }
    )
    modes = frozenset({Mode.BEARER, Mode.SIGV4} if keys else {Mode.NONE})
    front = Front(endpoint, Auth(modes, keys or Keys()), httpx.AsyncClient(verify=authorities()))
    with served(create_app(front, MetricsRule.OPEN, hosts=hosts)) as port:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, timeout=30, trust_env=False, verify=authorities()) as client:
            one = Scoring(front, client, url, port)
            front.dispatcher.score = one.score  # type: ignore[method-assign]
            yield one
