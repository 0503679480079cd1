"""Pages of other origins: what a browser asks, and what it must read to let a page have the answer."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from springboard.auth.keys import Keys, Token
from springboard.endpoint.document import Cors
from tests.stands.scoring import Scoring, scoring

PAGE = {"Origin": "https://pages.example"}
ASK = {
    **PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-amzn-sagemaker-target-variant",
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scoring]:
    token = Token(name="web", sha256="0" * 64, created=datetime.now(UTC))
    with scoring(Keys(tokens=(token,))) as one:
        one.front.endpoint = one.front.endpoint.model_copy(update={"cors": Cors(origins=(PAGE["Origin"],))})
        yield one


@pytest.mark.parametrize("path", ["/invocations", "/endpoints/dive-scoring/invocations", "/ping"])
def test_a_browsers_question_is_answered_before_authentication(guarded: Scoring, path: str) -> None:
    answer = guarded.client.options(path, headers=ASK)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE["Origin"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]


def test_a_page_can_read_errors_and_what_the_headers_tell(guarded: Scoring) -> None:
    refused = guarded.post("/invocations", b"x", headers=PAGE)
    assert refused.status_code == 403
    assert refused.headers["access-control-allow-origin"] == PAGE["Origin"]
    assert "x-amzn-RequestId" in refused.headers["access-control-expose-headers"]
    assert refused.headers["vary"] == "Origin"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}])
def test_other_origins_get_nothing(guarded: Scoring, headers: dict[str, str]) -> None:
    for answer in (guarded.client.options("/invocations", headers=ASK | headers or headers),):
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == (None if headers else PAGE["Origin"])
    assert "access-control-allow-origin" not in guarded.client.get("/ping", headers=headers).headers


def test_it_is_off_by_default(model: Scoring) -> None:
    answer = model.client.options("/invocations", headers=ASK)
    assert (answer.status_code, answer.headers["allow"]) == (204, "POST, PUT")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "access-control-allow-origin" not in model.post("/invocations", b"x", headers=PAGE).headers


@pytest.mark.parametrize("path", ["/", "/ping", "/invocations"])
def test_balancers_that_ask_by_options_are_answered(model: Scoring, path: str) -> None:
    assert model.client.options(path).status_code == 204
    assert model.client.options("/nothing").status_code == 404


@pytest.mark.parametrize("origin", ["pages.example", "https://pages.example/", "https://a b", "null", ""])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        Cors(origins=(origin,))
