"""Rate limits: how many requests and tokens per minute, hour and day, and how many requests at once.

Each limit is GCRA (the generic cell rate algorithm of ATM, ITU-T I.371): one number, the theoretical
arrival time, which every request moves on by its share of the period. A limit of 60 a minute lets 60
requests through at once and then one a second. Time is integer nanoseconds of a monotonic clock, and the
number is kept multiplied by the limit, so that nothing is ever rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dragoman.governance.users import Limits

SECOND = 1_000_000_000
_PERIODS = {"minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}


class Reading(NamedTuple):
    """A limit as headers tell it: ``amount`` per ``period`` (nanoseconds), how many are left, and in
    how many seconds all of them will be there again."""

    amount: int
    period: int
    remaining: int
    reset: float


class Gcra:
    """``amount`` per ``period`` nanoseconds."""

    __slots__ = ("_full", "_until", "amount", "period")

    def __init__(self, amount: int, period: int) -> None:
        self.amount = amount
        self.period = period
        self._full = amount * period
        self._until = 0  # the theoretical arrival time × amount

    # These are on every request's path, several times: comparing costs a third of max and min.

    def wait(self, n: int, now: int) -> int:
        """In how many nanoseconds ``n`` more would be allowed; 0 if they are. More than ``amount`` are
        never allowed: then as if the whole amount were wanted."""
        amount = self.amount
        at = now * amount
        used = self._until - at if self._until > at else 0
        excess = used + (n if n < amount else amount) * self.period - self._full
        return -(-excess // amount) if excess > 0 else 0

    def take(self, n: int, now: int) -> None:
        """Use ``n``, whether or not they are allowed."""
        at = now * self.amount
        self._until = (self._until if self._until > at else at) + n * self.period

    def correct(self, n: int) -> None:
        """``n`` more were used than taken; less if negative."""
        self._until += n * self.period

    def share(self, now: int) -> float:
        """How much of it is left, from 1 for all of it down to 0, or less."""
        used = self._until - now * self.amount
        return 1.0 - used / self._full if used > 0 else 1.0

    def reading(self, now: int) -> Reading:
        """How it stands."""
        used = max(0, self._until - now * self.amount)
        left = max(0, (self._full - used) // self.period)
        return Reading(self.amount, self.period, left, used / self.amount / SECOND)

    def resize(self, amount: int) -> None:
        """Another amount per period; what is used up stays used up for as long."""
        self._until = self._until * amount // self.amount
        self.amount = amount
        self._full = amount * self.period

    def busy(self, now: int) -> int:
        """For how many nanoseconds from ``now`` something of it is used up."""
        return max(0, self._until // self.amount - now)

    def occupy(self, nanoseconds: int, now: int) -> None:
        """As ``busy`` said, in an earlier process."""
        self._until = (now + min(nanoseconds, self.period)) * self.amount


class Refusal(NamedTuple):
    """A limit that is exceeded: what is limited (``requests per minute`` …), to how many, and in how
    many seconds to try again; None if that cannot be said. ``kind`` is ``requests``, ``tokens`` or
    ``concurrency``."""

    what: str
    amount: int
    seconds: float | None
    kind: str


class Meter:
    """The limits of one key or user, or of the whole gateway, and what is used of them.

    ``refusal`` first, for every meter concerned; then ``enter`` for each, and ``leave`` once for each
    ``enter``. Nothing else may come between the two. ``fewest_tokens`` is the smallest limit on tokens,
    None without any: no request can have more.
    """

    __slots__ = ("_at_once", "_requests", "_tokens", "at_once", "fewest_tokens", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = Limits()
        self.at_once = 0
        self.fewest_tokens: int | None = None
        self._at_once: int | None = None
        self._requests: dict[str, Gcra] = {}
        self._tokens: dict[str, Gcra] = {}
        self.configure(limits)

    @property
    def limited(self) -> bool:
        """Whether there is any limit on requests or tokens."""
        return bool(self._requests or self._tokens)

    def configure(self, limits: Limits) -> None:
        """Take changed limits over; what is used up stays so."""
        if limits == self.limits:
            return
        self.limits = limits
        self._at_once = limits.concurrent_requests
        for kind, gauges in (("requests", self._requests), ("tokens", self._tokens)):
            for name, period in _PERIODS.items():
                amount: int | None = getattr(limits, f"{kind}_per_{name}")
                if amount is None:
                    gauges.pop(name, None)
                elif name in gauges:
                    gauges[name].resize(amount)
                else:
                    gauges[name] = Gcra(amount, period)
        amounts = (limit.amount for limit in self._tokens.values())
        self.fewest_tokens = min(amounts, default=None)

    def refusal(self, tokens: int, now: int) -> Refusal | None:
        """Why one more request of so many tokens is not allowed at ``now``; None if it is. If several
        limits are exceeded it is the one that takes longest."""
        if self._at_once is not None and self.at_once >= self._at_once:
            return Refusal("requests at once", self._at_once, None, "concurrency")
        worst: Refusal | None = None
        longest = 0
        for name, limit in self._requests.items():
            if (wait := limit.wait(1, now)) > longest:
                longest, worst = wait, _refusal("requests", name, limit, wait)
        for name, limit in self._tokens.items():
            if (wait := limit.wait(tokens, now)) > longest:
                longest, worst = wait, _refusal("tokens", name, limit, wait)
        return worst

    def enter(self, tokens: int, now: int) -> None:
        """One more request begins."""
        self.at_once += 1
        for limit in self._requests.values():
            limit.take(1, now)
        for limit in self._tokens.values():
            limit.take(tokens, now)

    def leave(self, more_tokens: int) -> None:
        """A request ends that had so many tokens more (or fewer) than were taken for it."""
        self.at_once -= 1
        if more_tokens:
            for limit in self._tokens.values():
                limit.correct(more_tokens)

    def gauges(self, kind: str) -> Iterable[Gcra]:
        """The limits on ``requests`` or ``tokens``."""
        return (self._requests if kind == "requests" else self._tokens).values()

    def used(self, now: int) -> dict[str, int]:
        """What a later process must know: limit → nanoseconds for which it is used up."""
        return {
            f"{kind} {name}": busy
            for kind, gauges in (("requests", self._requests), ("tokens", self._tokens))
            for name, limit in gauges.items()
            if (busy := limit.busy(now))
        }

    def restore(self, used: Mapping[str, int], now: int) -> None:
        """Take over what ``used`` said in an earlier process."""
        for kind, gauges in (("requests", self._requests), ("tokens", self._tokens)):
            for name, limit in gauges.items():
                if busy := used.get(f"{kind} {name}"):
                    limit.occupy(busy, now)


def _refusal(kind: str, period: str, limit: Gcra, wait: int) -> Refusal:
    return Refusal(f"{kind} per {period}", limit.amount, wait / SECOND, kind)


def tightest(meters: Iterable[Meter], kind: str, now: int) -> tuple[float, Gcra | None]:
    """Of the limits on ``requests`` or ``tokens`` the one that ends first, with the share that is left
    of it: the smallest. None if there is none."""
    found: Gcra | None = None
    least = math.inf
    for meter in meters:
        for limit in meter.gauges(kind):
            share = limit.share(now)
            if share < least:
                found, least = limit, share
    return least, found
