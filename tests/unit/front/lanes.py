"""Variants and backends that no server is behind."""

from springboard.endpoint.document import Served, Variant
from springboard.torchserve.client import Backend


def variant(name: str, port: int, weight: int = 1) -> Variant:
    return Variant(name=name, release="1.0.0", address=f"http://127.0.0.1:{port}", weight=weight)


class NoBackend(Backend):
    """A backend nobody calls."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.answers = 0
