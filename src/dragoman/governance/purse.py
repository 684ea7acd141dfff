"""Money in memory: accounts, budgets and trials, each with what is held for requests under way.

The books (``ledger``) are the truth that lasts; these are what admission looks at. Every amount is
nano-USD, every time Unix time.
"""

from __future__ import annotations

from typing import NamedTuple

from dragoman.governance.users import NO_BUDGET, Budget, Trial

_DAY_SECONDS = 86_400
_MONDAY = 3  # 1970-01-01 was a Thursday


class Periods(NamedTuple):
    """The calendar day, week (from Monday) and month of a moment in UTC, each counted from 1970."""

    day: int
    week: int
    month: int


def periods(now: float) -> Periods:
    """The periods that ``now`` lies in."""
    day = int(now // _DAY_SECONDS)
    return Periods(day, (day + _MONDAY) // 7, _month(day))


def _month(day: int) -> int:
    """Months since 1970-01 of a day since 1970-01-01; Howard Hinnant's ``civil_from_days``."""
    shifted = day + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_based = (5 * of_year + 2) // 153
    month = march_based + 2 if march_based < 10 else march_based - 10
    return (year + era * 400 + (month <= 1) - 1970) * 12 + month


class Account:
    """A balance and what is held of it."""

    __slots__ = ("balance", "held")

    def __init__(self, balance: int = 0) -> None:
        self.balance = balance
        self.held = 0

    @property
    def available(self) -> int:
        """What another request may hold."""
        return self.balance - self.held

    def hold(self, nano: int) -> None:
        """Set ``nano`` aside."""
        self.held += nano

    def release(self, nano: int) -> None:
        """Give a hold back."""
        self.held -= nano

    def payable(self, cost: int, own_hold: int = 0) -> int:
        """How much of ``cost`` can be paid without taking what others than the payer hold, or going
        below zero."""
        return max(0, min(cost, self.available + own_hold))


class Budgets:
    """What a user or a key has spent in the present day, week and month, and in all, against a
    Budget. A clock that jumps back does not open an earlier period again."""

    __slots__ = ("_limits", "_now", "_spent", "budget", "held")

    def __init__(self, budget: Budget = NO_BUDGET) -> None:
        self.budget = NO_BUDGET
        self.held = 0
        self._limits: tuple[tuple[int, int], ...] = ()
        self._now = Periods(0, 0, 0)
        self._spent = [0, 0, 0, 0]  # day, week, month, total
        self.configure(budget)

    @property
    def limited(self) -> bool:
        """Whether there is any budget."""
        return bool(self._limits)

    @property
    def spent(self) -> tuple[int, int, int, int]:
        """In the latest day, week and month known, and in all."""
        day, week, month, total = self._spent
        return day, week, month, total

    def configure(self, budget: Budget) -> None:
        """Take a changed budget over; what is spent stays so."""
        self.budget = budget
        given = (budget.day, budget.week, budget.month, budget.total)
        self._limits = tuple((i, nano) for i, nano in enumerate(given) if nano is not None)

    def restore(self, spent: tuple[int, int, int, int], now: float) -> None:
        """What the books say was spent in the periods of ``now``, and in all; what was spent since
        ``forget`` comes on top."""
        self._roll(now)
        self._spent = [before + since for before, since in zip(spent, self._spent, strict=True)]

    def forget(self) -> None:
        """From here on what is spent is not in the books that ``restore`` will tell of."""
        self._spent = [0, 0, 0, 0]

    def refusal(self, nano: int, now: float) -> tuple[str, int] | None:
        """The budget (``day`` …, and its amount) that another ``nano`` would exceed; None if none. A
        budget that is used up refuses what costs nothing, too, if it ever may cost something: so say
        a ``nano`` of 1 at least."""
        if not self._limits:
            return None
        self._roll(now)
        for place, limit in self._limits:
            if self._spent[place] + self.held + nano > limit:
                return ("day", "week", "month", "total")[place], limit
        return None

    def hold(self, nano: int) -> None:
        """Set ``nano`` aside."""
        self.held += nano

    def release(self, nano: int) -> None:
        """Give a hold back."""
        self.held -= nano

    def spend(self, cost: int, now: float) -> None:
        """``cost`` was spent."""
        self._roll(now)
        spent = self._spent
        for place in range(4):
            spent[place] += cost

    def _roll(self, now: float) -> None:
        day = int(now // _DAY_SECONDS)
        if day <= self._now.day:
            return
        present, before = periods(now), self._now
        self._now = present
        for place in range(3):
            if present[place] > before[place]:
                self._spent[place] = 0


class TrialUse:
    """What is used of a user's trial. Its money is the account ``trial:<user id>`` of the books."""

    __slots__ = ("money", "requests", "tokens", "tokens_held", "trial")

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.money = Account()
        self.tokens = 0
        self.tokens_held = 0
        self.requests = 0

    def ended(self, now: float) -> bool:
        """Whether its time is over."""
        return now >= self.trial.ends_at

    def exceeded(self, nano: int, tokens: int) -> str | None:
        """What another request of this size would be too much of (``requests``, ``tokens`` or
        ``credits``); None if nothing."""
        trial = self.trial
        if trial.requests is not None and self.requests >= trial.requests:
            return "requests"
        if trial.tokens is not None and self.tokens + self.tokens_held + tokens > trial.tokens:
            return "tokens"
        if trial.nano_usd is not None and self.money.available < nano:
            return "credits"
        return None

    def enter(self, nano: int, tokens: int) -> None:
        """A request begins on the trial."""
        self.requests += 1
        self.tokens_held += tokens
        self.money.hold(nano)

    def leave(self, nano: int, tokens: int, used_tokens: int, *, served: bool) -> None:
        """It ends; one that was not served does not count."""
        self.money.release(nano)
        self.tokens_held -= tokens
        self.tokens += used_tokens
        if not served:
            self.requests -= 1

    def left(self) -> dict[str, int | None]:
        """What is left of ``requests``, ``tokens`` and ``credits`` (nano-USD); None for no bound."""
        trial = self.trial
        tokens = None if trial.tokens is None else max(0, trial.tokens - self.tokens)
        requests = None if trial.requests is None else max(0, trial.requests - self.requests)
        nano = None if trial.nano_usd is None else max(0, self.money.available)
        return {"requests": requests, "tokens": tokens, "credits": nano}
