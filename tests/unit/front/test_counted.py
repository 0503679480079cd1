"""Whose request it was, what became of it, and what of that the log and the metrics tell."""

import asyncio
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from model_handler.request.source import S3Object
from model_handler.request.storage import _refusal
from springboard.auth.keys import AccessKey, Keys
from springboard.client.score import Signed
from springboard.front.exchange import outcome_of
from springboard.front.metrics.lag import Lag
from springboard.front.metrics.record import _MOST_CALLERS
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until
from tests.unit.front.test_metrics import metrics

KEY = AccessKey(
    name="app", access_key_id="SB" + "A" * 18, secret_access_key="s" * 40, created=datetime.now(UTC)
)
VIDEO = b"a video"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scoring]:
    with scoring(Keys(access_keys=(KEY,)), max_body_bytes=1000) as one:
        yield one


def signer(key_id: str = KEY.access_key_id, secret: str = KEY.secret_access_key) -> Signed:
    return Signed(ReadOnlyCredentials(key_id, secret, None), "us-east-1")


def count(one: Scoring, name: str, **labels: str) -> float:
    pattern = "".join(rf"(?=.*\b{key}=\"{re.escape(value)}\")" for key, value in labels.items())
    lines = re.findall(rf"^{name}{{{pattern}.*}} (\S+)$", one.client.get("/metrics").text, re.MULTILINE)
    return sum(map(float, lines))


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    """Have each test's lines kept to its end: a request's own comes after its answer."""
    caplog.set_level(logging.INFO)


def access(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [one for one in caplog.records if one.name == "springboard.access"]


def line_of(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    wait_until(lambda: bool(access(caplog)), "the request's line")
    (record,) = access(caplog)
    return vars(record)


def test_a_key_is_counted_by_its_name(guarded: Scoring, caplog: pytest.LogCaptureFixture) -> None:
    before = count(guarded, "springboard_caller_requests_total", caller="app", outcome="scored")
    with caplog.at_level(logging.INFO):
        guarded.post("/invocations", VIDEO, auth=signer())
    assert count(guarded, "springboard_caller_requests_total", caller="app", outcome="scored") == before + 1
    assert line_of(caplog)["caller"] == "app"


def test_a_name_that_was_only_claimed_counts_for_nobody(guarded: Scoring) -> None:
    before = count(guarded, "springboard_caller_requests_total", caller="app")
    guarded.post("/invocations", VIDEO, auth=signer(secret="t" * 40))
    guarded.post("/invocations", b"x" * 2000, auth=signer(secret="t" * 40))  # refused by its length
    assert count(guarded, "springboard_caller_requests_total", caller="app") == before
    assert count(guarded, "springboard_caller_requests_total", caller="none", outcome="refused") >= 2


@pytest.mark.parametrize(
    ("reason", "key_id"),
    [
        ("missing", ""),
        ("scheme", ""),
        ("unknown_token", ""),
        ("malformed", ""),
        ("unknown_key", "SB" + "B" * 18),
        ("signature", KEY.access_key_id),
        ("clock", KEY.access_key_id),
    ],
)
def test_the_log_tells_what_was_wrong_with_credentials_and_whose_they_are(
    guarded: Scoring,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    reason: str,
    key_id: str,
) -> None:
    request = httpx.Request("POST", f"{guarded.url}/invocations", content=VIDEO)
    if reason in ("unknown_key", "signature", "clock"):
        (request,) = signer(key_id, "t" * 40).auth_flow(request)
    else:
        given = {"scheme": "Basic eDp5", "unknown_token": "Bearer x", "malformed": "AWS4-HMAC-SHA256 x"}
        request.headers.update({"Authorization": given[reason]} if reason in given else {})
    if reason == "clock":
        request.headers["X-Amz-Date"] = "20200101T000000Z"
    before = count(guarded, "springboard_not_authorized_total", reason=reason)
    with caplog.at_level(logging.INFO):
        answer = guarded.client.send(request)
    assert answer.status_code == 403
    assert "unknown" not in answer.text
    line = line_of(caplog)
    assert (line["reason"], line["key_id"], line["address"]) == (reason, key_id, "127.0.0.1")
    assert count(guarded, "springboard_not_authorized_total", reason=reason) == before + 1


@pytest.mark.parametrize("more", [";x-amz-date", ";x-not-sent", ";x-not-sent" * 3000])
def test_headers_that_are_signed_are_sent_and_named_once(
    guarded: Scoring, caplog: pytest.LogCaptureFixture, more: str
) -> None:
    (request,) = signer().auth_flow(httpx.Request("POST", f"{guarded.url}/invocations", content=VIDEO))
    signed = request.headers["Authorization"].replace(", Signature", f"{more}, Signature")
    request.headers["Authorization"] = signed
    assert guarded.client.send(request).status_code == 403
    assert line_of(caplog)["reason"] == "malformed"


@pytest.mark.parametrize("path", ["/endpoints/dive-scoring", "/endpoints/dive-scoring/requests/x"])
def test_who_may_not_read_is_counted_and_named_as_who_may_not_score(
    guarded: Scoring, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    before = count(guarded, "springboard_not_authorized_total", reason="unknown_key")
    answer = guarded.client.get(path, auth=signer("SB" + "B" * 18, "t" * 40))
    assert answer.status_code == 403
    line = line_of(caplog)
    assert (line["code"], line["reason"]) == ("not_authorized", "unknown_key")
    assert (line["key_id"], line["address"]) == ("SB" + "B" * 18, "127.0.0.1")
    assert count(guarded, "springboard_not_authorized_total", reason="unknown_key") == before + 1


@pytest.mark.parametrize(("body", "code"), [(VIDEO, "scored"), (b"unreadable", "unreadable_video")])
def test_answers_are_counted_by_their_code(model: Scoring, body: bytes, code: str) -> None:
    before = count(model, "springboard_answers_total", code=code)
    model.post("/invocations", body)
    assert count(model, "springboard_answers_total", code=code) == before + 1


def denied(code: str, status: int) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "S3-1"}}
    cause = ClientError(response, "GetObject")  # type: ignore[arg-type]
    error = _refusal(S3Object("dives", "a.mp4"), cause)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("code", "status", "answered"), [("AccessDenied", 403, 403), ("KMS.DisabledException", 400, 403)]
)
def test_a_right_that_our_own_role_lacks_is_no_callers_fault(
    model: Scoring,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    status: int,
    answered: int,
) -> None:
    async def fetch(*_: object) -> bytes:
        raise denied(code, status)

    monkeypatch.setattr(model.front.downloads, "fetch", fetch)
    before = count(model, "springboard_requests_total", outcome="failed", status="403")
    with caplog.at_level(logging.WARNING):
        answer = model.client.post("/invocations", json={"s3_uri": "s3://dives/a.mp4"})
    assert answer.status_code == answered
    assert count(model, "springboard_requests_total", outcome="failed", status="403") == before + 1
    (warning,) = [one.getMessage() for one in caplog.records if one.name == "springboard.exchange"]
    assert code in warning
    assert "S3-1" in warning


def test_outcomes_go_by_whose_fault_it_was() -> None:
    assert outcome_of(403, "access_denied") == "failed"
    assert outcome_of(403, "bucket_not_allowed") == outcome_of(403, "not_authorized") == "refused"
    assert outcome_of(404, "object_not_found") == "refused"


def test_names_of_callers_are_bounded() -> None:
    one = metrics()
    for number in range(_MOST_CALLERS + 50):
        one.record_caller(f"key{number}", "scored")
    one.record_caller("key3", "scored")
    lines = [line for line in one.page("")[0].decode().splitlines() if line.startswith("springboard_caller_")]
    assert len(lines) == _MOST_CALLERS + 1
    assert 'springboard_caller_requests_total{caller="others",outcome="scored"} 50.0' in lines


def test_what_the_process_is_and_has_is_told() -> None:
    page = metrics().page("")[0].decode()
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"):
        assert re.search(rf"^{name} [1-9]", page, re.MULTILINE), name
    built = r'^springboard_build_info{build="[^"]+",python="3\.[^"]+",version="[^"]+"} 1'
    assert re.search(built, page, re.MULTILINE)
    assert 'springboard_refused_total{code="overloaded"} 0.0' in page, "its first step is to be seen"


def test_openmetrics_names_a_request_beside_its_bucket(model: Scoring) -> None:
    answer = model.post("/invocations", VIDEO)
    accept = "application/openmetrics-text; version=1.0.0"
    page = model.client.get("/metrics", headers={"Accept": accept})
    assert page.headers["Content-Type"].startswith(accept)
    parsed = text_string_to_metric_families(page.text)  # type: ignore[no-untyped-call] # it has no hints
    (family,) = [one for one in parsed if one.name == "springboard_request_duration_seconds"]
    exemplars = {sample.exemplar.labels["request_id"] for sample in family.samples if sample.exemplar}
    assert answer.headers["x-amzn-requestid"] in exemplars
    assert "openmetrics" not in model.client.get("/metrics").headers["Content-Type"]


def test_a_blocked_loop_shows_while_it_is_blocked_and_after() -> None:
    now = 100.0
    lag = Lag()

    async def stall() -> float:
        nonlocal now
        watching = asyncio.create_task(lag.watch(lambda: now))
        await asyncio.sleep(0)
        now += 3.25  # nothing has run meanwhile: the loop's own clock says a quarter of a second
        during = lag.worst(now)
        while max(lag._late) == 0:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        watching.cancel()
        return during

    assert asyncio.run(stall()) == pytest.approx(3)
    assert lag.worst(now) == pytest.approx(3)


def test_of_a_long_path_the_log_has_its_beginning(model: Scoring, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        model.client.get("/" + "a" * 20_000)
    line = line_of(caplog)["message"]
    assert line == f"GET /{'a' * 511} 404"


@pytest.mark.parametrize(
    ("parent", "trace"),
    [
        (f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32),
        (f"00-{'0' * 32}-{'b' * 16}-01", None),
        ("x" * 55, None),
        (f"00-{'a' * 32}-{'b' * 16}-01, 00-x", None),
    ],
)
def test_the_log_has_the_callers_trace_where_it_is_one(
    model: Scoring, caplog: pytest.LogCaptureFixture, parent: str, trace: str | None
) -> None:
    with caplog.at_level(logging.INFO):
        model.client.post("/invocations", content=VIDEO, headers={"traceparent": parent})
    assert line_of(caplog).get("trace_id") == trace
