"""``/metrics`` of the real gateway, read as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.live.administered import AS_ADMIN, ENVIRON
from tests.live.raw import BEARER, Reply, ask, path_of, request_body
from tests.support.gateway import Gateway, configuration
from tests.support.upstream import StandIn

METRICS_TOKEN = "metrics-only-0123456789"
AS_SCRAPER = {"authorization": f"Bearer {METRICS_TOKEN}"}
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def gateway(upstream_server: StandIn) -> Iterator[Gateway]:
    config = configuration(upstream_server.url, ["plain"])
    config["channels"][0]["prices"] = {"openai_chat/text": {"input": 2, "output": 8}}
    # Who sells by a list of prices is not free because it is reached on this machine.
    seller = {"id": 9, "name": "seller", "type": "openrouter", "models": ["unpriced"]}
    seller["aliases"] = {"unpriced": "text"}
    main = {name: config["channels"][0][name] for name in ("base_url", "api_key", "max_retries")}
    config["channels"].append({**main, **seller})
    environ = {**ENVIRON, "DRAGOMAN_METRICS_TOKEN": METRICS_TOKEN}
    with Gateway(config, environ=environ) as running:
        yield running


class Page:
    """One scrape."""

    def __init__(self, gateway: Gateway) -> None:
        reply = ask(gateway, "GET", "/metrics", headers=AS_SCRAPER)
        assert reply.status == 200
        self.samples = [
            sample for family in parse_text(reply.body.decode()) for sample in family.samples
        ]

    def get(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(self.all(name, **labels))

    def all(self, name: str, **labels: str) -> list[float]:
        """Their values."""
        return [
            sample.value
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def labels(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {sample.labels[label] for sample in self.samples if sample.name == name}


def chat(gateway: Gateway, model: str, **fields: Any) -> Reply:
    return ask(
        gateway, "POST", path_of("openai_chat", model), request_body("openai_chat", model, **fields)
    )


def test_requests_are_counted_by_operation_and_outcome(gateway: Gateway) -> None:
    before = Page(gateway)
    assert chat(gateway, "openai_chat/text").status == 200
    assert chat(gateway, "openai_chat/error-400").status == 400
    embedding = {"model": "openai_chat/text", "input": "hi"}
    assert ask(gateway, "POST", "/v1/embeddings", embedding).status == 200
    after = Page(gateway)

    def grown(**labels: str) -> float:
        name = "dragoman_requests_total"
        return after.get(name, **labels) - before.get(name, **labels)

    assert grown(operation="generate") == 2
    assert grown(operation="embed") == 1
    assert grown(operation="generate", outcome="ok", status="200") == 1
    assert grown(outcome="error", status="400", model="openai_chat/error-400") == 1
    assert grown(channel="openai_chat", provider="custom", protocol="openai_chat") == 3


@pytest.mark.row("S4-48")
def test_latency_as_quantiles_and_as_histograms(gateway: Gateway) -> None:
    for _ in range(3):
        chat(gateway, "openai_chat/text")
    chat(gateway, "openai_chat/text", stream=True)
    page = Page(gateway)
    for name in ("dragoman_request_duration_seconds", "dragoman_time_to_first_token_seconds"):
        about = {"operation": "generate", "model": "openai_chat/text"}
        found = [page.all(name, quantile=q, **about) for q in ("0.5", "0.95", "0.99")]
        assert [len(one) for one in found] == [1, 1, 1]
        [p50], [p95], [p99] = found
        assert 0 < p50 <= p95 <= p99 < 5
    name = "gen_ai_server_request_duration_seconds"
    about = {"gen_ai_operation_name": "chat", "gen_ai_request_model": "openai_chat/text"}
    buckets = page.all(f"{name}_bucket", **about)
    assert buckets == sorted(buckets)
    assert buckets[-1] == page.get(f"{name}_count", **about) >= 4
    assert page.get("gen_ai_server_time_to_first_token_seconds_count", **about) >= 1
    assert page.get("gen_ai_client_operation_duration_seconds_count", **about) == 0, (
        "calls are counted under the upstream's name"
    )
    about["gen_ai_request_model"] = "text"
    assert page.get("gen_ai_client_operation_duration_seconds_count", **about) >= 4


@pytest.mark.row("S4-49")
def test_error_rates(gateway: Gateway) -> None:
    model = "anthropic_messages/error-503"
    chat(gateway, model)
    page = Page(gateway)
    assert page.all("dragoman_request_error_ratio", model=model) == [1.0]
    assert page.all(
        "dragoman_request_error_ratio", model="openai_chat/text", operation="generate"
    ) == [0]
    attempts = {"channel": "anthropic_messages", "error": "503"}
    assert page.get("dragoman_upstream_attempts_total", **attempts) >= 1
    assert page.get("dragoman_channel_error_ratio", channel="anthropic_messages") > 0


def test_tokens_and_cost(gateway: Gateway) -> None:
    before = Page(gateway)
    usage = chat(gateway, "openai_chat/text").json["usage"]
    after = Page(gateway)

    def grown(name: str, **labels: str) -> float:
        about = {"model": "openai_chat/text", "channel": "openai_chat", **labels}
        return after.get(name, **about) - before.get(name, **about)

    read = sum(
        grown("dragoman_tokens_total", bucket=one)
        for one in ("input", "cache_read", "cache_write_5m")
    )
    written = sum(grown("dragoman_tokens_total", bucket=one) for one in ("output", "reasoning"))
    assert (read, written) == (usage["prompt_tokens"], usage["completion_tokens"])


@pytest.mark.row("S4-51")
def test_billing(gateway: Gateway) -> None:
    """The figure is the one that the client was told."""
    before = Page(gateway)
    told = chat(gateway, "openai_chat/text").headers["dragoman-cost-nano-usd"]
    chat(gateway, "unpriced")
    after = Page(gateway)
    assert int(told) > 0
    about = {"model": "openai_chat/text", "channel": "openai_chat", "provider": "custom"}
    name = "dragoman_cost_nano_usd_total"
    assert after.get(name, **about) - before.get(name, **about) == int(told)
    name = "dragoman_cost_usd_total"
    grown = after.get(name, **about) - before.get(name, **about)
    assert grown == pytest.approx(int(told) / 1e9)
    name = "dragoman_requests_unpriced_total"
    about = {"model": "unpriced", "channel": "seller", "provider": "openrouter"}
    assert after.get(name, **about) - before.get(name, **about) == 1


@pytest.mark.row("S4-50")
def test_availability_of_channels_and_providers(upstream_server: StandIn) -> None:
    config = configuration(upstream_server.url)
    config["channels"] = config["channels"][:2]
    config["channels"][1]["type"] = "huggingface"
    config["channels"][1]["base_url"] = "http://127.0.0.1:9/v1"  # nobody is there
    config["tokens"] = config["tokens"][:1]
    with Gateway(config, environ={"DRAGOMAN_METRICS_TOKEN": METRICS_TOKEN}) as gateway:
        page = Page(gateway)
        assert page.all("dragoman_channel_up") == [1, 1]
        for _ in range(20):
            chat(gateway, "openai_responses/text")
        page = Page(gateway)
        assert page.all("dragoman_channel_up", channel="openai_chat") == [1]
        assert page.all("dragoman_channel_up", channel="openai_responses") == [0]
        assert page.all("dragoman_provider_up", provider="custom") == [1]
        assert page.all("dragoman_provider_up", provider="huggingface") == [0]
        closed = page.all("dragoman_channel_circuit", channel="openai_responses", state="closed")
        assert closed == [0]
        assert page.all("dragoman_channel_limit", channel="openai_chat") == [1000]
        assert page.all("dragoman_channel_in_flight") == [0, 0]
        assert page.all("dragoman_channel_waiting") == [0, 0]


def test_names_that_clients_make_up_are_no_series(gateway: Gateway) -> None:
    for number in range(20):
        assert chat(gateway, f"made-up-{number}").status == 404
    page = Page(gateway)
    names = page.labels("dragoman_requests_total", "model")
    assert not [name for name in names if name.startswith("made-up")]
    assert page.get("dragoman_requests_total", model="other", status="404") >= 20


def test_the_gateway_itself(gateway: Gateway) -> None:
    page = Page(gateway)
    assert page.get("dragoman_build_info") == 1
    assert page.get("dragoman_draining") == 0
    assert page.get("http_server_active_requests") == 0
    assert page.get("dragoman_models") > 5
    assert page.get("process_resident_memory_bytes") > 10_000_000
    assert page.all("dragoman_request_log_dropped_total") == [0]


def test_openmetrics_for_who_accepts_it(gateway: Gateway) -> None:
    chat(gateway, "openai_chat/text")
    accept = "application/openmetrics-text; version=1.0.0"
    reply = ask(gateway, "GET", "/metrics", headers={**AS_SCRAPER, "accept": accept})
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in parse_openmetrics(reply.body.decode())}
    assert {"dragoman_requests", "gen_ai_client_token_usage"} <= names


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer nonsense-0123456789"}, 401),
        (BEARER, 403),
        (AS_ADMIN, 200),
        (AS_SCRAPER, 200),
        ({"x-api-key": METRICS_TOKEN}, 200),
    ],
    ids=["nobody", "unknown", "client", "admin", "token", "token elsewhere"],
)
def test_who_may_read_it(gateway: Gateway, headers: dict[str, str], status: int) -> None:
    reply = ask(gateway, "GET", "/metrics", headers=headers)
    assert reply.status == status
    assert (b"dragoman_requests" in reply.body) == (status == 200)


def test_the_token_opens_nothing_else(gateway: Gateway) -> None:
    assert ask(gateway, "GET", "/admin/api/settings", headers=AS_SCRAPER).status == 401
    assert ask(gateway, "GET", "/v1/models", headers=AS_SCRAPER).status == 401


@pytest.mark.parametrize(("access", "status"), [("open", 200), ("off", 404)])
def test_the_setting_opens_and_closes_it(
    upstream_server: StandIn, access: str, status: int
) -> None:
    config = configuration(upstream_server.url)
    config["settings"]["metrics"] = access
    with Gateway(config) as gateway:
        headers = {} if access == "open" else BEARER
        assert ask(gateway, "GET", "/metrics", headers=headers).status == status


def test_what_was_not_let_in_is_counted_by_reason(upstream_server: StandIn) -> None:
    config = configuration(upstream_server.url)
    config["settings"]["limits"] = {"requests_per_day": 1}
    with Gateway(config, environ={"DRAGOMAN_METRICS_TOKEN": METRICS_TOKEN}) as gateway:
        assert [chat(gateway, "openai_chat/text").status for _ in range(3)] == [200, 429, 429]
        page = Page(gateway)
        assert page.all("dragoman_requests_refused_total", reason="requests") == [2]
        assert page.get("dragoman_requests_total", status="429", outcome="error") == 2
        assert page.all("dragoman_books_known") == [1]
        assert page.all("dragoman_books_away_seconds") == [0]
        assert page.all("dragoman_holds") == [0]


def test_a_head_request_is_answered(gateway: Gateway) -> None:
    reply = ask(gateway, "HEAD", "/metrics", headers=AS_SCRAPER)
    assert (reply.status, reply.body) == (200, b"")
