"""An operator's prices: what is read exactly, and what is refused by the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.usage import Usage
from dragoman.config.channels import resolve
from dragoman.config.load import read
from dragoman.config.prices import operator_prices, written_price
from dragoman.config.problems import ConfigurationRefused, Refusal
from dragoman.config.schema import ChannelEntry
from dragoman.governance.money import NANO
from dragoman.governance.price import BUCKETS, Rates, Tier, cost
from dragoman.providers.catalog import load_catalog

CATALOG = load_catalog()


def rates(**written: Any) -> Rates:
    return operator_prices({"m": written_price(written)})["m"].rates


@pytest.mark.row("S4-22")
@pytest.mark.parametrize(
    ("written", "nano"),
    [
        (0.15, 150_000_000),
        (0.1, 100_000_000),
        ("0.15", 150_000_000),
        ("0.0375", 37_500_000),
        ("0.123456789", 123_456_789),
        ("1e-6", 1_000),
        (" 2.50 ", 2_500_000_000),
        (3, 3 * NANO),
        (1_000_000, 1_000_000 * NANO),
        (0, 0),
        ("0.0000000001", 1),  # never down to nothing
    ],
)
def test_what_is_written_is_what_counts(written: Any, nano: int) -> None:
    assert rates(input=written).input == nano


@given(st.integers(0, 10**15))
def test_nine_decimals_are_exact(nano: int) -> None:
    assert rates(input=f"{nano // NANO}.{nano % NANO:09d}").input == nano


def test_every_bucket_has_its_price_and_what_has_none_is_plain_input_or_output() -> None:
    prices = {name: index for index, name in enumerate(BUCKETS, start=1)}
    assert rates(**prices, request="0.01") == Rates(
        **{name: index * NANO for name, index in prices.items()}, request=NANO // 100
    )
    plain = rates(input=1, output=2)
    assert (plain.of("cache_read"), plain.of("reasoning")) == (NANO, 2 * NANO)


def test_a_tier_takes_over_what_it_leaves_out() -> None:
    written = {"input": 1, "output": 4, "tiers": [{"above": 200_000, "input": "2.5"}]}
    price = operator_prices({"m": written_price(written)})["m"]
    assert price.tiers == (Tier(200_000, Rates(input=2_500_000_000, output=4 * NANO)),)
    assert cost(Usage(input=200_000, output=1), price) == 200_000_000 + 4_000
    assert cost(Usage(input=200_001, output=1), price) == 500_002_500 + 4_000


def test_a_price_that_says_nothing_is_none_and_no_gift() -> None:
    assert operator_prices({"m": written_price({})}) == {}


BAD = [
    ({"input": -1}, "input"),
    ({"input": "-0.5"}, "input"),
    ({"output": None}, "output"),
    ({"output": float("nan")}, "output"),
    ({"output": "NaN"}, "output"),
    ({"cache_read": float("inf")}, "cache_read"),
    ({"cache_read": "1e400"}, "cache_read"),
    ({"cache_read": "1e-99999"}, "cache_read"),
    ({"reasoning": 10**400}, "reasoning"),
    ({"reasoning": True}, "reasoning"),
    ({"reasoning": "9" * 10_000}, "reasoning"),
    ({"request": "free"}, "request"),
    ({"request": "1_000"}, "request"),
    ({"request": "\u0661"}, "request"),
    ({"request": [1]}, "request"),
    ({"cached": 1}, "cached"),
    ({"tiers": {}}, "tiers"),
    ({"tiers": [{"input": 1}]}, "tiers.0"),
    ({"tiers": [{"above": 0}]}, "tiers.0.above"),
    ({"tiers": [{"above": 1.5}]}, "tiers.0.above"),
    ({"tiers": [{"above": 5, "input": -2}]}, "tiers.0.input"),
    ({"tiers": [{"above": 5}, {"above": 5}]}, "tiers"),
    ({"tiers": [{"above": 6}, {"above": 5}]}, "tiers"),
    ({"tiers": [{"above": n} for n in range(1, 40)]}, "tiers"),
]


@pytest.mark.parametrize(("written", "path"), BAD)
def test_what_is_no_price_is_refused_by_its_name(written: Any, path: str) -> None:
    with pytest.raises(Refusal) as refused:
        written_price(written)
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize("text", ["-1", "NaN", "null", "1e400", "Infinity", '"1e400"', "1" * 400])
def test_a_file_is_refused_with_the_dotted_name(text: str) -> None:
    content = '{"channels": [{"name": "a", "type": "openai", "prices": {"gpt-4o": {"input": %s}}}]}'
    with pytest.raises(ConfigurationRefused) as refused:
        read((content % text).encode(), CATALOG, source="config.json")
    paths = [problem.path for problem in refused.value.problems]
    assert paths == ["channels.0.prices.gpt-4o.input"]


def test_a_channel_has_them_as_prices() -> None:
    prices = {"gpt-4o": {"input": 2.5, "output": 10}}
    channel = resolve(ChannelEntry(id=1, name="a", type="openai", prices=prices), CATALOG)
    price = channel.prices["gpt-4o"]
    assert (price.source, price.rates) == ("operator", Rates(input=2_500_000_000, output=10 * NANO))


@pytest.mark.parametrize(
    ("settings", "is_fine"),
    [
        ('{"unpriced": "estimate"}', False),
        ('{"unpriced": "estimate", "unpriced_price": {}}', False),
        ('{"unpriced": "estimate", "unpriced_price": {"input": 1, "output": 2}}', True),
        ('{"unpriced": "block"}', True),
    ],
)
def test_an_estimate_needs_a_price_to_estimate_by(settings: str, is_fine: bool) -> None:
    content = f'{{"settings": {settings}}}'.encode()
    if is_fine:
        read(content, CATALOG, source="config.json")
    else:
        with pytest.raises(ConfigurationRefused, match="unpriced_price first"):
            read(content, CATALOG, source="config.json")


def test_the_price_of_the_unpriced_is_exact() -> None:
    content = b'{"settings": {"unpriced_price": {"input": "0.15", "output": 0.6}}}'
    settings = read(content, CATALOG, source="config.json").settings
    assert settings.unpriced_rates == Rates(input=150_000_000, output=600_000_000)
    assert read(b"{}", CATALOG, source="config.json").settings.unpriced_rates is None
