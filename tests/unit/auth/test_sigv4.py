"""Signatures made by hand from AWS's description, so that botocore does not vouch for itself."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from starlette.requests import Request

from springboard.auth import sigv4
from springboard.auth.errors import NotAuthorized
from springboard.auth.keys import AccessKey, Keys

ID, SECRET = "SB" + "A" * 18, "s" * 40
KEYS = Keys(
    access_keys=(
        AccessKey(name="app", access_key_id=ID, secret_access_key=SECRET, created=datetime.now(UTC)),
    )
)
PATH = "/endpoints/dive-scoring/invocations"


def hashed(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def keyed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(
    body: bytes = b"x",
    path: str = PATH,
    query: str = "",
    headers: dict[str, str] | None = None,
    at: datetime | None = None,
    *,
    covered: tuple[str, ...] = ("host", "x-amz-date"),
    content_hash: str = "",
    service: str = "sagemaker",
    secret: str = SECRET,
) -> dict[str, str]:
    """Return the headers of a signed POST; the steps are those of AWS's page on signing requests."""
    time = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    sent = {"host": "dives.example", "x-amz-date": time, **(headers or {})}
    covered = tuple(sorted({*covered, *(headers or {})}))
    canonical = "\n".join(
        [
            "POST",
            quote(path, safe="/-_.~"),
            query,
            *(f"{name}:{' '.join(sent[name].split())}" for name in covered if name in sent),
            "",
            ";".join(covered),
            content_hash or hashed(body),
        ]
    )
    scope = f"{time[:8]}/eu-west-1/{service}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed(canonical.encode())}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = keyed(key, part)
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={ID}/{scope}, SignedHeaders={';'.join(covered)}, "
        f"Signature={keyed(key, to_sign).hex()}"
    )
    return sent


def request(headers: dict[str, str], path: str = PATH, query: str = "", method: str = "POST") -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "path": path, "headers": raw}
    return Request({**scope, "query_string": query.encode()})


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 5000])
def test_a_right_signature_is_let_in(body: bytes) -> None:
    sigv4.begin(request(signed(body)), KEYS)(body)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/invocations", ""),
        (f"{PATH}/", ""),
        ("/endpoints/dive%20scoring/invocations", ""),
        (PATH, "a=1&b=2"),
        (PATH, "a=&b=%2F"),
    ],
)
def test_the_path_is_signed_as_it_was_sent(path: str, query: str) -> None:
    sigv4.begin(request(signed(path=path, query=query), path, query), KEYS)(b"x")
    with pytest.raises(NotAuthorized):
        sigv4.begin(request(signed(path=path, query=query), "/other", query), KEYS)(b"x")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "video/mp4"},
        {"x-amzn-sagemaker-custom-attributes": "a=1,   b=2"},
        {"content-encoding": "gzip"},
        {"x-amz-security-token": "token"},
    ],
)
def test_covered_headers_are_checked(headers: dict[str, str]) -> None:
    good = signed(headers=headers)
    sigv4.begin(request(good), KEYS)(b"x")
    (name,) = headers
    for changed in ({**good, name: "other"}, {key: good[key] for key in good if key != name}):
        with pytest.raises(NotAuthorized):
            sigv4.begin(request(changed), KEYS)(b"x")


def test_a_hash_sent_along_is_no_substitute_for_the_bodys() -> None:
    lie = {"x-amz-content-sha256": hashed(b"x")}
    good = signed(headers=lie)
    sigv4.begin(request(good), KEYS)(b"x")
    with pytest.raises(NotAuthorized):
        sigv4.begin(request(good), KEYS)(b"y")


@pytest.mark.parametrize("minutes", [-6, 6, -60 * 24])
def test_a_date_far_from_now_is_refused(minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    with pytest.raises(NotAuthorized):
        sigv4.begin(request(signed(at=at)), KEYS)


@pytest.mark.parametrize("minutes", [-4, 4])
def test_clocks_may_differ_a_little(minutes: int) -> None:
    sigv4.begin(request(signed(at=datetime.now(UTC) + timedelta(minutes=minutes))), KEYS)(b"x")


@pytest.mark.parametrize("content_hash", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
def test_who_leaves_the_body_unsigned_is_told_so(content_hash: str) -> None:
    headers = signed(headers={"x-amz-content-sha256": content_hash}, content_hash=content_hash)
    with pytest.raises(NotAuthorized, match=f"{content_hash}.*as bytes, not as a stream"):
        sigv4.begin(request(headers), KEYS)(b"x")


def test_a_refusal_names_the_host_that_arrived() -> None:
    with pytest.raises(NotAuthorized, match=r"127\.0\.0\.1:9"):
        sigv4.begin(request({**signed(), "host": "127.0.0.1:9"}), KEYS)(b"x")


def test_forgeries_are_refused_alike() -> None:
    good = signed()
    authorization = good["authorization"]
    forged = [
        signed(secret="t" * 40),
        signed(service="s3"),
        signed(covered=("host",)),
        signed(covered=("x-amz-date",)),
        {**good, "host": "evil.example"},
        {**good, "x-amz-date": "today"},
        {**good, "authorization": authorization[:-1]},
        {**good, "authorization": authorization[:-4] + "0000"},
        {**good, "authorization": authorization.replace(ID, "SB" + "B" * 18)},
        {**good, "authorization": authorization.replace("eu-west-1", "us-east-1")},
        {**good, "authorization": "AWS4-HMAC-SHA256 nonsense"},
    ]
    messages = set()
    for headers in forged:
        with pytest.raises(NotAuthorized) as caught:
            sigv4.begin(request(headers), KEYS)(b"x")
        messages.add(caught.value.message.replace(headers["host"], "HOST"))
    with pytest.raises(NotAuthorized):
        sigv4.begin(request(good, method="PUT"), KEYS)(b"x")
    assert len(messages) == 1


def test_an_unknown_key_is_refused_only_where_a_known_one_is_after_the_body() -> None:
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=SBUNKNOWNUNKNOWN0000/{datetime.now(UTC):%Y%m%d}/us-east-1/sagemaker/"
        f"aws4_request, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    )
    headers = {
        "host": "x",
        "x-amz-date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        "authorization": authorization,
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    verify = sigv4.begin(Request(scope), Keys())
    with pytest.raises(NotAuthorized):
        verify(b"body")
