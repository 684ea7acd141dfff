"""The providers' prices in a running gateway: fetched, followed, and there for the first request."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.administered import ENVIRON, admin
from tests.live.routes import settles
from tests.support.gateway import Gateway
from tests.support.hf_router import TOKEN, HFRouter


def offer(name: str, prompt: Any, completion: Any) -> dict[str, Any]:
    """A model as OpenRouter lists it."""
    return {"id": name, "pricing": {"prompt": prompt, "completion": completion, "request": "0"}}


@pytest.fixture
def upstream() -> Iterator[HFRouter]:
    listed = [offer("org/a", "0.0000001", "0.0000004"), offer("org/odd", None, "-1")]
    with HFRouter(listed) as running:
        yield running


@pytest.fixture
def gateway(upstream: HFRouter) -> Iterator[Gateway]:
    config = {
        "settings": {"model_list_seconds": 0.1},
        "channels": [
            {
                "name": "seller",
                "type": "openrouter",
                "base_url": f"{upstream.url}/v1",
                "api_key": TOKEN,
                "models": ["org/a", "org/odd"],
            },
            {"name": "shop", "type": "openai", "api_key": "sk-x", "models": ["gpt-4o"]},
        ],
    }
    with Gateway(config, environ=ENVIRON) as running:
        yield running


def price(gateway: Gateway, model: str) -> dict[str, Any]:
    reply = admin(gateway, "GET", f"/prices?model={model}")
    (found,) = reply.json["prices"]
    shown: dict[str, Any] = found
    return shown


@pytest.mark.row("S4-52")
def test_a_providers_new_price_is_in_force_once_its_list_says_so(
    upstream: HFRouter, gateway: Gateway
) -> None:
    assert settles(lambda: price(gateway, "org/a")["source"] == "provider")
    shown = price(gateway, "org/a")
    assert shown["rates"] == {"input": "0.1", "output": "0.4"}
    today = datetime.datetime.now(datetime.UTC).date()
    as_of = datetime.date.fromisoformat(shown["as_of"])
    assert today - datetime.timedelta(days=1) <= as_of <= today  # a midnight may lie between

    upstream.listed[0] = offer("org/a", "0.00000015", "0.0000006")
    assert settles(lambda: price(gateway, "org/a")["rates"] == {"input": "0.15", "output": "0.6"})

    # A price that cannot be used is none; the one that was known does not stay in silence.
    upstream.listed[0] = offer("org/a", "-0.1", "0.0000006")
    assert settles(lambda: not price(gateway, "org/a")["priced"])


def test_a_price_that_is_not_wholly_sound_is_left_out_and_told_once(
    upstream: HFRouter, gateway: Gateway
) -> None:
    assert settles(lambda: price(gateway, "org/a")["source"] == "provider")
    assert not price(gateway, "org/odd")["priced"]
    fetched = len(upstream.requests)
    assert settles(lambda: len(upstream.requests) > fetched + 1)
    assert gateway.logs().count("cannot be used and are left out") == 1


def test_shipped_prices_are_there_for_the_first_question(gateway: Gateway) -> None:
    assert price(gateway, "gpt-4o")["rates"]["input"] == "2.5"
