"""Who may call: bearer tokens, and SageMaker's own SigV4 signatures.

A failure is always the same `NotAuthorized`: it never says which part was wrong.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv6Address, ip_address, ip_network

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.requests import Request

from springboard.auth.keys import Keys
from springboard.refusal import Refusal

SERVICE = "sagemaker"
# AWS's own bound for most services.
MAX_SKEW = timedelta(minutes=5)
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/\s,]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/"
    rf"{SERVICE}/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
# Without these in the signature it could be replayed elsewhere or later.
_MUST_SIGN = {"host", "x-amz-date"}

# Checks a body; None where the headers have told everything.
Verify = Callable[[bytes], None] | None


class NotAuthorized(Refusal):
    """No or wrong credentials. The message never says which part was wrong."""

    status = 403
    code = "not_authorized"
    sagemaker = (403, "AccessDeniedException")

    def __init__(self) -> None:
        super().__init__(
            "The request is not authorized: its credentials, signature or date were not accepted."
        )


class Mode(StrEnum):
    """How callers prove who they are."""

    NONE = "none"
    BEARER = "bearer"
    SIGV4 = "sigv4"


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own; of names only localhost is."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def address_of(request: Request) -> str:
    """Return the address a request came from; of IPv6 its /64, which is one line's to use (RFC 6177)."""
    host = request.client.host if request.client else ""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return host


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
        if Mode.BEARER in self.modes and scheme.lower() == "bearer":
            self._check_token(credentials.strip())
            return None
        if Mode.SIGV4 in self.modes and scheme == "AWS4-HMAC-SHA256":
            return self._begin_signature(request)
        raise NotAuthorized

    def caller(self, request: Request) -> str:
        """Return who sends a request that `begin` let in: their key's name, else their address.

        Of a signature it is the name claimed, until `begin`'s function has checked it.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if Mode.NONE in self.modes:
            return address_of(request)
        if scheme.lower() == "bearer":
            given = hashlib.sha256(credentials.strip().encode(errors="replace")).hexdigest()
            names = {token.sha256: token.name for token in self.keys.tokens}
        else:
            parts = _SIGNATURE.fullmatch(request.headers.get("Authorization", ""))
            given = parts["key"] if parts else ""
            names = {key.access_key_id: key.name for key in self.keys.access_keys}
        return f"key {names[given]}" if given in names else address_of(request)

    def _check_token(self, token: str) -> None:
        given = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        # Every token is compared, so that time tells nothing about which came close.
        matches = [hmac.compare_digest(given, known.sha256) for known in self.keys.tokens]
        if not any(matches):
            raise NotAuthorized

    def _begin_signature(self, request: Request) -> Verify:
        parts = _SIGNATURE.fullmatch(request.headers["Authorization"])
        if parts is None:
            raise NotAuthorized
        signed = parts["headers"].split(";")
        timestamp = request.headers.get("X-Amz-Date", "")
        try:
            sent = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        except ValueError:
            raise NotAuthorized from None
        known = {key.access_key_id: key.secret_access_key for key in self.keys.access_keys}
        if (
            parts["key"] not in known
            or not _MUST_SIGN.issubset(signed)
            or not timestamp.startswith(parts["date"])
            or abs(datetime.now(UTC) - sent) > MAX_SKEW
        ):
            raise NotAuthorized
        signer = SigV4Auth(Credentials(parts["key"], known[parts["key"]]), SERVICE, parts["region"])

        def verify(body: bytes) -> None:
            expected = _sign(signer, request, signed, timestamp, body)
            if not hmac.compare_digest(expected, parts["signature"]):
                raise NotAuthorized

        return verify


def _sign(signer: SigV4Auth, request: Request, signed: list[str], timestamp: str, body: bytes) -> str:
    """Return the signature botocore would put on this request."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    # The scheme is plain on purpose: with it botocore always hashes the body itself.
    copy = AWSRequest(
        method=request.method, url=f"http://{request.headers.get('Host', '')}{path}?{query}", data=body
    )
    for name in signed:
        # botocore would take a hash sent along for the body's; ours is of the bytes that came.
        if name == "x-amz-content-sha256":
            copy.headers[name] = hashlib.sha256(body).hexdigest()
        else:
            for value in request.headers.getlist(name):
                copy.headers.add_header(name, value)
    copy.context["timestamp"] = timestamp
    return str(signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy))
