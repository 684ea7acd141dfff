"""Token counts in disjoint buckets, so that any bill is a plain sum of products."""

from __future__ import annotations

import msgspec

MOST_TOKENS = 10**12
"""No answer has more: a figure beyond it is nonsense, which must not break a ledger of 64 bits."""


class Usage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens of one request; no token is in two buckets and none is negative.

    ``input`` is uncached text input and ``output`` is visible text output; every other bucket is
    taken out of them. Upstreams that report overlapping figures (OpenAI's ``prompt_tokens`` contains
    ``cached_tokens``) are split by ``split``. ``estimated`` marks counts that no upstream reported.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    estimated: bool = False

    @property
    def total_input(self) -> int:
        """Every token the model read."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.input_audio
            + self.input_image
        )

    @property
    def total_output(self) -> int:
        """Every token the model wrote, hidden reasoning included."""
        return self.output + self.reasoning + self.output_audio + self.output_image

    @property
    def total(self) -> int:
        return self.total_input + self.total_output


def whole(count: float | None) -> int:
    """An upstream's figure as a count: nothing for none and for negative ones."""
    return min(max(0, int(count)), MOST_TOKENS) if count else 0


def split(total: int | None, *parts: int | None) -> tuple[int, ...]:
    """Split an upstream's total into (rest, \\*parts), keeping the sum and never going negative.

    An upstream that reports more in its details than in its total is wrong somewhere; the total is
    what it bills, so the parts are cut, last first.
    """
    remaining = whole(total)
    taken: list[int] = []
    for part in parts:
        take = min(whole(part), remaining)
        taken.append(take)
        remaining -= take
    return (remaining, *taken)
