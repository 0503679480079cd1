"""clients.md: other people's clients, from the table by which tests/clients runs them."""

import yaml

from docs.reference.markdown import code, table
from springboard.system.checkout import ROOT

_HEAD = """# Clients

Other people's clients that score here unchanged. Each does the same in the tests: a good video, one that is
no dive, one that is too large, the good one again, and all of it with a wrong key.

"""
_FOOT = """
Without a version it is the one of the tests' machine: Node.js 24, Go 1.19 and Java 17 were tried. The
clients of AWS sign with a key of [Keys](../access.md), the others send a bearer token. The generators
write from `/openapi.json`; openapi-python-client leaves one answer out, the event stream, and says so.
"""


def page() -> str:
    """Return the page of clients."""
    clients = yaml.safe_load((ROOT / "tests/clients/clients.yml").read_text(encoding="utf-8"))
    rows = []
    for client in clients:
        pins = [*client.get("pip", []), *client.get("npm", [])]
        rows.append((client["name"], ", ".join(map(code, pins)), code(client["line"])))
    return _HEAD + table(("client", "version tried", "a line"), rows) + _FOOT
