"""The prices that a provider puts into its own list of models.

Each provider writes them in its own way, and some that look alike differ in the unit, so a row of the
catalogue says which way it is (``price_list``). Sources, as met in 2026:

``openrouter``: ``pricing`` in USD per token, as text: ``prompt``, ``completion``, ``request``,
``input_cache_read``, ``input_cache_write``, ``input_cache_write_1h``, ``internal_reasoning``,
``image_token``, ``image_output``, ``audio``, ``audio_output``; -1 for "depends on the model chosen",
0 for what has no price of its own; ``overrides``: other prices from ``min_prompt_tokens`` on.
``huggingface``: ``providers[].pricing.input`` and ``.output``, USD per million tokens.
``together``: ``pricing.input``, ``.output``, ``.cached_input``, USD per million tokens.
``deepinfra``: ``metadata.pricing.input_tokens``, ``.output_tokens``, ``.cache_read_tokens``, the same.
``novita``: ``input_token_price_per_m``, ``output_token_price_per_m``, in 1/10,000 USD per million.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from dragoman.governance.price import Price, Rates, Tier
from dragoman.governance.rate import rate_of

SOURCE = "provider"
CHEAPEST = "cheapest"

_PER_TOKEN = 1_000_000
_NOVITA = Decimal("0.0001")
_MAX_TIERS = 16

_OPENROUTER = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "image_token": "input_image",
    "image_output": "output_image",
    "audio": "input_audio",
    "audio_output": "output_audio",
}
_TOGETHER = {"input": "input", "output": "output", "cached_input": "cache_read"}
_DEEPINFRA = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "cache_read",
}


class Listed(msgspec.Struct, frozen=True):
    """What a list says of a model: its price, and those of who serves it, by the name that follows the
    model's after a colon. ``broken`` if there is a price that cannot be used."""

    price: Price | None = None
    hosts: Mapping[str, Price] = {}
    broken: bool = False


def read_prices(way: str, name: str, row: Mapping[str, Any]) -> Listed:
    """The prices in ``row``, the entry of the model ``name`` in a list of the kind ``way``. One that is
    not wholly sound is left out wholly. Nothing is free that is not said to be."""
    free = name.endswith(":free")
    try:
        match way:
            case "openrouter":
                return _listed(_openrouter(row.get("pricing")), free)
            case "together":
                return _listed(_per_million(row.get("pricing"), _TOGETHER), free)
            case "deepinfra":
                metadata = row.get("metadata")
                pricing = metadata.get("pricing") if isinstance(metadata, dict) else None
                return _listed(_per_million(pricing, _DEEPINFRA), free)
            case "novita":
                return _listed(_novita(row), free)
            case "huggingface":
                return _hosts(row.get("providers"))
    except ValueError:
        return Listed(broken=True)
    return Listed()


WAYS = frozenset({"openrouter", "together", "deepinfra", "novita", "huggingface"})
"""The kinds of lists that ``read_prices`` knows."""


def _listed(price: Price | None, free: bool) -> Listed:
    if price is not None and price.free and not free:
        return Listed()  # of models that are not sold by the token, all say 0
    return Listed(price)


def _openrouter(pricing: Any) -> Price | None:
    if pricing is None:
        return None
    stated = _object(pricing)
    _need(stated, "prompt", "completion")
    overrides = stated.get("overrides", [])
    if not isinstance(overrides, list) or len(overrides) > _MAX_TIERS:
        raise ValueError
    rates = _openrouter_rates(stated)
    tiers = []
    for one in overrides:
        override = _object(one)
        start = override.get("min_prompt_tokens")
        known = _OPENROUTER.keys() | {"min_prompt_tokens", "request"}
        # Other conditions, such as the time of day, are not understood: then the price is unknown.
        if not isinstance(start, int) or isinstance(start, bool) or override.keys() - known:
            raise ValueError
        tiers.append(Tier(max(start - 1, 0), _openrouter_rates({**stated, **override})))
    tiers.sort(key=lambda tier: tier.above)
    return Price(rates=rates, tiers=tuple(tiers), source=SOURCE)


def _openrouter_rates(stated: Mapping[str, Any]) -> Rates:
    found = _rates(stated, _OPENROUTER, _PER_TOKEN)
    return Rates(**found, request=rate_of(stated.get("request", 0)))


def _per_million(pricing: Any, names: Mapping[str, str]) -> Price | None:
    if pricing is None:
        return None
    stated = _object(pricing)
    _need(stated, *(name for name, bucket in names.items() if bucket in ("input", "output")))
    return Price(rates=Rates(**_rates(stated, names, 1)), source=SOURCE)


def _novita(row: Mapping[str, Any]) -> Price | None:
    names = ("input_token_price_per_m", "output_token_price_per_m")
    if not any(name in row for name in names):
        return None
    if row.get("currency", "USD") != "USD":
        raise ValueError
    input_rate, output_rate = (rate_of(row.get(name), times=_NOVITA) for name in names)
    return Price(rates=Rates(input=input_rate, output=output_rate), source=SOURCE)


def _hosts(rows: Any) -> Listed:
    """Without a host's name, the router chooses; the price is then the highest of those it may choose
    from, so that no one is asked for less than the request costs."""
    hosts: dict[str, Price] = {}
    broken = False
    for row in rows if isinstance(rows, list) else ():
        host = row.get("provider") if isinstance(row, dict) else None
        if not isinstance(host, str) or row.get("status") not in (None, "live"):
            continue
        try:
            price = _per_million(row.get("pricing"), {"input": "input", "output": "output"})
        except ValueError:
            broken = True
            continue
        if price is not None and not (price.free and row.get("is_free") is not True):
            hosts[host] = price
    if not hosts:
        return Listed(broken=broken)
    highest = Rates(
        input=max(price.rates.input for price in hosts.values()),
        output=max(price.rates.output for price in hosts.values()),
    )
    hosts[CHEAPEST] = min(hosts.values(), key=lambda price: (price.rates.output, price.rates.input))
    return Listed(Price(rates=highest, source=SOURCE), hosts, broken)


def _rates(stated: Mapping[str, Any], names: Mapping[str, str], times: int) -> dict[str, int]:
    """By bucket. Nothing for cached, heard or seen tokens means that they have no price of their own:
    a request is never cheaper for what a list does not say."""
    found = {
        bucket: rate_of(stated[name], times=times)
        for name, bucket in names.items()
        if name in stated
    }
    return {bucket: rate for bucket, rate in found.items() if rate or bucket in ("input", "output")}


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _need(stated: Mapping[str, Any], *names: str) -> None:
    if any(name not in stated for name in names):
        raise ValueError
