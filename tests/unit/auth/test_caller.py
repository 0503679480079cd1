import hashlib
from datetime import UTC, datetime

import pytest
from starlette.requests import Request

from springboard.auth.check import Auth, Mode
from springboard.auth.keys import AccessKey, Keys, Token

KEYS = Keys(
    access_keys=(
        AccessKey(
            name="app", access_key_id="SB" + "A" * 18, secret_access_key="s" * 40, created=datetime.now(UTC)
        ),
    ),
    tokens=(Token(name="web", sha256=hashlib.sha256(b"secret").hexdigest(), created=datetime.now(UTC)),),
)
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential=SB{'A' * 18}/20261128/us-east-1/sagemaker/aws4_request, "
    f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
)


def request(authorization: str = "", host: str = "192.0.2.7") -> Request:
    headers = [(b"authorization", authorization.encode())] if authorization else []
    return Request({"type": "http", "headers": headers, "client": (host, 1)})


@pytest.mark.parametrize(
    ("modes", "authorization", "host", "caller"),
    [
        ({Mode.BEARER}, "Bearer secret", "192.0.2.7", "key web"),
        ({Mode.SIGV4}, SIGNED, "192.0.2.7", "key app"),
        # Where nobody checks a credential, it must not buy a share.
        ({Mode.NONE}, "Bearer secret", "192.0.2.7", "192.0.2.7"),
        ({Mode.NONE}, "", "::ffff:192.0.2.7", "192.0.2.7"),
        ({Mode.NONE}, "", "2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ({Mode.NONE}, "", "testclient", "testclient"),
    ],
)
def test_a_caller_is_known_by_key_else_by_address(
    modes: set[Mode], authorization: str, host: str, caller: str
) -> None:
    assert Auth(frozenset(modes), KEYS).caller(request(authorization, host)) == caller
