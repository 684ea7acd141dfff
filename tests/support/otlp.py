"""A receiver of OpenTelemetry's protocol over HTTP, which keeps what it is sent.

::

    with OtlpReceiver() as receiver:
        ...  # OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url
        [span] = receiver.spans_named("chat gpt-4o")
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class Span:
    """One span; ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One histogram of one series."""

    metric: str
    count: int
    sum: float
    bounds: tuple[float, ...]
    attributes: dict[str, Any]


@dataclass
class Received:
    """All that came."""

    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)


class OtlpReceiver:
    """A context manager. ``delay`` are seconds before each answer."""

    def __init__(self, delay: float = 0.0) -> None:
        self.received = Received()
        self._delay = delay
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> OtlpReceiver:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def spans(self, trace_id: str, at_least: int) -> list[Span]:
        """The spans of one trace, once there are so many of them."""
        return self._until(
            lambda: [span for span in self.received.spans if span.trace_id == trace_id], at_least
        )

    def points(self, metric: str, at_least: int = 1) -> list[Point]:
        """The points of one metric, once there are so many."""
        return self._until(
            lambda: [point for point in self.received.points if point.metric == metric], at_least
        )

    def _until(self, found: Callable[[], list[Any]], at_least: int) -> list[Any]:
        until = time.monotonic() + 20
        while len(now := found()) < at_least:
            assert time.monotonic() < until, f"{len(now)} of {at_least} came"
            time.sleep(0.02)
        return now

    def _take(self, path: str, body: bytes) -> bytes:
        with self._lock:
            self.received.raw.append(body)
            match path:
                case "/v1/traces":
                    self._take_spans(ExportTraceServiceRequest.FromString(body))
                    return ExportTraceServiceResponse().SerializeToString()
                case "/v1/metrics":
                    self._take_points(ExportMetricsServiceRequest.FromString(body))
                    return ExportMetricsServiceResponse().SerializeToString()
        raise AssertionError(f"an unexpected path: {path}")

    def _take_spans(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.received.resources.append(_attributes(resource.resource.attributes))
            self.received.spans += [
                Span(
                    name=one.name,
                    kind=one.kind,
                    trace_id=one.trace_id.hex(),
                    span_id=one.span_id.hex(),
                    parent_id=one.parent_span_id.hex(),
                    start=one.start_time_unix_nano,
                    end=one.end_time_unix_nano,
                    status=one.status.code,
                    attributes=_attributes(one.attributes),
                )
                for scope in resource.scope_spans
                for one in scope.spans
            ]

    def _take_points(self, request: ExportMetricsServiceRequest) -> None:
        self.received.points += [
            Point(
                metric=metric.name,
                count=one.count,
                sum=one.sum,
                bounds=tuple(one.explicit_bounds),
                attributes=_attributes(one.attributes),
            )
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for one in metric.histogram.data_points
        ]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver._released.wait(receiver._delay)
                answer = receiver._take(self.path, body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing."""

        return Handler


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in _pairs(pairs)}


def _pairs(pairs: Any) -> list[KeyValue]:
    return list(pairs)


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return None if kind is None else getattr(value, kind)
