"""A rate read from outside: dollars per million tokens as nano-USD per million tokens."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from dragoman.governance.money import NANO

MOST_USD = 1_000_000
"""The dearest million tokens that are believed."""

_PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_MAX_TEXT = 60


def rate_of(usd: object, *, times: int | Decimal = 1) -> int:
    """``usd`` × ``times``, dollars, as nano-USD. A number or a number as text; a float counts as the
    shortest decimal that denotes it. Rounded to the nearest nano-USD, and never down to nothing.

    Raises ValueError, with words that follow the name of a field, for anything else: null, NaN,
    infinity, less than nothing, more than MOST_USD.
    """
    amount = _decimal(usd)
    if amount < 0:
        raise ValueError("must not be below 0")
    # The exponent first: Decimal("1e4000") is a number, and multiplying it is work.
    if amount and (amount.adjusted() > 7 or amount * times > MOST_USD):
        raise ValueError(f"must be a number from 0 to {MOST_USD}")
    nano = int((amount * times * NANO).to_integral_value(rounding=ROUND_HALF_EVEN))
    return max(nano, 1) if amount else 0


def _decimal(value: object) -> Decimal:
    number = f"must be a number from 0 to {MOST_USD}"
    match value:
        case bool() | None:
            raise ValueError(f"{number}, not {'null' if value is None else str(value).lower()}")
        case float() | int() | Decimal():
            amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        case str() if len(value) <= _MAX_TEXT and _PLAIN.fullmatch(value.strip()):
            amount = Decimal(value.strip())
        case _:
            raise ValueError(number)
    if not amount.is_finite():
        raise ValueError(f"{number}, not one that is not finite")
    return amount
