"""How much may be tried again at once, and after how long a wait.

When an upstream fails under load, every request of every client becomes several; that is how an
outage becomes a longer one. So at most a fifth of the requests under way may be repeats.
"""

from __future__ import annotations

from collections.abc import Callable

SHARE = 0.2
ALWAYS_ALLOWED = 10
"""A quiet gateway may repeat this many at once, whatever the share says."""

BASE_SECONDS = 0.25
LONGEST_SECONDS = 4.0


class RetryBudget:
    """Counts live requests and repeats."""

    __slots__ = ("live", "repeats")

    def __init__(self) -> None:
        self.live = 0
        self.repeats = 0

    def take(self) -> bool:
        """Begin a repeat if the budget allows it."""
        if self.repeats >= max(ALWAYS_ALLOWED, int(self.live * SHARE)):
            return False
        self.repeats += 1
        return True

    def give_back(self) -> None:
        """A repeat has ended, or got its first content."""
        assert self.repeats > 0, "a repeat ends once"
        self.repeats -= 1


def full_jitter(repeat: int, random: Callable[[], float]) -> float:
    """Seconds to wait before the ``repeat``-th repeat (from 1): anything from 0 to a ceiling that
    doubles each time, so that clients who failed together do not come back together."""
    ceiling: float = min(LONGEST_SECONDS, BASE_SECONDS * 2 ** min(repeat - 1, 10))
    return random() * ceiling
