"""What a typical request costs at a provider, so that channels can be ordered by price.

The figures are for comparing, not for billing: three parts input and one part output, nothing cached,
a prompt below every long-context tier, USD per million tokens of the mixture.

Source: the data of the package ``genai-prices``, as installed; nothing is fetched.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping

INPUT_PARTS = 3
OUTPUT_PARTS = 1

_TOKENS_PER_PART = 1_000
_HOUR_SECONDS = 3_600

# Provider id → the price list's own id; where there is no entry, both are the same.
_LISTED_AS = {
    "gemini": "google",
    "moonshot": "moonshotai",
    "vertex": "google",
    "xai": "x-ai",
    "zhipu": "zai",
}


def typical_price(input_price: float, output_price: float) -> float:
    """The price of the mixture; all in USD per million tokens."""
    return (INPUT_PARTS * input_price + OUTPUT_PARTS * output_price) / (INPUT_PARTS + OUTPUT_PARTS)


def own_price(prices: Mapping[str, tuple[float, float]], *names: str) -> float | None:
    """The mixture's price by an operator's ``prices`` (model → input, output), None if none of the
    model's ``names`` is among them; case does not count."""
    if not prices:
        return None
    for name in names:
        if (price := prices.get(name)) is not None:
            return typical_price(*price)
    wanted = {name.casefold() for name in names}
    return next(
        (typical_price(*price) for name, price in prices.items() if name.casefold() in wanted), None
    )


def listed_price(provider: str, model: str) -> float | None:
    """The mixture's price by the price list; None if it has none for ``model`` (the provider's own
    name for it) or none by the token. Never 0 for want of knowledge: the list writes a free model
    and one of unknown price the same way."""
    # Some prices depend on the time of day, and a list may hold tomorrow's price already.
    return _listed_price(provider, model, int(time.time() // _HOUR_SECONDS))


@functools.lru_cache(maxsize=4096)  # clients choose the names
def _listed_price(provider: str, model: str, hour: int) -> float | None:
    # Its function calc_price would take similar provider ids for the same, and remember every model
    # name that was ever asked for.
    from genai_prices import Usage  # noqa: PLC0415 - 0.3 s and 30 MB, only if prices decide
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - the same

    listed_as = _LISTED_AS.get(provider, provider)
    row = next((row for row in get_snapshot().providers if row.id == listed_as), None)
    found = None if row is None else row.find_model(model)
    if row is None or found is None:
        return None
    input_tokens, output_tokens = INPUT_PARTS * _TOKENS_PER_PART, OUTPUT_PARTS * _TOKENS_PER_PART
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    total = float(found.calc_price(usage, row).total_price)
    return total * 1_000_000 / (input_tokens + output_tokens) or None
