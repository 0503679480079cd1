"""Dive classes against the dive numbers of MTL-AQA's 1,412 dives."""

import csv
from pathlib import Path

import pytest

from model_handler.dives import POSITIONS, ROTATIONS, Dive


def test_every_class_tuple_of_mtl_aqa_gives_its_dive_number(shared: Path) -> None:
    with (shared / "reference" / "dive_numbers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 40
    for row in rows:
        dive = Dive(
            POSITIONS[int(row["position"])],
            row["armstand"] == "1",
            ROTATIONS[int(row["rotation_type"])],
            int(row["ss_no"]),
            int(row["tw_no"]),
        )
        assert dive.number == row["dive_number"]


@pytest.mark.parametrize(
    ("dive", "number"),
    [
        (Dive("tuck", False, "inward", 7, 0), "407C"),
        (Dive("free", False, "back", 5, 5), "5255D"),
        (Dive("pike", True, "back", 6, 0), "626B"),
        (Dive("free", True, "back", 4, 3), "6243D"),
        (Dive("tuck", True, "inward", 4, 0), None),
    ],
)
def test_dive_numbers(dive: Dive, number: str | None) -> None:
    assert dive.number == number
