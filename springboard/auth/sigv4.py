"""AWS Signature Version 4 from the server's side: what a request's signature must be, by botocore itself.

The rules are AWS's: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.requests import Request

from springboard.auth.errors import NotAuthorized
from springboard.auth.keys import Keys

SCHEME = "AWS4-HMAC-SHA256"
SERVICE = "sagemaker"
# AWS's own bound for most services.
MAX_SKEW = timedelta(minutes=5)
_SIGNATURE = re.compile(
    rf"{SCHEME} Credential=(?P<key>[^/\s,]+)/(?P<date>\d{{8}})/(?P<region>[a-z0-9-]+)/"
    rf"{SERVICE}/aws4_request, ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
# As keys.py issues them at most; what strangers send is longer.
_LONGEST_KEY_ID = 32
# Without these in the signature it could be replayed elsewhere or later.
_MUST_SIGN = {"host", "x-amz-date"}
_NOBODYS = secrets.token_urlsafe(30)


@dataclass(frozen=True)
class _Claim:
    """What the Authorization header says."""

    key_id: str
    region: str
    signed: list[str]
    timestamp: str
    signature: str


def begin(request: Request, keys: Keys) -> Callable[[bytes], None]:
    """Check all but the body; return what checks the body's bytes as they came, before any decoding.

    Both raise `NotAuthorized`.
    """
    claim = _read(request)
    known = {key.access_key_id: key.secret_access_key for key in keys.access_keys}
    # An unknown key goes the same way, so that neither time nor `100 Continue` tells which are known.
    secret = known.get(claim.key_id, _NOBODYS)
    signer = SigV4Auth(Credentials(claim.key_id, secret), SERVICE, claim.region)

    def verify(body: bytes) -> None:
        try:
            signature = _signature(signer, request, claim, body)
        except ValueError:  # a Host that makes no address, as `[`
            raise _refusal(request, "malformed") from None
        right = hmac.compare_digest(signature, claim.signature)
        if claim.key_id not in known:
            raise _refusal(request, "unknown_key")
        if not right:
            raise _refusal(request, "signature")

    return verify


def _refusal(request: Request, reason: str) -> NotAuthorized:
    return NotAuthorized(_hint(request), reason, key_id(request)[:_LONGEST_KEY_ID])


def _hint(request: Request) -> str:
    """Return what most often breaks right keys, as the request's headers tell it."""
    content_hash = request.headers.get("X-Amz-Content-SHA256", "")
    if content_hash.startswith(("UNSIGNED-", "STREAMING-")):
        return (
            f" Its body is not signed (x-amz-content-sha256: {content_hash[:64]}): give your client the "
            "body as bytes, not as a stream."
        )
    host = request.headers.get("Host", "")[:100]
    return f" The signature must be for the Host that arrived here, {host}: a proxy must leave it as it is."


def key_id(request: Request) -> str:
    """Return the access key id that a request claims; empty where there is none."""
    parts = _SIGNATURE.fullmatch(request.headers.get("Authorization", ""))
    return parts["key"] if parts else ""


def _read(request: Request) -> _Claim:
    parts = _SIGNATURE.fullmatch(request.headers["Authorization"])
    timestamp = request.headers.get("X-Amz-Date", "")
    try:
        sent = datetime.strptime(timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise _refusal(request, "malformed") from None
    if parts is None:
        raise _refusal(request, "malformed")
    if abs(datetime.now(UTC) - sent) > MAX_SKEW:
        raise _refusal(request, "clock")
    claim = _Claim(parts["key"], parts["region"], parts["headers"].split(";"), timestamp, parts["signature"])
    # Each that is named is looked for among all: one named twice or not sent is nothing that a client signs.
    signed = set(claim.signed)
    once = len(signed) == len(claim.signed) and signed.issubset(request.headers.keys())
    if not once or not _MUST_SIGN.issubset(signed) or not timestamp.startswith(parts["date"]):
        raise _refusal(request, "malformed")
    return claim


def _signature(signer: SigV4Auth, request: Request, claim: _Claim, body: bytes) -> str:
    """Return the signature botocore would put on this request."""
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    # The scheme is plain on purpose: with it botocore always hashes the body itself.
    copy = AWSRequest(
        method=request.method, url=f"http://{request.headers.get('Host', '')}{path}?{query}", data=body
    )
    for name in claim.signed:
        # botocore would take a hash sent along for the body's; ours is of the bytes that came.
        if name == "x-amz-content-sha256":
            copy.headers[name] = hashlib.sha256(body).hexdigest()
        else:
            for value in request.headers.getlist(name):
                copy.headers.add_header(name, value)
    copy.context["timestamp"] = claim.timestamp
    return str(signer.signature(signer.string_to_sign(copy, signer.canonical_request(copy)), copy))
