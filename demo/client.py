"""Ask a running server about labelled clips, to measure what a client really gets."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx

from demo.figures import Answer
from demo.labels import Label
from model_handler.dives import POSITIONS, ROTATIONS


def ask(client: httpx.Client, url: str, video: bytes) -> Answer:
    """Post a video to `url` and return the answer.

    A refusal by the gate is an answer too. Raises `httpx.HTTPStatusError` for any other status than 200.
    """
    response = client.post(url, content=video)
    body = response.json()
    if response.status_code == 422 and body["error"]["code"] == "not_a_dive":
        return Answer(score=None, codes={}, diving=False)
    response.raise_for_status()
    dive = body["dive"]
    codes = {
        "position": POSITIONS.index(dive["position"]["label"]),
        "armstand": int(dive["armstand"]),
        "rot_type": ROTATIONS.index(dive["rotation"]["label"]),
        "ss_no": round(2 * dive["somersaults"]),
        "tw_no": round(2 * dive["twists"]),
    }
    return Answer(body["score"], codes, diving=True)


def ask_about(client: httpx.Client, url: str, labels: Iterable[Label]) -> Iterator[tuple[Label, Answer]]:
    """Post each label's clip to `url`, one after the other, and return it with its answer."""
    for label in labels:
        yield label, ask(client, url, Path(label.path).read_bytes())
