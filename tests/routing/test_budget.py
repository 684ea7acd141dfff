"""How much may be repeated at once, and after how long."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.routing.budget import LONGEST_SECONDS, RetryBudget, full_jitter


@pytest.mark.parametrize(
    ("live", "most"), [(0, 10), (1, 10), (50, 10), (54, 10), (55, 11), (100, 20), (1004, 200)]
)
def test_a_fifth_of_the_live_requests_or_ten(live: int, most: int) -> None:
    budget = RetryBudget()
    budget.live = live
    assert [budget.take() for _ in range(most + 1)] == [True] * most + [False]
    budget.give_back()
    assert budget.take()
    assert not budget.take()
    assert budget.repeats == most


def test_nothing_is_given_back_that_was_not_taken() -> None:
    with pytest.raises(AssertionError):
        RetryBudget().give_back()


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_full_jitter_lies_between_nothing_and_a_doubling_ceiling(repeat: int, dice: float) -> None:
    ceiling = min(4.0, 0.25 * 2 ** min(repeat - 1, 20))
    assert 0.0 <= full_jitter(repeat, lambda: dice) == dice * ceiling < LONGEST_SECONDS


def test_full_jitter_is_full() -> None:
    dice = random.Random(5)
    for repeat, ceiling in ((1, 0.25), (2, 0.5), (3, 1.0), (5, 4.0), (9, 4.0)):
        waits = [full_jitter(repeat, dice.random) for _ in range(2000)]
        for part in range(10):
            share = sum(part <= wait / ceiling * 10 < part + 1 for wait in waits) / len(waits)
            assert 0.06 < share < 0.14, "no part of the span is left out"
