"""MTL-AQA's dive classes -> words and dive numbers.

The class codes were checked against the dive numbers of all 1,412 dives of MTL-AQA. Dive numbers follow
World Aquatics' competition regulations, part "Diving", "Designation of dives".
"""

from dataclasses import dataclass

POSITIONS = ("free", "pike", "tuck")
ROTATIONS = ("back", "forward", "inward", "reverse")

_POSITION_LETTERS = {"free": "D", "pike": "B", "tuck": "C"}
_GROUPS = {"forward": 1, "back": 2, "reverse": 3, "inward": 4}
_TWISTING, _ARMSTAND = 5, 6


@dataclass(frozen=True)
class Dive:
    """A dive by its classes; somersaults and twists are counted in halves, as in its number."""

    position: str
    armstand: bool
    rotation: str
    half_somersaults: int
    half_twists: int

    @property
    def number(self) -> str | None:
        """Return the dive number, such as 407C, or None where the classes make no dive.

        Plain dives are group, 0, half somersaults; twisting dives 5, group, half somersaults, half twists;
        armstand dives 6, group, half somersaults and, if any, half twists; then the position's letter.
        """
        group, somersaults, twists = _GROUPS[self.rotation], self.half_somersaults, self.half_twists
        letter = _POSITION_LETTERS[self.position]
        if somersaults > 9 or (self.armstand and self.rotation == "inward"):
            return None
        if self.armstand:
            return f"{_ARMSTAND}{group}{somersaults}{twists or ''}{letter}"
        if twists:
            return f"{_TWISTING}{group}{somersaults}{twists}{letter}"
        return f"{group}0{somersaults}{letter}"
