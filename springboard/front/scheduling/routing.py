"""Which variant a request goes to."""

import hashlib
import math
from collections.abc import Collection, Mapping


class Router:
    """Shares requests out by weight over the variants that live.

    Smooth weighted round-robin (nginx's rule): each choice adds every living variant's weight to its credit,
    takes the one with the most and charges it the sum. Over any sum-of-weights choices the shares are exact,
    and never bunched. A session instead goes where weighted rendezvous hashing puts it: the same variant each
    time without any memory, and when a variant dies only its own sessions move.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        """`weights` are by variant name; a variant of weight 0 is never chosen."""
        self._weights = {name: weight for name, weight in weights.items() if weight > 0}
        self._credit = dict.fromkeys(self._weights, 0)

    def choose(self, living: Collection[str], session: str | None = None) -> str | None:
        """Return the variant for the next request, or None when none of the living has traffic."""
        candidates = [name for name in self._weights if name in living]
        if not candidates:
            return None
        if session is not None:
            return max(candidates, key=lambda name: self._affinity(session, name))
        for name in candidates:
            self._credit[name] += self._weights[name]
        chosen = max(candidates, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(self._weights[name] for name in candidates)
        return chosen

    def _affinity(self, session: str, name: str) -> float:
        digest = hashlib.sha256(f"{name}\0{session}".encode()).digest()
        uniform = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
        return -self._weights[name] / math.log(uniform)
