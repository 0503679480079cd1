"""Requests that are signed, packed and wrapped: the signature is of the bytes as they came."""

import gzip
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from botocore.credentials import ReadOnlyCredentials

from springboard.auth.keys import AccessKey, Keys
from springboard.client.score import Signed
from tests.stands.scoring import Scoring, scoring

VIDEO = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 1200
KEY = AccessKey(
    name="app", access_key_id="SB" + "A" * 18, secret_access_key="s" * 40, created=datetime.now(UTC)
)
ROUTES = ["/invocations", "/endpoints/dive-scoring/invocations", "/predictions/dive", "/aqa/"]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scoring]:
    with scoring(Keys(access_keys=(KEY,))) as one:
        yield one


def signer(secret: str = KEY.secret_access_key) -> Signed:
    return Signed(ReadOnlyCredentials(KEY.access_key_id, secret, None), "us-east-1")


@pytest.mark.parametrize("route", ROUTES)
def test_a_packed_form_is_verified_as_it_came(guarded: Scoring, route: str) -> None:
    form = httpx.Request("POST", guarded.url, files={"video": VIDEO})
    headers = {"Content-Type": form.headers["Content-Type"], "Content-Encoding": "gzip"}
    packed = gzip.compress(form.read())
    response = guarded.post(route, packed, headers=headers, auth=signer())
    assert response.status_code == 200, response.text
    assert guarded.videos[-1] == VIDEO
    signed = httpx.Request("POST", guarded.url + route, content=packed, headers=headers)
    (signed,) = signer().auth_flow(signed)
    tampered = packed[:-1] + bytes([packed[-1] ^ 1])  # in gzip's own length
    refused = guarded.client.post(route, content=tampered, headers=dict(signed.headers))
    assert refused.status_code == 403


@pytest.mark.parametrize("offer", [{}, {"Connection": "Upgrade", "Upgrade": "h2c"}])
def test_an_offer_to_upgrade_does_not_touch_the_signature(guarded: Scoring, offer: dict[str, str]) -> None:
    response = guarded.post("/invocations", VIDEO, headers=offer, auth=signer())
    assert response.status_code == 200, response.text
    assert guarded.videos[-1] == VIDEO


@pytest.mark.parametrize(
    ("route", "headers"),
    [
        ("/endpoints/other/invocations", {}),
        ("/predictions/other", {}),
        ("/predictions/dive/9.9.9", {}),
        ("/invocations", {"X-Amzn-SageMaker-Target-Variant": "beta"}),
        ("/invocations", {"X-Amzn-SageMaker-Inference-Id": "x" * 65}),
        ("/invocations", {"Content-Encoding": "br"}),
    ],
)
def test_names_and_rules_are_told_only_to_who_may_call(
    guarded: Scoring, route: str, headers: dict[str, str]
) -> None:
    wrong = guarded.post(route, VIDEO, headers=headers, auth=signer("t" * 40))
    assert wrong.status_code == 403
    assert "not authorized" in wrong.text
    right = guarded.post(route, VIDEO, headers=headers, auth=signer())
    assert right.status_code in (400, 404, 415)


@pytest.mark.parametrize(
    "path", ["/endpoints/nobody/async-invocations", "/endpoints/x/y", "/endpoints/arn:a/b"]
)
def test_paths_that_there_are_not_name_no_endpoint(guarded: Scoring, path: str) -> None:
    for headers in ({}, {"Content-Type": "application/json"}):
        assert guarded.front.name not in guarded.post(path, VIDEO, headers=headers).text


def test_a_host_that_makes_no_address_is_not_authorized(guarded: Scoring) -> None:
    signed = httpx.Request("POST", guarded.url + "/invocations", content=VIDEO)
    (signed,) = signer().auth_flow(signed)
    response = guarded.post("/invocations", VIDEO, headers={**signed.headers, "host": "["})
    assert response.status_code == 403, response.text
