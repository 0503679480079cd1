"""TorchServe's own metrics, of every release at work, as one page.

Only the front may ask them, at sockets that change with each deployment, so Prometheus asks the front.
"""

import asyncio
from collections.abc import Iterable, Sequence

from springboard.front.scheduling.lane import Lane
from springboard.torchserve.client import Unreachable

_UP = "springboard_torchserve_up"
_ABOUT_UP = f"# HELP {_UP} 1 where TorchServe told its metrics.\n# TYPE {_UP} gauge\n"


async def collect(lanes: Sequence[Lane]) -> str:
    """Return what the lanes' TorchServes tell, each sample labelled with `variant` and `release`."""
    return merge(zip([(lane.name, lane.served.release) for lane in lanes], await _pages(lanes), strict=True))


async def _pages(lanes: Sequence[Lane]) -> list[str]:
    async def page(lane: Lane) -> str:
        try:
            return f"{_ABOUT_UP}{_UP} 1\n{await lane.backend.metrics()}"
        except Unreachable:
            return f"{_ABOUT_UP}{_UP} 0\n"

    return list(await asyncio.gather(*map(page, lanes)))


def merge(pages: Iterable[tuple[tuple[str, str], str]]) -> str:
    """Join pages of Prometheus' text format, given as ((variant, release), text), into one.

    The format wants all samples of a metric together, so they are grouped by its TYPE line.
    """
    about: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for (variant, release), text in pages:
        labels = f'variant="{variant}",release="{release}"'
        name = ""
        described = set(about)
        for line in text.splitlines():
            if line.startswith("#"):
                kind, _, described_as = line[1:].strip().partition(" ")
                if kind not in ("HELP", "TYPE") or not described_as:
                    continue  # a comment, which the format allows anywhere
                name = described_as.split()[0]
                if name not in described:
                    about.setdefault(name, []).append(line)
            elif line:
                samples.setdefault(name, []).append(_labelled(line, labels))
    return "".join(f"{line}\n" for name in about for line in (*about[name], *samples.get(name, ())))


def _labelled(sample: str, labels: str) -> str:
    """Put labels into a sample: `name{a="b",} 1.0` or `name 1.0`."""
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f"{name}{{{labels},{rest}"
    name, _, value = sample.partition(" ")
    return f"{name}{{{labels}}} {value}"
