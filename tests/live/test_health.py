"""What ``/health`` tells of the real gateway."""

from __future__ import annotations

import pytest

from tests.live.raw import ask, path_of, request_body
from tests.support.gateway import Gateway, configuration
from tests.support.upstream import StandIn


@pytest.mark.row("S4-46")
def test_health_tells_of_models_and_providers(upstream_server: StandIn) -> None:
    config = configuration(upstream_server.url)
    good, bad = config["channels"] = config["channels"][:2]
    config["tokens"] = config["tokens"][:1]
    bad |= {"type": "huggingface", "base_url": "http://127.0.0.1:9/v1"}  # nobody is there
    with Gateway(config) as gateway:
        body = ask(gateway, "GET", "/health", headers={}).json
        assert body["status"] == "ok"
        assert 0 <= body["uptime"] < 60
        assert body["models_cached"] == len({*good["models"], *bad["models"]})
        assert body["provider_status"] == {"custom": "ok", "huggingface": "ok"}
        for _ in range(20):
            model = "openai_responses/text"
            ask(gateway, "POST", path_of("openai_chat", model), request_body("openai_chat", model))
        later = ask(gateway, "GET", "/health", headers={}).json
        assert later["status"] == "ok", "it never depends on an upstream"
        assert later["provider_status"] == {"custom": "ok", "huggingface": "failing"}
        assert later["uptime"] >= body["uptime"]
