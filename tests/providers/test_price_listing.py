"""The prices in the providers' own lists, as each of them writes them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from dragoman.governance.money import NANO
from dragoman.governance.price import Rates, Tier
from dragoman.providers.catalog import load_catalog
from dragoman.providers.listing import ListedModel, read_page
from dragoman.providers.price_listing import WAYS


def listed(way: str, **row: Any) -> ListedModel:
    body = json.dumps({"data": [{"id": "org/model", **row}]}).encode()
    return read_page(body, way).models[0]


def rates(way: str, **row: Any) -> Rates:
    price = listed(way, **row).price
    assert price is not None
    assert price.source == "provider"
    return price.rates


def test_every_way_of_the_catalogue_is_known() -> None:
    named = {row.price_list for row in load_catalog().values() if row.price_list}
    assert named == WAYS


OPENROUTER = {
    "prompt": "0.000003",
    "completion": "0.000015",
    "request": "0.005",
    "image": "0.0048",
    "audio": "0.000004",
    "web_search": "0.01",
    "internal_reasoning": "0",
    "input_cache_read": "0.0000003",
    "input_cache_write": "0.00000375",
    "input_cache_write_1h": "0.000006",
    "discount": 0,
}


@pytest.mark.row("S4-52")
def test_openrouters_prices_per_token_as_text() -> None:
    assert rates("openrouter", pricing=OPENROUTER) == Rates(
        input=3 * NANO,
        output=15 * NANO,
        request=5_000_000,
        input_audio=4 * NANO,
        cache_read=300_000_000,
        cache_write_5m=3_750_000_000,
        cache_write_1h=6 * NANO,
        reasoning=None,  # 0 says that thoughts are billed as output, not that they are free
    )


def test_openrouters_other_prices_for_long_prompts() -> None:
    over = {"min_prompt_tokens": 200_000, "prompt": "0.000006", "completion": "0.0000225"}
    more = {**over, "min_prompt_tokens": 500_000, "prompt": "0.000009"}
    model = listed("openrouter", pricing={**OPENROUTER, "overrides": [more, over]})
    assert model.price is not None
    assert [tier.above for tier in model.price.tiers] == [199_999, 499_999]
    first = model.price.tiers[0]
    assert isinstance(first, Tier)
    assert (first.rates.input, first.rates.output) == (6 * NANO, 22_500_000_000)
    assert first.rates.cache_read == 300_000_000


@pytest.mark.parametrize(
    ("way", "row", "expected"),
    [
        (
            "together",
            {"pricing": {"hourly": 0, "input": 0.3, "output": 0.6, "cached_input": 0.2}},
            Rates(input=300_000_000, output=600_000_000, cache_read=200_000_000),
        ),
        (
            "deepinfra",
            {"metadata": {"pricing": {"input_tokens": 0.1, "output_tokens": 0.15}}},
            Rates(input=100_000_000, output=150_000_000),
        ),
        (
            "novita",
            {"input_token_price_per_m": 7000, "output_token_price_per_m": 25_000},
            Rates(input=700_000_000, output=2_500_000_000),
        ),
    ],
)
def test_prices_per_million(way: str, row: dict[str, Any], expected: Rates) -> None:
    assert rates(way, **row) == expected


HOSTS = [
    {"provider": "dear", "status": "live", "pricing": {"input": 1, "output": 4}},
    {"provider": "cheap", "status": "live", "pricing": {"input": 2, "output": 3}},
    {"provider": "gone", "status": "error", "pricing": {"input": 9, "output": 9}},
    {"provider": "gift", "status": "live", "is_free": True, "pricing": {"input": 0, "output": 0}},
    {"provider": "mute", "status": "live", "pricing": {"input": 0, "output": 0}},
    {"provider": "none", "status": "live"},
]


def test_hugging_faces_hosts_each_have_their_price_and_without_a_name_the_highest_counts() -> None:
    model = listed("huggingface", providers=HOSTS)
    assert set(model.host_prices) == {"dear", "cheap", "gift", "cheapest"}
    assert model.host_prices["cheap"].rates == Rates(input=2 * NANO, output=3 * NANO)
    assert model.host_prices["cheapest"].free
    assert model.price is not None
    assert model.price.rates == Rates(input=2 * NANO, output=4 * NANO)
    assert not model.broken_price


@pytest.mark.parametrize(
    "wrong", [None, -1, "-1", "x", "", "1e400", math.inf, math.nan, True, [], {"usd": 1}]
)
@pytest.mark.parametrize("field", ["prompt", "completion", "input_cache_read", "request"])
def test_an_entry_with_one_wrong_price_is_left_out_wholly(field: str, wrong: Any) -> None:
    body = json.dumps(
        {
            "data": [
                {"id": "org/good", "pricing": OPENROUTER},
                {"id": "org/bad", "pricing": {**OPENROUTER, field: wrong}},
            ]
        }
    )
    body = body.replace("Infinity", "1e400").replace("NaN", "-1e400")  # as JSON may have them
    good, bad = read_page(body.encode(), "openrouter").models
    assert good.price is not None
    assert bad.id == "org/bad"  # the model is there, its price is not
    assert (bad.price, bad.broken_price) == (None, True)


@pytest.mark.parametrize(
    ("way", "row"),
    [
        ("openrouter", {"pricing": {"prompt": "0.1"}}),
        ("openrouter", {"pricing": []}),
        ("openrouter", {"pricing": {**OPENROUTER, "overrides": [{"utc_start": 1200}]}}),
        ("openrouter", {"pricing": {**OPENROUTER, "overrides": None}}),
        ("together", {"pricing": {"input": None, "output": 1}}),
        ("deepinfra", {"metadata": {"pricing": {"input_tokens": -1, "output_tokens": 1}}}),
        ("novita", {"input_token_price_per_m": 1}),
        (
            "novita",
            {"currency": "IDR", "input_token_price_per_m": 1, "output_token_price_per_m": 1},
        ),
        ("huggingface", {"providers": [{"provider": "a", "pricing": {"input": -1}}]}),
    ],
)
def test_what_cannot_be_understood_is_no_price(way: str, row: dict[str, Any]) -> None:
    model = listed(way, **row)
    assert (model.price, model.broken_price) == (None, True)


def test_nothing_is_free_that_is_not_said_to_be() -> None:
    nothing = {"prompt": "0", "completion": "0"}
    assert listed("openrouter", pricing=nothing).price is None
    body = json.dumps({"data": [{"id": "org/model:free", "pricing": nothing}]}).encode()
    price = read_page(body, "openrouter").models[0].price
    assert price is not None
    assert price.free


def test_a_list_that_is_not_known_for_prices_has_none() -> None:
    assert listed("", pricing=OPENROUTER).price is None
    assert not listed("", pricing=OPENROUTER).broken_price
    assert listed("openrouter").price is None
    assert not listed("openrouter").broken_price
