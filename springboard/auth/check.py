"""Who may call: bearer tokens, and SageMaker's own SigV4 signatures.

A failure is always the same `NotAuthorized`: it never says which part was wrong.
"""

import hashlib
import hmac
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv6Address, ip_network

from starlette.requests import Request

from springboard.auth import sigv4
from springboard.auth.errors import NotAuthorized
from springboard.auth.keys import AccessKey, Keys, Token
from springboard.system import addresses

# Checks a body; None where the headers have told everything.
Verify = Callable[[bytes], None] | None


# Who sends jobs, among callers.
WORKER = "worker"


class Mode(StrEnum):
    """How callers prove who they are."""

    NONE = "none"
    BEARER = "bearer"
    SIGV4 = "sigv4"


def address_of(request: Request) -> str:
    """Return the address a request came from; of IPv6 its /64, which is one line's to use (RFC 6177)."""
    host = request.client.host if request.client else ""
    address = addresses.read(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return host if address is None else str(address)


class MetricsRule(StrEnum):
    """Who may read /metrics: this machine, whoever may call too, or everybody."""

    LOOPBACK = "loopback"
    CALLERS = "callers"
    OPEN = "open"


class Auth:
    """Checks requests against the issued keys, in the modes the operator chose."""

    def __init__(self, modes: frozenset[Mode], keys: Keys) -> None:
        """`keys` may be replaced at any time."""
        self.modes = modes
        self.keys = keys
        self.worker_token = ""  # of this machine's own worker, if it has one

    def check(self, request: Request) -> None:
        """Check a request that has no body; raise `NotAuthorized`."""
        if verify := self.begin(request):
            verify(b"")

    def begin(self, request: Request) -> Verify:
        """Check what the headers tell, before any body is read; the rest once the body is here.

        Both this and the function it returns raise `NotAuthorized`.
        """
        if Mode.NONE in self.modes:
            return None
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if self._is_worker(scheme, credentials):
            return None
        if Mode.BEARER in self.modes and scheme.lower() == "bearer":
            self._check_token(credentials.strip())
            return None
        if Mode.SIGV4 in self.modes and scheme == sigv4.SCHEME:
            return sigv4.begin(request, self.keys.valid())
        raise NotAuthorized(reason="scheme" if credentials else "missing")

    def check_worker(self, request: Request) -> None:
        """Let this machine's own worker in, and nobody else, in any mode; raise `NotAuthorized`."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if not self._is_worker(scheme, credentials):
            raise NotAuthorized(reason="unknown_token")

    def caller(self, request: Request) -> str:
        """Return who sends a request that `begin` let in: their key's name, else their address.

        Of a signature it is the name claimed, until `begin`'s function has checked it.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if Mode.NONE in self.modes:
            return address_of(request)
        if self._is_worker(scheme, credentials):
            return WORKER
        key = self._key(request)
        return f"key {key.name}" if key else address_of(request)

    def is_admin(self, request: Request) -> bool:
        """Whether whoever sent a request that `begin` and its function let in may use the control plane."""
        if Mode.NONE in self.modes:
            return True
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if self._is_worker(scheme, credentials):
            return False
        key = self._key(request)
        return key is not None and key.role == "admin"

    def _key(self, request: Request) -> AccessKey | Token | None:
        """Return the key that a request claims to be of."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        known: dict[str, AccessKey | Token]
        if scheme.lower() == "bearer":
            given = hashlib.sha256(credentials.strip().encode(errors="replace")).hexdigest()
            known = {token.sha256: token for token in self.keys.tokens}
        else:
            given = sigv4.key_id(request)
            known = {key.access_key_id: key for key in self.keys.access_keys}
        return known.get(given)

    def _is_worker(self, scheme: str, credentials: str) -> bool:
        given = credentials.strip().encode(errors="replace")
        return (
            bool(self.worker_token)
            and scheme.lower() == "bearer"
            and hmac.compare_digest(given, self.worker_token.encode())
        )

    def _check_token(self, token: str) -> None:
        given = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        # Every token is compared, so that time tells nothing about which came close.
        matches = [hmac.compare_digest(given, known.sha256) for known in self.keys.valid().tokens]
        if not any(matches):
            raise NotAuthorized(reason="unknown_token")
