"""Lines over the number of clients, or over time, as SVG for the documentation."""

import math
from collections.abc import Mapping, Sequence

WIDE, HIGH, LEFT, TOP, KEY = 460, 260, 60, 30, 170
_COLOURS = ("#063", "#c33", "#36c", "#c60", "#939", "#087", "#777", "#a80", "#000")


def lines(
    title: str,
    marks: Sequence[object],
    series: Mapping[str, Sequence[float | None]],
    across: str = "clients at once",
) -> str:
    """Return a picture of one value for each of `marks` in each series; gaps are left out.

    `across` names what the marks are; those that are empty are not written.
    """
    found = max((value for values in series.values() for value in values if value is not None), default=1)
    most = 4 * _step(found or 1)

    def place(number: int, value: float) -> str:
        x = LEFT + WIDE * number / max(len(marks) - 1, 1)
        return f"{x:.0f},{TOP + HIGH * (1 - value / most):.0f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + KEY} {TOP + HIGH + 45}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{title}">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="18">{title}</text>',
    ]
    for number, mark in enumerate(marks):
        x = place(number, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{TOP + HIGH + 18}" text-anchor="middle">{mark}</text>')
    parts.append(f'<text x="{LEFT + WIDE // 2}" y="{TOP + HIGH + 38}" text-anchor="middle">{across}</text>')
    for part in (0, 0.25, 0.5, 0.75, 1):
        y = TOP + HIGH * (1 - part)
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{most * part:.3g}</text>')
        parts.append(f'<path d="M{LEFT} {y:.0f}h{WIDE}" stroke="#ddd"/>')
    for number, (name, values) in enumerate(series.items()):
        colour, width = _COLOURS[number % len(_COLOURS)], 3 if number == 0 else 1.5
        points = " ".join(place(at, value) for at, value in enumerate(values) if value is not None)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts.append(
            f'<text x="{LEFT + WIDE + 12}" y="{TOP + 14 + 18 * number}" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _step(most: float) -> float:
    """Return a round number, four of which reach `most`."""
    power: float = 10 ** math.floor(math.log10(most / 4))
    return next(part * power for part in (1, 2, 2.5, 5, 10) if 4 * part * power >= most)
