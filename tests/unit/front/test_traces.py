"""Spans of requests, as a collector gets them by OTLP over HTTP."""

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from springboard.front.traces import Traces
from tests.stands.scoring import scoring

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECOND = 1_000_000_000


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """What was sent to the collector that the environment names."""
    sent: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            sent.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield sent
        server.shutdown()
        thread.join()


def spans(collected: list[ExportTraceServiceRequest]) -> dict[str, Span]:
    found = [
        span
        for request in collected
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    return {span.name: span for span in found}


def test_a_request_and_its_stages_are_spans_of_the_callers_trace(
    collected: list[ExportTraceServiceRequest],
) -> None:
    told = {"stages_ms": {"queue": 250.0, "decode": 500.0}, "variant": "stable", "outcome": "scored"}
    traces = Traces()
    request = ("POST", "/invocations", 200)
    traces.record(request, "an-id", f"00-{TRACE}-{PARENT}-01", (10 * SECOND, 11 * SECOND), told)
    traces.close()
    found = spans(collected)
    assert set(found) == {"POST", "queue", "decode"}
    whole = found["POST"]
    assert {span.trace_id.hex() for span in found.values()} == {TRACE}
    assert whole.parent_span_id.hex() == PARENT
    assert (whole.start_time_unix_nano, whole.end_time_unix_nano) == (10 * SECOND, 11 * SECOND)
    said = {one.key: one.value.string_value or one.value.int_value for one in whole.attributes}
    assert said["springboard.request_id"] == "an-id"
    assert (said["springboard.variant"], said["http.response.status_code"]) == ("stable", 200)
    for name, began, ended in (("queue", 10.25, 10.5), ("decode", 10.5, 11.0)):
        stage = found[name]
        assert stage.parent_span_id == whole.span_id
        assert (stage.start_time_unix_nano, stage.end_time_unix_nano) == (began * SECOND, ended * SECOND)


def test_a_failure_of_ours_is_an_error_of_a_trace_of_its_own(
    collected: list[ExportTraceServiceRequest],
) -> None:
    traces = Traces()
    traces.record(("POST", "/invocations", 503), "an-id", "", (0, 1), {"code": "not_ready"})
    traces.close()
    (whole,) = spans(collected).values()
    assert whole.status.code == Status.STATUS_CODE_ERROR
    assert whole.parent_span_id == b""


def test_a_request_over_http_is_a_span_of_its_caller(collected: list[ExportTraceServiceRequest]) -> None:
    with scoring() as front:
        front.front.traces = Traces()
        answer = front.post("/invocations", b"video", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        assert answer.status_code == 200
        assert front.client.get("/ping").status_code == 503
        front.front.traces.close()
    found = spans(collected)
    assert {"POST", "queue", "decode"} == set(found), "and none of /ping"
    said = {one.key: one.value.string_value for one in found["POST"].attributes}
    assert said["springboard.request_id"] == answer.headers["x-amzn-RequestId"]
    assert found["POST"].trace_id.hex() == TRACE
    assert found["decode"].end_time_unix_nano - found["decode"].start_time_unix_nano == 1_500_000


def test_without_a_collector_named_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    code = "import sys; from springboard.front import server; assert server._traces() is None; "
    code += "assert not any(name.startswith('opentelemetry.sdk') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
