"""Limits, budgets, amounts of money and metadata as an operator writes them, in a file, over the admin
API or on the command line alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dragoman.config import checks
from dragoman.config.checks import Check
from dragoman.config.fields import read_fields
from dragoman.config.problems import Refusal
from dragoman.governance.money import nano_of, usd_text
from dragoman.governance.users import Budget, Limits

MOST = 10**12
"""More requests or tokens than any limit can mean."""
MOST_AT_ONCE = 1_000_000
_METADATA_LETTERS = 16_384

LIMITS: Mapping[str, Check] = {
    **{name: checks.whole(1, MOST) for name in Limits.__struct_fields__},
    "concurrent_requests": checks.whole(1, MOST_AT_ONCE),
}
_METADATA = checks.mapping(checks.json_value)


def limits(value: Any) -> Limits:
    """An object of limits; what it does not name is not limited. Raises Refusal."""
    return Limits(**read_fields(value, LIMITS))


def amount(value: Any) -> int:
    """US dollars, as a number or as text, in nano-USD; it may be negative. Raises Refusal."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refusal(f"must be an amount in US dollars such as 12.50, not {checks.kind(value)}")
    try:
        return nano_of(value)
    except ValueError as error:
        raise Refusal(str(error)) from None


def _bounded(lowest: int, words: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        nano = amount(value)
        if nano < lowest:
            raise Refusal(words)
        return nano

    return check


not_negative = _bounded(0, "must not be negative")
"""Zero or more US dollars, in nano-USD. Raises Refusal."""
positive_amount = _bounded(1, "must be more than zero")
"""More than zero US dollars, in nano-USD. Raises Refusal."""

BUDGET: Mapping[str, Check] = dict.fromkeys(Budget.__struct_fields__, not_negative)


def budget(value: Any) -> Budget:
    """An object of amounts in US dollars; what it does not name has no budget. Raises Refusal."""
    return Budget(**read_fields(value, BUDGET))


def metadata(value: Any) -> dict[str, Any]:
    """An operator's own JSON object. Raises Refusal."""
    checked: dict[str, Any] = _METADATA(value)
    if len(json.dumps(checked, ensure_ascii=False)) > _METADATA_LETTERS:
        raise Refusal(f"is longer than {_METADATA_LETTERS} characters")
    return checked


def limits_document(one: Limits) -> dict[str, int]:
    """As ``limits`` reads it."""
    document: dict[str, int] = msgspec.to_builtins(one)
    return document


def budget_document(one: Budget) -> dict[str, str]:
    """As ``budget`` reads it, exact: dollars as text."""
    return {name: usd_text(nano) for name, nano in msgspec.to_builtins(one).items()}
