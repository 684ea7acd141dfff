"""How long a credential, or a model behind it, is left alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.routing.cooldown import EVERY_MODEL, LONGEST_SECONDS, Cooldowns


def test_what_the_upstream_says_counts() -> None:
    cooldowns = Cooldowns()
    assert cooldowns.refused("m", 7.5, 100.0, "rate limited") == 7.5
    assert cooldowns.left("m", 100.0) == (7.5, "rate limited")
    assert cooldowns.left("m", 107.4)[0] == pytest.approx(0.1)
    assert cooldowns.left("m", 107.5) == (0.0, "")
    assert cooldowns.left("other", 100.0) == (0.0, "")


def test_guesses_double_up_to_a_minute() -> None:
    cooldowns = Cooldowns()
    seconds = [cooldowns.refused("m", None, 100.0 * n, "rate limited") for n in range(20)]
    assert seconds == [2, 4, 8, 16, 32] + [60] * 15


@pytest.mark.parametrize("said", [0.0, -5.0, math.nan])
def test_a_retry_after_that_says_nothing_is_guessed(said: float) -> None:
    assert Cooldowns().refused("m", said, 0.0, "rate limited") == 2.0


def test_no_bench_is_longer_than_an_hour() -> None:
    cooldowns = Cooldowns()
    assert cooldowns.refused("m", 1e300, 0.0, "rate limited") == LONGEST_SECONDS
    cooldowns.bench("n", math.inf, 0.0, "x")
    assert [left for _, left, _ in cooldowns.listed(0.0)] == [LONGEST_SECONDS] * 2


def test_refused_together_counts_once() -> None:
    """A hundred requests under way are all refused within a moment: that is one refusal."""
    cooldowns = Cooldowns()
    for number in range(100):
        seconds = cooldowns.refused("m", None, 10 + number / 1000, "rate limited", began=9.0)
        assert seconds == 2.0
    assert cooldowns.refused("m", None, 12.5, "rate limited", began=12.2) == 4.0


def test_the_longest_bench_stands() -> None:
    cooldowns = Cooldowns()
    cooldowns.bench("m", 60.0, 0.0, "long")
    cooldowns.bench("m", 5.0, 1.0, "short")
    assert cooldowns.left("m", 1.0) == (59.0, "long")
    cooldowns.bench("m", 100.0, 1.0, "longer")
    assert cooldowns.left("m", 1.0) == (100.0, "longer")
    cooldowns.bench(EVERY_MODEL, 200.0, 1.0, "all")
    assert cooldowns.left("m", 1.0) == (200.0, "all")
    assert cooldowns.left("other", 1.0) == (200.0, "all")


def test_a_stated_bench_holds_whatever_is_answered_meanwhile() -> None:
    """Of two requests under way one is told to come back in a minute, the other is answered."""
    cooldowns = Cooldowns()
    cooldowns.refused("m", 60.0, 10.0, "rate limited", began=9.0)
    cooldowns.recovered("m", 9.0)
    cooldowns.recovered("m", 11.0)
    assert cooldowns.left("m", 12.0)[0] == 58.0


def test_a_guessed_bench_ends_when_a_later_request_is_answered() -> None:
    cooldowns = Cooldowns()
    cooldowns.refused("m", None, 10.0, "rate limited", began=9.0)
    cooldowns.bench(EVERY_MODEL, 300.0, 10.0, "credential refused")
    cooldowns.recovered("m", 9.5)
    assert cooldowns.left("m", 10.0)[0] == 300.0, "what began before proves nothing"
    cooldowns.recovered("other", 10.5)
    assert cooldowns.left("m", 10.5) == (1.5, "rate limited"), "the credential is well again"
    cooldowns.recovered("m", 10.5)
    assert cooldowns.left("m", 10.5) == (0.0, "")
    assert cooldowns.refused("m", None, 20.0, "rate limited") == 2.0, "counted from the start"


def test_who_takes_some_and_refuses_the_rest_is_not_left_for_longer_and_longer() -> None:
    """After each bench six are answered, and the seventh is refused before they are."""
    cooldowns, now = Cooldowns(), 0.0
    for _ in range(10):
        began = now
        seconds = cooldowns.refused("m", None, now + 0.1, "rate limited", began=began)
        assert seconds <= 4.0
        cooldowns.recovered("m", began)
        assert cooldowns.left("m", now + 0.1)[0] == pytest.approx(2.0)
        now += 2.5
    assert cooldowns.refused("m", None, now, "rate limited") == 4.0, "nobody was answered since"
    assert cooldowns.refused("m", None, now + 5, "rate limited") == 8.0


def test_memory_is_bounded_and_the_credentials_own_bench_stays() -> None:
    cooldowns = Cooldowns()
    cooldowns.bench(EVERY_MODEL, 300.0, 0.0, "credential refused")
    for number in range(5000):
        cooldowns.refused(f"model-{number}", 100.0 + number, 0.0, "rate limited")
        cooldowns.bench(f"other-{number}", 300.0, 0.0, "model missing")
    assert len(cooldowns._benches) <= 1000
    assert len(cooldowns._refusals) <= 1000
    assert cooldowns.left("m", 0.0) == (300.0, "credential refused")
    assert cooldowns.left("model-4999", 0.0)[0] == LONGEST_SECONDS
    for number in range(900):
        cooldowns.bench(f"new-{number}", 1.0, 1e6, "x")
    assert len(cooldowns.listed(1e6)) == 900, "what is over goes first"


def test_reset() -> None:
    cooldowns = Cooldowns()
    cooldowns.refused("m", None, 0.0, "rate limited")
    cooldowns.reset()
    assert cooldowns.listed(0.0) == []
    assert cooldowns.refused("m", None, 0.0, "rate limited") == 2.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", EVERY_MODEL]),
            st.floats(allow_nan=False),
            st.floats(0, 1e4),
        ),
        max_size=30,
    )
)
def test_left_is_the_longest_that_holds(steps: list[tuple[str, float, float]]) -> None:
    cooldowns, now = Cooldowns(), 0.0
    ends: dict[str, float] = {}
    for model, seconds, pause in steps:
        now += pause
        cooldowns.bench(model, seconds, now, "x")
        ends[model] = max(ends.get(model, -math.inf), now + min(seconds, LONGEST_SECONDS))
        for name in ("a", "b", "c"):
            end = max(ends.get(name, 0.0), ends.get(EVERY_MODEL, 0.0))
            left, reason = cooldowns.left(name, now)
            assert left == pytest.approx(max(0.0, end - now))
            assert bool(reason) == (left > 0)
