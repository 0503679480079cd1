"""What /openapi.json tells generators of clients beside the routes' shapes."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from springboard.auth.keys import Keys, Token
from tests.stands.scoring import Scoring, scoring


def document(model: Scoring) -> dict[str, Any]:
    found: dict[str, Any] = model.client.get("/openapi.json").json()
    return found


def declared(answer: Any, path: str, method: str = "post") -> dict[str, Any]:
    found: dict[str, Any] = answer[path][method]["responses"]
    return {status: response["headers"] for status, response in found.items()}


def test_answers_declare_their_headers(model: Scoring) -> None:
    paths = document(model)["paths"]
    for path, methods in paths.items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert response["headers"]["x-amzn-RequestId"]["required"], path
                assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))
    assert {"Server-Timing", "X-Amzn-SageMaker-New-Session-Id"} <= declared(paths, "/invocations")[
        "422"
    ].keys()
    assert "Server-Timing" not in declared(paths, "/ping", "get")["200"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/invocations", b"x", "200"),
        ("/invocations", b"unreadable", "422"),
        ("/invocations", b"x" * 1_000_001, "413"),
        ("/endpoints/dive-scoring/invocations", b"x", "200"),
        ("/endpoints/dive-scoring/invocations", b"unreadable", "424"),
        ("/endpoints/other/invocations", b"x", "400"),
        ("/endpoints/dive-scoring/invocations-response-stream", b"x", "200"),
    ],
)
def test_answers_have_the_headers_that_are_declared_and_no_other(
    model: Scoring, path: str, body: bytes, status: str
) -> None:
    route = path.replace("dive-scoring", "{name}").replace("other", "{name}")
    told = declared(document(model)["paths"], route)[status]
    answer = model.post(path, body, headers={"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"})
    assert str(answer.status_code) == status
    assert {name.lower() for name, header in told.items() if header["required"]} <= answer.headers.keys()
    ours = {
        name for name in answer.headers if name.startswith("x-am") or name in ("server-timing", "retry-after")
    }
    assert ours - {"x-amzn-sagemaker-content-type"} <= {name.lower() for name in told}


def test_functions_of_generated_clients_have_short_names(model: Scoring) -> None:
    paths = document(model)["paths"]
    ids = [operation["operationId"] for methods in paths.values() for operation in methods.values()]
    assert len(ids) == len(set(ids))
    assert {"invocations", "put_invocations", "invoke_endpoint", "ping", "describe_endpoint"} <= set(ids)


@pytest.mark.parametrize("value", ["-", "NEW_SESSIONS!", "a b", "x NEW_SESSION"])
def test_rules_of_headers_are_of_the_whole_value(model: Scoring, value: str) -> None:
    told = document(model)["paths"]["/invocations"]["post"]["parameters"]
    (rule,) = (one["schema"]["pattern"] for one in told if one["name"].endswith("Session-Id"))
    assert re.search(rule, "NEW_SESSION")
    assert not re.search(rule, value)
    refused = model.post("/invocations", b"x", headers={"X-Amzn-SageMaker-Session-Id": value})
    assert refused.status_code == 400


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
