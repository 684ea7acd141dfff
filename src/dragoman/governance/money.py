"""Money as integers: nano-USD (1e-9 USD). Floats never hold an amount.

Prices are nano-USD per million tokens, because a nano-USD per token is too coarse: $0.0375 per million
tokens is 37.5 nano-USD a token, but exactly 37,500,000 nano-USD a million.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

NANO = 1_000_000_000
"""Nano-USD in a dollar."""
MILLION = 1_000_000
MOST_NANO = 2**62
"""The largest amount that is kept: 4.6 thousand million dollars, and it fits a database's BIGINT."""


def nano_of(usd: str | int | float | Decimal) -> int:
    """Dollars as nano-USD, rounded up. A float counts as the shortest decimal that denotes it.

    Raises ValueError for what is no number, is not finite, or exceeds MOST_NANO.
    """
    try:
        amount = Decimal(repr(usd)) if isinstance(usd, float) else Decimal(usd)
    except (InvalidOperation, ValueError, TypeError):
        raise ValueError("is not an amount of money") from None
    # The exponent first: Decimal("1e400") is a number, and its integer has 400 digits.
    if not amount.is_finite() or (amount and amount.adjusted() > 10):
        raise ValueError("is more than any account can hold")
    nano = int((amount * NANO).to_integral_value(rounding=ROUND_CEILING))
    if abs(nano) > MOST_NANO:
        raise ValueError("is more than any account can hold")
    return nano


def usd_of(nano: int) -> Decimal:
    """Nano-USD as exact dollars."""
    return Decimal(nano) / NANO


def usd_text(nano: int) -> str:
    """Nano-USD as dollars in plain digits, without trailing zeros: 125000 → ``0.000125``."""
    sign, rest = ("-", -nano) if nano < 0 else ("", nano)
    whole, part = divmod(rest, NANO)
    return f"{sign}{whole}" + (f".{part:09d}".rstrip("0") if part else "")


def dollars(nano: int) -> str:
    """Nano-USD for people: ``$12.34``, and as many digits more as the amount has."""
    text = usd_text(abs(nano))
    whole, _, part = text.partition(".")
    return f"{'-' if nano < 0 else ''}${int(whole):,}.{part.ljust(2, '0')}"
