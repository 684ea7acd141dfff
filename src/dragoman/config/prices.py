"""An operator's prices as they are written, and as requests are billed by them.

By model name, in USD per million tokens of each bucket, and per ``request``:
``{"gpt-4o": {"input": 2.5, "output": 10, "cache_read": "1.25"}, "*": {…}}``. What is left out costs as
much as plain input or output. ``tiers`` are other prices for long prompts:
``[{"above": 200000, "input": 5}]``; what a tier leaves out stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.config.checks import Check, kind, whole
from dragoman.config.problems import Findings, Problem, Refusal, suggestion
from dragoman.governance.price import BUCKETS, Price, Rates, Tier
from dragoman.governance.rate import MOST_USD, rate_of

SOURCE = "operator"
RATES = (*BUCKETS, "request")
"""What a price may name, ``tiers`` aside."""
MAX_TIERS = 16


def written_price(value: Any) -> dict[str, Any]:
    """One model's price, checked and as it was written. Raises Refusal."""
    return _object(value, {**_RATES, "tiers": _written_tiers})


def written_rates(value: Any) -> dict[str, Any]:
    """A price of input and output alone, both of which are needed; or none. Raises Refusal."""
    found = _object(value, {"input": _usd, "output": _usd})
    findings = Findings()
    for name in ("input", "output"):
        if found and name not in found:
            findings.add(name, "is missing")
    findings.refuse()
    return found


def rates_of(written: Mapping[str, Any]) -> Rates:
    """The rates of what ``written_price`` or ``written_rates`` has accepted."""
    return Rates(**{name: rate_of(written[name]) for name in RATES if name in written})


def refuse_estimate_of_nothing(unpriced: str | None, price: Mapping[str, Any] | None) -> None:
    """Raise Refusal if unpriced requests are to be billed by a price that is not stated."""
    if unpriced == "estimate" and not price:
        words = "needs a price to estimate by: set unpriced_price first (input and output, in USD)"
        raise Refusal(Problem("unpriced", words))


def operator_prices(written: Mapping[str, Mapping[str, Any]]) -> dict[str, Price]:
    """By model; one that says nothing is none, and no gift."""
    return {
        model: Price(
            rates=rates_of(price),
            tiers=tuple(
                Tier(tier["above"], rates_of({**price, **tier})) for tier in price.get("tiers", ())
            ),
            source=SOURCE,
        )
        for model, price in written.items()
        if price
    }


def _usd(value: Any) -> float | str:
    try:
        rate_of(value)
    except ValueError:
        written = "" if isinstance(value, str) else f", not {kind(value)}"
        raise Refusal(f"must be a number from 0 to {MOST_USD}{written}") from None
    return value.strip() if isinstance(value, str) else float(value)


_RATES: Mapping[str, Check] = dict.fromkeys(RATES, _usd)


def _written_tiers(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise Refusal(f"must be a list, not {kind(value)}")
    if len(value) > MAX_TIERS:
        raise Refusal(f"has more than {MAX_TIERS} tiers")
    findings = Findings()
    tiers = [findings.check(index, _written_tier, tier) for index, tier in enumerate(value)]
    findings.refuse()
    starts = [tier["above"] for tier in tiers]
    if starts != sorted(set(starts)):
        raise Refusal("must ascend by 'above'")
    return tiers


def _written_tier(value: Any) -> dict[str, Any]:
    tier = _object(value, {"above": whole(1, 2**53), **_RATES})
    if "above" not in tier:
        raise Refusal("names no 'above', the number of tokens read from which on it holds")
    return tier


def _object(value: Any, fields: Mapping[str, Check]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(f"must be an object, not {kind(value)}")
    findings = Findings()
    found = {}
    for name, item in value.items():
        if name in fields:
            found[name] = findings.check(name, fields[name], item)
        else:
            findings.add(name, f"is not a known price{suggestion(name, fields)}")
    findings.refuse()
    return found
