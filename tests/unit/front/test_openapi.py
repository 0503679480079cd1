"""What /openapi.json tells generators of clients beside the routes' shapes."""

from datetime import UTC, datetime
from typing import Any

from springboard.auth.keys import Keys, Token
from tests.stands.scoring import Scoring, scoring


def document(model: Scoring) -> dict[str, Any]:
    found: dict[str, Any] = model.client.get("/openapi.json").json()
    return found


def test_answers_declare_their_headers_and_have_them(model: Scoring) -> None:
    for path, methods in document(model)["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert "x-amzn-RequestId" in response["headers"], path
                assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))
    assert model.client.get("/ping").headers["x-amzn-requestid"]


def test_a_body_has_types_that_generators_know(model: Scoring) -> None:
    types = document(model)["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert set(types) == {"application/octet-stream", "multipart/form-data", "application/json"}


def test_who_may_call_is_declared_where_keys_are_asked_for(model: Scoring) -> None:
    assert "securitySchemes" not in document(model).get("components", {})
    token = Token(name="web", sha256="0" * 64, created=datetime.now(UTC))
    with scoring(Keys(tokens=(token,))) as guarded:
        told = document(guarded)
    assert set(told["components"]["securitySchemes"]) == {"bearer", "sigv4"}
    assert told["paths"]["/invocations"]["post"]["security"] == [{"bearer": []}, {"sigv4": []}]
    assert "security" not in told["paths"]["/ping"]["get"]


def test_head_is_not_told_twice(model: Scoring) -> None:
    assert set(document(model)["paths"]["/ping"]) == {"get"}
