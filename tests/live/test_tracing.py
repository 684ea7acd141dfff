"""OpenTelemetry of the real gateway, received by a real OTLP server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.raw import BEARER, Reply, ask, path_of, request_body
from tests.support.gateway import TOKEN, Gateway, configuration, free_port
from tests.support.otlp import OtlpReceiver, Span
from tests.support.upstream import KEY, StandIn

SERVER, CLIENT = 2, 3  # SpanKind
ERROR = 2  # StatusCode
CANARY = "canary-0815: what nobody is to read"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300"}


def environ(endpoint: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **FAST}


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream_server: StandIn, receiver: OtlpReceiver) -> Iterator[Gateway]:
    config = configuration(upstream_server.url)
    first, second = config["channels"][:2]
    # Two channels for one model: the first fails, the second answers.
    first["models"].append("twice")
    first["aliases"]["twice"] = "error-503"
    second["models"].append("twice")
    second["aliases"]["twice"] = "text"
    second["priority"] = 2
    with Gateway(config, environ=environ(receiver.url)) as running:
        yield running


def chat(
    gateway: Gateway, model: str, headers: dict[str, str] | None = None, **fields: Any
) -> Reply:
    body = request_body("openai_chat", model, **fields)
    body["messages"][0]["content"] = CANARY
    path = path_of("openai_chat", model)
    return ask(gateway, "POST", path, body, {**BEARER, **(headers or {})})


def trace_of(reply: Reply) -> str:
    """The trace of a request that brought none: its own id."""
    return reply.headers["inference-id"].replace("-", "")


def by_kind(spans: list[Span], kind: int) -> list[Span]:
    return sorted((span for span in spans if span.kind == kind), key=lambda span: span.start)


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_server_span_with_a_client_span(
    gateway: Gateway, receiver: OtlpReceiver, upstream: StandIn, stream: bool
) -> None:
    began = time.time_ns()
    reply = chat(gateway, "openai_chat/text", stream=stream)
    spans = receiver.spans(trace_of(reply), 2)
    [server], [client] = by_kind(spans, SERVER), by_kind(spans, CLIENT)
    assert (server.name, client.name) == ("chat openai_chat/text", "chat text")
    assert (server.parent_id, client.parent_id) == ("", server.span_id)
    assert (
        server.attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "openai_chat/text",
            "gen_ai.provider.name": "custom",
            "gen_ai.request.stream": stream,
            "gen_ai.response.finish_reasons": ["stop"],
            "http.response.status_code": 200,
            "dragoman.request.id": reply.headers["x-request-id"],
            "dragoman.channel": "openai_chat",
            "dragoman.outcome": "ok",
        }.items()
    )
    host, port = upstream.url.removeprefix("http://").split(":")
    assert client.attributes["server.address"] == host
    assert client.attributes["server.port"] == int(port)
    for span in (server, client):
        assert span.attributes["gen_ai.usage.input_tokens"] > 0
        assert span.attributes["gen_ai.usage.output_tokens"] > 0
        assert span.attributes["gen_ai.response.model"]
        assert span.status != ERROR
    assert server.start <= client.start <= client.end <= server.end + 1_000_000
    slack = 50_000_000  # two clocks: the span's duration is monotonic
    assert began - slack <= server.start <= server.end <= time.time_ns() + slack


def test_a_fallback_is_two_client_spans(gateway: Gateway, receiver: OtlpReceiver) -> None:
    reply = chat(gateway, "twice")
    assert reply.status == 200
    spans = receiver.spans(trace_of(reply), 3)
    failed, answered = by_kind(spans, CLIENT)
    assert (failed.status, failed.attributes["error.type"]) == (ERROR, "503")
    assert "error.type" not in answered.attributes
    assert "gen_ai.usage.input_tokens" not in failed.attributes
    channels = [span.attributes["dragoman.channel"] for span in (failed, answered)]
    assert channels == ["openai_chat", "openai_responses"]


def test_what_the_client_did_wrong_is_no_server_error(
    gateway: Gateway, receiver: OtlpReceiver
) -> None:
    reply = chat(gateway, "made-up")
    [server] = receiver.spans(trace_of(reply), 1)
    assert server.attributes["error.type"] == "404"
    assert server.status != ERROR


def test_the_clients_trace_goes_on(gateway: Gateway, receiver: OtlpReceiver) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    chat(gateway, "openai_chat/text", {"traceparent": f"00-{trace}-{parent}-01"})
    [server] = by_kind(receiver.spans(trace, 2), SERVER)
    assert server.parent_id == parent


def test_a_trace_that_the_client_does_not_record_is_not_sent(
    gateway: Gateway, receiver: OtlpReceiver
) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    chat(gateway, "openai_chat/text", {"traceparent": f"00-{trace}-b7ad6b7169203331-00"})
    later = chat(gateway, "openai_chat/text")
    receiver.spans(trace_of(later), 2)
    assert trace not in {span.trace_id for span in receiver.received.spans}


def test_a_traceparent_that_is_none_is_left_aside(gateway: Gateway, receiver: OtlpReceiver) -> None:
    reply = chat(gateway, "openai_chat/text", {"traceparent": "00-nonsense-0-0"})
    assert len(receiver.spans(trace_of(reply), 2)) == 2


def test_metrics_by_the_conventions(gateway: Gateway, receiver: OtlpReceiver) -> None:
    chat(gateway, "openai_chat/text", stream=True)
    for name in (
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
    ):
        point = receiver.points(name)[-1]
        assert point.count > 0
        assert point.attributes["gen_ai.operation.name"] == "chat"
    assert receiver.points("gen_ai.client.operation.duration")[-1].bounds[:3] == (0.01, 0.02, 0.04)
    kinds = {
        point.attributes["gen_ai.token.type"]
        for point in receiver.points("gen_ai.client.token.usage")
    }
    assert kinds == {"input", "output"}


def test_who_sends_is_said(gateway: Gateway, receiver: OtlpReceiver) -> None:
    receiver.spans(trace_of(chat(gateway, "openai_chat/text")), 2)
    assert receiver.received.resources[-1]["service.name"] == "dragoman"


def test_neither_prompts_nor_keys_are_sent(gateway: Gateway, receiver: OtlpReceiver) -> None:
    for model in ("openai_chat/text", "openai_chat/error-401", "made-up"):
        receiver.spans(trace_of(chat(gateway, model)), 1)
    everything = b"".join(receiver.received.raw)
    for secret in (CANARY, TOKEN, KEY):
        assert secret.encode() not in everything


@pytest.mark.parametrize("collector", ["away", "slow"])
def test_a_collector_that_is_away_or_slow_costs_no_request(
    upstream_server: StandIn, collector: str
) -> None:
    with OtlpReceiver(delay=30.0) as slow:
        url = slow.url if collector == "slow" else f"http://127.0.0.1:{free_port()}"
        config = configuration(upstream_server.url)
        with Gateway(config, environ=environ(url)) as gateway:
            replies = [chat(gateway, "openai_chat/text") for _ in range(30)]
            assert [reply.status for reply in replies] == [200] * 30
            assert gateway.stop() == 0, "it ends in time all the same"


def test_without_an_endpoint_there_is_nothing(gateway: Gateway, upstream_server: StandIn) -> None:
    with Gateway(configuration(upstream_server.url)) as plain:
        assert chat(plain, "openai_chat/text").status == 200
        assert "opentelemetry" not in plain.logs().lower()
