"""What tokens cost: exact integers, one rate per bucket of ``canonical.usage.Usage``.

The sum of tokens × rate is rounded up once, to the nano-USD, as Hugging Face does; rounding each
bucket would add up to nine nano-USD to every request.
"""

from __future__ import annotations

import functools

import msgspec

from dragoman.canonical.usage import Usage
from dragoman.governance.money import MILLION

BUCKETS = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
)
"""The fields of Usage that hold tokens."""
_INPUT_BUCKETS = BUCKETS[:6]
_OUTPUT_BUCKETS = BUCKETS[6:]


class Rates(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Nano-USD per million tokens of each bucket, and per ``request``. None stands for the rate of
    plain input or output: a provider that names no price for cached tokens bills them as any other."""

    input: int = 0
    output: int = 0
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    input_audio: int | None = None
    input_image: int | None = None
    reasoning: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    request: int = 0

    def of(self, bucket: str) -> int:
        """The rate of a bucket."""
        rate: int | None = getattr(self, bucket)
        if rate is not None:
            return rate
        return self.input if bucket in _INPUT_BUCKETS else self.output

    def highest_input(self) -> int:
        """The rate of the dearest bucket that tokens read may turn out to be in."""
        return max(self.of(bucket) for bucket in _INPUT_BUCKETS)

    def highest_output(self) -> int:
        """The rate of the dearest bucket that tokens written may turn out to be in."""
        return max(self.of(bucket) for bucket in _OUTPUT_BUCKETS)


class Tier(msgspec.Struct, frozen=True):
    """Other rates for a request that reads more than ``above`` tokens, all of its tokens included."""

    above: int
    rates: Rates


class Price(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A model's price at a provider. ``source`` says whose figure it is (``operator``, ``provider``,
    ``genai-prices <version>``, ``local``, ``stated``), ``as_of`` the day it was read or published (ISO
    date). ``tiers`` ascend by ``above``."""

    rates: Rates
    source: str
    as_of: str = ""
    tiers: tuple[Tier, ...] = ()

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a request that reads so many tokens."""
        rates = self.rates
        for tier in self.tiers:
            if input_tokens <= tier.above:
                break
            rates = tier.rates
        return rates

    @property
    def free(self) -> bool:
        """Whether nothing ever costs anything."""
        every = (self.rates, *(tier.rates for tier in self.tiers))
        return not any(
            rates.request or any(rates.of(bucket) for bucket in BUCKETS) for rates in every
        )


def cost(usage: Usage, price: Price) -> int:
    """What ``usage`` costs, in nano-USD, rounded up."""
    rates = price.rates if not price.tiers else price.rates_for(usage.total_input)
    total = usage.input * rates.input + usage.output * rates.output
    # Most requests have tokens in these two alone; the rest is looked at only where there are some.
    for bucket in _RARE:
        if tokens := getattr(usage, bucket):
            total += tokens * rates.of(bucket)
    return -(-total // MILLION) + rates.request


def breakdown(usage: Usage, price: Price) -> dict[str, tuple[int, int]]:
    """Per bucket that has tokens: (tokens, rate). The sum of the products, rounded up, and the price
    per request make the cost."""
    rates = price.rates_for(usage.total_input)
    return {
        bucket: (tokens, rates.of(bucket))
        for bucket in BUCKETS
        if (tokens := getattr(usage, bucket))
    }


def at_most(input_tokens: int, output_tokens: int, price: Price) -> int:
    """The most that a request of these sizes can cost, in nano-USD: each token in its side's dearest
    bucket, at whichever tier is dearest of those it may reach."""
    reachable = [price.rates]
    reachable += [tier.rates for tier in price.tiers if input_tokens > tier.above]
    most = 0
    for rates in reachable:
        read, written = _highest(rates)
        total = input_tokens * read + output_tokens * written
        most = max(most, -(-total // MILLION) + rates.request)
    return most


@functools.lru_cache(maxsize=1024)
def _highest(rates: Rates) -> tuple[int, int]:
    """Every request asks for these."""
    return rates.highest_input(), rates.highest_output()


_RARE = tuple(bucket for bucket in BUCKETS if bucket not in ("input", "output"))
