"""What a price says for comparing channels, and which of several prices is a model's.

The figure for comparing is not for billing: three parts input and one part output, nothing cached, a
prompt below every long-context tier, USD per million tokens of the mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.governance.money import NANO, usd_text
from dragoman.governance.price import BUCKETS, Price, Rates

INPUT_PARTS = 3
OUTPUT_PARTS = 1

OTHERS = "*"
"""In an operator's prices: every model that is not named."""


def typical_price(price: Price) -> float:
    """The price of the mixture, in USD per million tokens."""
    rates = price.rates
    parts = INPUT_PARTS * rates.input + OUTPUT_PARTS * rates.output
    return parts / (INPUT_PARTS + OUTPUT_PARTS) / NANO


def own_price(prices: Mapping[str, Price], *names: str) -> Price | None:
    """The operator's price of the model of these ``names``, the first that is known; case does not
    count. Else that for every other model, None if there is none."""
    if not prices:
        return None
    for name in names:
        if (price := prices.get(name)) is not None:
            return price
    wanted = {name.casefold() for name in names}
    for name, price in prices.items():
        if name.casefold() in wanted:
            return price
    return prices.get(OTHERS)


def rates_text(rates: Rates) -> dict[str, str]:
    """The rates that are stated: exact dollars per million tokens, and per ``request`` where that costs
    anything."""
    stated = {bucket: getattr(rates, bucket) for bucket in BUCKETS}
    found = {bucket: usd_text(rate) for bucket, rate in stated.items() if rate is not None}
    return {**found, "request": usd_text(rates.request)} if rates.request else found


def price_document(price: Price | None) -> dict[str, Any]:
    """A price for a reader; ``priced`` is false for none."""
    if price is None:
        return {"priced": False, "source": "", "as_of": "", "rates": {}, "tiers": []}
    return {
        "priced": True,
        "source": price.source,
        "as_of": price.as_of,
        "rates": rates_text(price.rates),
        "tiers": [{"above": tier.above, **rates_text(tier.rates)} for tier in price.tiers],
    }
