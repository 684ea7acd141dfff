"""OpenTelemetry's SDK fed with finished requests. Imports the extra ``otel``; used in one thread.

Names are those of the GenAI conventions (semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md and
gen-ai-metrics.md, read 2026-11-21). No attribute holds a prompt, an answer or a key: error messages,
which may quote an upstream, stay in the request log.
"""

from __future__ import annotations

import os

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from dragoman import __version__
from dragoman.canonical.usage import Usage
from dragoman.engine.semantics import operation_name, provider_name
from dragoman.engine.telemetry import FIRST_TOKEN_SECONDS, SECONDS, TOKEN_SECONDS, TOKENS
from dragoman.engine.tracing import Parent, PlaceOf, Told, Wanted, span_id_of, trace_id_of
from dragoman.governance.record import RequestRecord, TriedCandidate

Attributes = dict[str, str | int | float | bool | tuple[str, ...]]


class Sender:
    """Makes spans and measurements of requests; the SDK's threads send them."""

    def __init__(self, wanted: Wanted, endpoint_of: PlaceOf) -> None:
        """Reads the OTEL_* variables. Raises what the SDK does if they make no sense."""
        self._endpoint_of = endpoint_of
        resource = _resource()
        self._tracing = _Spans(resource) if wanted.traces else None
        self._metrics = _Metrics(resource) if wanted.metrics else None

    def send(self, told: Told) -> None:
        """Take over one request."""
        places = {one.channel_id: self._endpoint_of(one.channel_id) for one in told.record.tried}
        calls = [
            (one, _call_attributes(told.record, one, places[one.channel_id]))
            for one in told.record.tried
        ]
        last = places[told.record.tried[-1].channel_id] if told.record.tried else None
        provider = last.provider if last is not None else ""
        about = _request_attributes(told.record, provider)
        if self._tracing is not None:
            self._tracing.add(told, about, calls)
        if self._metrics is not None:
            self._metrics.add(told.record, about, calls)

    def close(self) -> None:
        """Send what is left and end."""
        if self._tracing is not None:
            self._tracing.close()
        if self._metrics is not None:
            self._metrics.close()


Calls = list[tuple[TriedCandidate, Attributes]]


class _Ids(IdGenerator):
    """Gives the ids that were set last, which follow from the request's."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Spans:
    def __init__(self, resource: Resource) -> None:
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("dragoman", __version__)

    def add(self, told: Told, about: Attributes, calls: Calls) -> None:
        """A server span for the request, a client span below it for every call to an upstream."""
        record, parent = told
        began = round(record.started_at * 1e9)
        self._ids.trace_id = trace_id_of(record.id, parent)
        self._ids.span_id = span_id_of(record.id, 0)
        server = self._tracer.start_span(
            _name(about),
            context=_context(parent),
            kind=SpanKind.SERVER,
            attributes=about,
            start_time=began,
        )
        inside = trace.set_span_in_context(server)
        for number, (one, attributes) in enumerate(calls, start=1):
            self._ids.span_id = span_id_of(record.id, number)
            client = self._tracer.start_span(
                _name(attributes),
                context=inside,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                start_time=began + round(one.began_ms * 1e6),
            )
            _judge(client, attributes)
            client.end(began + round(one.ended_ms * 1e6))
        _judge(server, about)
        server.end(began + round(record.duration_ms * 1e6))

    def close(self) -> None:
        self._provider.shutdown()


class _Metrics:
    def __init__(self, resource: Resource) -> None:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._provider = MeterProvider(
            metric_readers=[reader], resource=resource, shutdown_on_exit=False
        )
        meter = self._provider.get_meter("dragoman", __version__)
        self._server = meter.create_histogram(
            "gen_ai.server.request.duration",
            unit="s",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._first_token = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            unit="s",
            explicit_bucket_boundaries_advisory=FIRST_TOKEN_SECONDS,
        )
        self._per_token = meter.create_histogram(
            "gen_ai.server.time_per_output_token",
            unit="s",
            explicit_bucket_boundaries_advisory=TOKEN_SECONDS,
        )
        self._client = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            explicit_bucket_boundaries_advisory=[float(bound) for bound in TOKENS],
        )

    def add(self, record: RequestRecord, about: Attributes, calls: Calls) -> None:
        """Measure the request and its calls."""
        labels = _labels(about, record.channel is not None)
        self._server.record(record.duration_ms / 1000, labels)
        for one, attributes in calls:
            seconds = max(one.ended_ms - one.began_ms, 0.0) / 1000
            self._client.record(seconds, _labels(attributes, known=True))
        usage, first = record.usage, record.first_content_ms
        if usage is not None and not usage.estimated:
            self._tokens.record(usage.total_input, {**labels, "gen_ai.token.type": "input"})
            if usage.total_output:
                self._tokens.record(usage.total_output, {**labels, "gen_ai.token.type": "output"})
        if record.stream and first is not None and record.outcome == "ok":
            self._first_token.record(first / 1000, labels)
            if usage is not None and usage.total_output > 1:
                rest = (record.duration_ms - first) / 1000
                self._per_token.record(rest / (usage.total_output - 1), labels)

    def close(self) -> None:
        self._provider.shutdown()


_LABELS = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "server.address",
    "server.port",
    "error.type",
)


def _labels(attributes: Attributes, known: bool) -> Attributes:
    """What of a span's attributes tells a measurement's series apart. A model that no channel was asked
    for is a name that a client made up, and would be a series for ever."""
    labels = {name: attributes[name] for name in _LABELS if name in attributes}
    if not known:
        labels["gen_ai.request.model"] = "other"
    return labels


def _request_attributes(record: RequestRecord, provider: str) -> Attributes:
    attributes: Attributes = {
        "gen_ai.operation.name": operation_name(record.operation, record.protocol),
        "gen_ai.request.model": record.model,
        "gen_ai.request.stream": record.stream,
        "http.response.status_code": record.status,
        "dragoman.request.id": record.id,
        "dragoman.protocol": record.protocol,
        "dragoman.outcome": record.outcome,
    }
    if provider:
        attributes["gen_ai.provider.name"] = provider_name(provider)
    if record.channel is not None:
        attributes["dragoman.channel"] = record.channel
    if record.key_name:
        attributes["dragoman.key.name"] = record.key_name
    if record.queued_ms:
        attributes["dragoman.queued_ms"] = record.queued_ms
    if record.first_content_ms is not None and record.stream:
        attributes["gen_ai.response.time_to_first_chunk"] = record.first_content_ms / 1000
    if record.outcome != "ok":
        attributes["error.type"] = (
            str(record.status) if record.outcome == "error" else record.outcome
        )
    if record.code is not None:
        attributes["dragoman.error.code"] = record.code
    if record.cost_nano_usd is not None:
        attributes["dragoman.cost.nano_usd"] = record.cost_nano_usd
    _add_answer(attributes, record)
    return attributes


def _add_answer(attributes: Attributes, record: RequestRecord) -> None:
    if record.response_model:
        attributes["gen_ai.response.model"] = record.response_model
    if record.finish:
        attributes["gen_ai.response.finish_reasons"] = (record.finish,)
    if record.usage is not None:
        attributes.update(_usage_attributes(record.usage))


def _usage_attributes(usage: Usage) -> Attributes:
    """Totals always, the rest where there is any."""
    attributes: Attributes = {
        "gen_ai.usage.input_tokens": usage.total_input,
        "gen_ai.usage.output_tokens": usage.total_output,
    }
    for name, tokens in (
        ("cache_read.input_tokens", usage.cache_read),
        ("cache_creation.input_tokens", usage.cache_write_5m + usage.cache_write_1h),
        ("audio.input_tokens", usage.input_audio),
        ("image.input_tokens", usage.input_image),
        ("reasoning.output_tokens", usage.reasoning),
        ("audio.output_tokens", usage.output_audio),
    ):
        if tokens:
            attributes[f"gen_ai.usage.{name}"] = tokens
    if usage.estimated:
        attributes["dragoman.usage.estimated"] = True
    return attributes


def _call_attributes(
    record: RequestRecord, one: TriedCandidate, place: tuple[str, str, int | None]
) -> Attributes:
    provider, host, port = place
    attributes: Attributes = {
        "gen_ai.operation.name": operation_name(record.operation, one.protocol),
        "gen_ai.provider.name": provider_name(provider) or "unknown",
        "gen_ai.request.model": one.model,
        "dragoman.channel": one.channel,
        "dragoman.protocol": one.protocol,
        "dragoman.verdict": one.verdict,
    }
    if host:
        attributes["server.address"] = host
    if host and port:
        attributes["server.port"] = port
    if one.status is not None:
        attributes["http.response.status_code"] = one.status
    if one.error is not None or (one.status or 0) >= 400:
        failed = one.status is not None and one.status >= 400
        attributes["error.type"] = str(one.status) if failed else one.code or "_OTHER"
    elif one is record.tried[-1]:
        _add_answer(attributes, record)
    return attributes


def _name(attributes: Attributes) -> str:
    return f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}".strip()


def _judge(span: trace.Span, attributes: Attributes) -> None:
    """The span's status. What the client did wrong is no error of a server's span."""
    error = attributes.get("error.type")
    status = attributes.get("http.response.status_code")
    client_error = isinstance(status, int) and 400 <= status < 500
    server_side = "dragoman.outcome" in attributes
    if error is not None and not (server_side and client_error):
        span.set_status(Status(StatusCode.ERROR))


def _context(parent: Parent | None) -> Context:
    """Where a request's span belongs; an empty context begins a trace."""
    if parent is None:
        return Context()
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    remote = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())


def _resource() -> Resource:
    """Who sends; the variables win over our name."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    own: dict[str, str] = {"service.version": __version__}
    if not named:
        own["service.name"] = "dragoman"
    return Resource.create(own)
