"""Requests as OpenTelemetry spans, sent to a collector by OTLP over HTTP.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or its TRACES form) names a collector. OpenTelemetry's other variables
count too, as its specification has them: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS.
Spans are sent from a thread of their own, at most 2,048 wait; a collector that is away costs spans, never a
request.
"""

import os
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import springboard

_NS_PER_MS = 1_000_000
# What of a request's line in the log is said of its span.
_TOLD = ("outcome", "code", "variant", "release", "bytes", "score", "inference_id")


class Traces:
    """Makes spans of requests that were answered; `close` sends what waits."""

    def __init__(self) -> None:
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME", "springboard"),
                "service.version": springboard.__version__,
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("springboard.front")
        self._propagator = TraceContextTextMapPropagator()

    def record(
        self,
        request: tuple[str, str, int],
        request_id: str,
        traceparent: str,
        spent: tuple[int, int],
        told: Mapping[str, object],
    ) -> None:
        """Make a span of a `request` (method, path, status), and one of each of its stages.

        `traceparent` is the caller's, or empty; `spent` is when it came and was answered, in ns since 1970.
        Stages are timed by their durations alone: they are laid end to end, the last one at the answer.
        """
        (method, path, status), (began, ended) = request, spent
        parent = self._propagator.extract({"traceparent": traceparent})
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.path": path,
            "http.response.status_code": status,
            "springboard.request_id": request_id,
            **{f"springboard.{name}": str(told[name]) for name in _TOLD if told.get(name)},
        }
        whole = self._tracer.start_span(
            method, parent, kind=SpanKind.SERVER, attributes=attributes, start_time=began
        )
        if status >= 500:
            whole.set_status(Status(StatusCode.ERROR))
        stages = told.get("stages_ms")
        if isinstance(stages, dict):
            at = max(began, ended - round(sum(stages.values()) * _NS_PER_MS))
            for name, milliseconds in stages.items():
                stage = self._tracer.start_span(name, set_span_in_context(whole), start_time=at)
                at += round(milliseconds * _NS_PER_MS)
                stage.end(at)
        whole.end(ended)

    def close(self) -> None:
        """Send what waits, and end."""
        self._provider.shutdown()
