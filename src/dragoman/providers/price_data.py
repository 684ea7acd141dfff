"""The prices that the package ``genai-prices`` ships, as exact rates.

Its rules, which ``Price`` shares: a price that names tiers has the tier's rate for every token of a
request that reads more than the tier's start; what has no rate of its own is billed as plain input or
output. Of several prices of a model the last one counts whose date has come, or whose hours (UTC) it
is. Nothing is fetched here.
"""

from __future__ import annotations

import bisect
import datetime
import functools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dragoman.governance.price import Price, Rates, Tier
from dragoman.governance.rate import rate_of

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

# Provider id → the price list's own id; where there is no entry, both are the same.
_LISTED_AS = {
    "azure-openai": "azure",
    "gemini": "google",
    "moonshot": "moonshotai",
    "vertex": "google",
    "xai": "x-ai",
    "zhipu": "zai",
}
_HOSTED_AS = "huggingface_"
"""How the price list's ids begin of what the Hugging Face router has served elsewhere."""
_CHOOSING = frozenset({"", "fastest", "preferred", "cheapest"})

# Bucket → the price list's names of its price, the nearest first. Its cache_write is for both times.
_KEYS: Mapping[str, tuple[str, ...]] = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok",),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok"),
    "input_audio": ("input_audio_mtok",),
    "input_image": ("input_image_mtok",),
    "reasoning": ("output_reasoning_mtok",),
    "output_audio": ("output_audio_mtok",),
    "output_image": ("output_image_mtok",),
    "request": ("requests_kcount",),
}
_PER = {"request": Decimal("0.001")}

_DAY = 86_400


def load() -> None:
    """Read the data now: it takes 0.3 s and 13 MB, which need not fall into the first request."""
    _providers()
    _bounds()


def is_loaded() -> bool:
    """Whether the data is in memory."""
    return bool(_providers.cache_info().currsize)


def shipped_price(provider: str, model: str, now: float) -> Price | None:
    """What ``model`` (the provider's own name for it) costs at ``now`` (Unix time); None if the list
    has no price for it by the token. Never nothing for want of knowledge: the list writes a free
    model and one of unknown price the same way, so only a name that says ``:free`` is free."""
    if provider == "huggingface":
        return _hosted_price(model, now)
    row = _providers().get(_LISTED_AS.get(provider, provider))
    found = None if row is None else row.find_model(model, all_providers=_all())
    return None if found is None else _price(found, now, is_free=model.endswith(":free"))


def shipped_context(provider: str, model: str) -> int | None:
    """How many tokens ``model`` takes in at most, as the same list says; None if it does not."""
    if provider == "huggingface":
        name, _, ending = model.partition(":")
        hosts = [id for id in _providers() if id.startswith(_HOSTED_AS)]
        chosen = [id for id in hosts if ending in _CHOOSING or id == _HOSTED_AS + ending]
        found = [_providers()[id].find_model(name) for id in chosen]
    else:
        row = _providers().get(_LISTED_AS.get(provider, provider))
        found = [None if row is None else row.find_model(model, all_providers=_all())]
    lengths = (one.context_window for one in found if one is not None)
    # Of several hosts the least: it fits wherever the router sends it.
    return min((length for length in lengths if length), default=None)


def _hosted_price(model: str, now: float) -> Price | None:
    """That of the host whose name follows the model's. Where the router chooses, the highest of them, as
    long as its own list is not known."""
    name, _, ending = model.partition(":")
    hosts = (
        row
        for id, row in _providers().items()
        if id.startswith(_HOSTED_AS) and (ending in _CHOOSING or id == _HOSTED_AS + ending)
    )
    found = [one for row in hosts if (one := row.find_model(name)) is not None]
    prices = [price for one in found if (price := _price(one, now, is_free=False)) is not None]
    if len(prices) < 2:
        return prices[0] if prices else None
    highest = Rates(
        input=max(price.rates.input for price in prices),
        output=max(price.rates.output for price in prices),
    )
    return Price(rates=highest, source=prices[0].source, as_of=prices[0].as_of)


def next_change(now: float) -> float:
    """The Unix time at which a price may change next: at midnight (UTC), or where prices by the hour
    begin and end."""
    midnight = now - now % _DAY
    bounds = _bounds()
    place = bisect.bisect_right(bounds, now - midnight)
    return midnight + (bounds[place] if place < len(bounds) else _DAY)


def _price(found: ModelInfo, now: float, *, is_free: bool) -> Price | None:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    listed = found.get_prices(moment)
    # Where it is negative or no number, nothing of it is to be believed.
    try:
        rates = _rates(listed, 0)
        starts = sorted({tier.start for one in _tiered(listed) for tier in one.tiers})
        tiers = tuple(Tier(start, _rates(listed, start + 1)) for start in starts)
    except ValueError:
        return None
    price = Price(rates=rates, tiers=tiers, source=_source(), as_of=_as_of(moment.date()))
    return None if price.free and not is_free else price


def _rates(listed: ModelPrice, input_tokens: int) -> Rates:
    """The rates of a request that reads so many tokens."""
    found: dict[str, int] = {}
    for bucket, keys in _KEYS.items():
        stated = (getattr(listed, key) for key in keys)
        value = next((one for one in stated if one is not None), None)
        if value is not None:
            found[bucket] = rate_of(_at(value, input_tokens), times=_PER.get(bucket, 1))
    return Rates(**found)


def _at(value: Any, input_tokens: int) -> Any:
    reached = [one.price for one in getattr(value, "tiers", ()) if input_tokens > one.start]
    return reached[-1] if reached else getattr(value, "base", value)


def _tiered(listed: ModelPrice) -> Iterator[Any]:
    for keys in _KEYS.values():
        for key in keys:
            if hasattr(value := getattr(listed, key), "tiers"):
                yield value


@functools.cache
def _all() -> list[Provider]:
    return list(_providers().values())


@functools.cache
def _providers() -> dict[str, Provider]:
    # Its function calc_price would take similar provider ids for the same, and remember every model
    # name that was ever asked for.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - 0.3 s and 13 MB

    return {row.id: row for row in get_snapshot().providers}


@functools.cache
def _source() -> str:
    return f"genai-prices {version('genai-prices')}"


@functools.cache
def _bounds() -> tuple[float, ...]:
    """Seconds after midnight (UTC) at which prices by the hour begin and end."""
    bounds = set()
    for constraint in _constraints():
        for name in ("start_time", "end_time"):
            if (time := getattr(constraint, name, None)) is not None:
                at = datetime.datetime.combine(datetime.date(2000, 1, 2), time)
                at = at.astimezone(datetime.UTC) if at.tzinfo else at
                bounds.add(at.hour * 3600.0 + at.minute * 60 + at.second)
    return tuple(sorted(bounds))


@functools.cache
def _start_dates() -> tuple[datetime.date, ...]:
    dates = (getattr(one, "start_date", None) for one in _constraints())
    return tuple(sorted({date for date in dates if date is not None}))


def _as_of(today: datetime.date) -> str:
    """The day of the youngest price in the data: it names no day of its own, and cannot be older."""
    dates = _start_dates()
    place = bisect.bisect_right(dates, today)
    return dates[place - 1].isoformat() if place else ""


def _constraints() -> Iterator[Any]:
    for row in _all():
        for model in row.models:
            if isinstance(model.prices, list):
                yield from (one.constraint for one in model.prices)
