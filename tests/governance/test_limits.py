"""Rate limits against a simple model, and what they promise."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragoman.governance.limits import SECOND, Gcra, Meter, tightest
from dragoman.governance.users import Limits

MINUTE = 60 * SECOND


def test_as_many_as_the_limit_pass_at_once_and_then_one_per_share_of_the_period() -> None:
    limit = Gcra(60, MINUTE)
    for _ in range(60):
        assert limit.wait(1, now=0) == 0
        limit.take(1, now=0)
    assert limit.wait(1, now=0) == SECOND
    assert limit.wait(1, now=SECOND) == 0


def test_more_than_the_limit_waits_for_an_empty_window_only() -> None:
    limit = Gcra(100, MINUTE)
    assert limit.wait(1000, now=0) == 0
    limit.take(100, now=0)
    assert limit.wait(1000, now=0) == MINUTE


def test_what_was_taken_too_much_comes_back() -> None:
    limit = Gcra(1000, MINUTE)
    limit.take(900, now=0)
    assert limit.reading(0).remaining == 100
    limit.correct(-800)
    assert limit.reading(0).remaining == 900


@given(
    amount=st.integers(1, 10_000_000),
    steps=st.lists(st.tuples(st.integers(0, 10**11), st.integers(1, 1000)), max_size=60),
)
def test_never_more_than_burst_and_refill(amount: int, steps: list[tuple[int, int]]) -> None:
    """In any time span, at most the amount and what has grown back meanwhile pass."""
    limit = Gcra(amount, MINUTE)
    now = 0
    passed: list[tuple[int, int]] = []
    for pause, n in steps:
        now += pause
        if n <= amount and limit.wait(n, now) == 0:
            limit.take(n, now)
            passed.append((now, n))
    for first in range(len(passed)):
        total = 0
        for moment, n in passed[first:]:
            total += n
            assert total <= amount + Fraction((moment - passed[first][0]) * amount, MINUTE)


class AgainstFractions(RuleBasedStateMachine):
    """GCRA against a bucket of exact fractions that leaks."""

    def __init__(self) -> None:
        super().__init__()
        self.amount = 7
        self.limit = Gcra(self.amount, MINUTE)
        self.used = Fraction(0)
        self.now = 0

    @rule(nanoseconds=st.integers(0, 2 * MINUTE))
    def time_passes(self, nanoseconds: int) -> None:
        self.now += nanoseconds
        self.used = max(Fraction(0), self.used - Fraction(nanoseconds * self.amount, MINUTE))

    @rule(n=st.integers(1, 7))
    def ask(self, n: int) -> None:
        allowed = self.used + n <= self.amount
        assert (self.limit.wait(n, self.now) == 0) is allowed
        if allowed:
            self.limit.take(n, self.now)
            self.used += n

    @precondition(lambda self: self.used >= 1)
    @rule(more=st.integers(-1, 3))
    def correct(self, more: int) -> None:
        self.limit.correct(more)
        self.used += more

    @invariant()
    def reading_agrees(self) -> None:
        reading = self.limit.reading(self.now)
        assert reading.remaining == max(0, (self.amount - self.used).__floor__())


TestAgainstFractions = AgainstFractions.TestCase


def test_a_changed_limit_keeps_what_is_used() -> None:
    meter = Meter(Limits(requests_per_minute=10))
    for _ in range(10):
        meter.enter(0, now=0)
    meter.configure(Limits(requests_per_minute=20))
    assert meter.refusal(0, now=0) is not None
    assert meter.refusal(0, now=3 * SECOND) is None
    meter.configure(Limits())
    assert meter.refusal(0, now=0) is None


def test_requests_at_once_are_given_back() -> None:
    meter = Meter(Limits(concurrent_requests=1))
    assert meter.refusal(0, now=0) is None
    meter.enter(0, now=0)
    refusal = meter.refusal(0, now=0)
    assert refusal is not None
    assert refusal.what == "requests at once"
    meter.leave(0)
    assert meter.refusal(0, now=0) is None


def test_of_several_the_limit_that_takes_longest_is_told() -> None:
    meter = Meter(Limits(requests_per_minute=1, requests_per_hour=1, tokens_per_day=10))
    meter.enter(10, now=0)
    refusal = meter.refusal(10, now=0)
    assert refusal is not None
    assert (refusal.what, refusal.seconds) == ("tokens per day", 86_400.0)


def test_what_is_used_up_outlives_the_process() -> None:
    before = Meter(Limits(requests_per_day=2, tokens_per_minute=100))
    for _ in range(2):
        before.enter(50, now=5)
    after = Meter(before.limits)
    after.restore(before.used(now=5), now=1_000)
    assert after.refusal(0, now=1_000) is not None
    (tokens,) = after.gauges("tokens")
    assert tokens.reading(1_000).remaining == 0


@pytest.mark.parametrize("left", [0, 3])
def test_the_tightest_is_the_one_with_the_smallest_share_left(left: int) -> None:
    small, large = (Meter(Limits(tokens_per_minute=10)), Meter(Limits(tokens_per_day=1_000_000)))
    small.enter(10 - left, now=0)
    large.enter(500_000, now=0)
    share, found = tightest([large, small], "tokens", 0)
    assert [found] == [*small.gauges("tokens")]
    assert share == pytest.approx(left / 10)
    assert tightest([large, small], "requests", 0)[1] is None
