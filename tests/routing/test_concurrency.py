"""A channel's places: every parameter of the schema on its own."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.routing.channel import Channel
from dragoman.routing.concurrency import Limiter
from tests.routing.support import channel


class Queued:
    """Somebody who waits, and perhaps has gone."""

    def __init__(self, name: str = "", *, gone: bool = False) -> None:
        self.name = name
        self.gone = gone
        self.granted = False

    def offer(self, limiter: Limiter) -> bool:
        assert not self.granted, "a place is given once"
        self.granted = not self.gone
        return self.granted


def adaptive(**fields: Any) -> Limiter:
    """A limiter of ten samples that may change at once, unless ``fields`` say otherwise."""
    return Limiter(channel(**{"cooldown_seconds": 0.0, "stats_window_size": 10, **fields}))


def feed(
    limiter: Limiter,
    seconds: float = 0.1,
    *,
    times: int = 10,
    errors: int = 0,
    now: float = 0.0,
) -> int:
    """``times`` samples, the errors first; the limit after them."""
    for number in range(times):
        limiter.sample(seconds, error=number < errors, now=now)
    return limiter.limit


def limiter_at(limit: int, **fields: Any) -> Limiter:
    """One that stands at ``limit``, has seen nothing, and may go down to 1."""
    limiter = Limiter(channel(min_concurrency=limit, max_adaptive_concurrency=100))
    limiter.configure(
        channel(
            **{
                "max_adaptive_concurrency": 100,
                "cooldown_seconds": 0.0,
                "stats_window_size": 10,
                **fields,
            }
        )
    )
    assert (limiter.limit, limiter.samples) == (limit, 0)
    return limiter


def judged(seconds: float, errors: int, of: int, at: int = 10, **fields: Any) -> int:
    """The limit after a window of ``of`` samples that is judged once, as its last one comes."""
    limiter = limiter_at(at - 2, cooldown_seconds=5.0, stats_window_size=of)
    assert feed(limiter, now=0.0) == at
    limiter.configure(
        channel(max_adaptive_concurrency=100, cooldown_seconds=5.0, stats_window_size=of, **fields)
    )
    assert feed(limiter, seconds, errors=errors, times=of - 1, now=1.0) == at
    feed(limiter, seconds, errors=max(0, errors - of + 1), times=1, now=5.0)
    assert limiter.samples == of
    assert limiter.error_rate == errors / of
    return limiter.limit


def taken(limiter: Limiter) -> int:
    """How many places it has."""
    count = 0
    while limiter.take():
        count += 1
    return count


@pytest.mark.row("S2-48")
def test_max_concurrency_is_a_fixed_number_of_places() -> None:
    limiter = adaptive(max_concurrency=3)
    assert taken(limiter) == 3
    for errors in (0, 10):
        feed(limiter, times=100, errors=errors, seconds=0.0)
        feed(limiter, times=100, errors=errors, seconds=99.0)
    assert (limiter.limit, limiter.adaptive) == (3, False)
    limiter.give_back()
    assert limiter.take()
    assert not limiter.take()


@pytest.mark.row("S2-49")
def test_without_it_the_number_follows_how_the_channel_does() -> None:
    limiter = adaptive(max_concurrency=None)
    assert limiter.adaptive
    seen = [limiter.limit, feed(limiter, 0.1)]
    seen.append(feed(limiter, 0.1, times=2))
    seen.append(feed(limiter, 60.0, times=1))
    seen.append(feed(limiter, 0.1, times=1, errors=1))
    seen.append(feed(limiter, 0.1, times=1, errors=1))
    assert seen == [1, 3, 7, 5, 4, 2]


@pytest.mark.row("S2-50")
@pytest.mark.parametrize("minimum", [None, 1, 4])
def test_min_concurrency_is_the_start_and_the_floor(minimum: int | None) -> None:
    limiter = adaptive(**{} if minimum is None else {"min_concurrency": minimum})
    expected = minimum or 1
    assert limiter.limit == expected
    assert taken(limiter) == expected
    assert feed(limiter, times=50, errors=50) == expected, "never below"
    assert feed(limiter, 60.0, times=50) == expected, "never below"


@pytest.mark.row("S2-51")
@pytest.mark.parametrize("maximum", [None, 1, 25])
def test_max_adaptive_concurrency_is_the_ceiling(maximum: int | None) -> None:
    limiter = adaptive(**{} if maximum is None else {"max_adaptive_concurrency": maximum})
    seen = [feed(limiter, times=1) for _ in range(100)]
    assert max(seen) == seen[-1] == (maximum or 10)


@pytest.mark.row("S2-52")
def test_quick_answers_without_errors_raise_it() -> None:
    limiter = adaptive()
    assert feed(limiter, 0.99, times=9) == 1, "nine say nothing"
    assert feed(limiter, 0.99, times=1) == 3


@pytest.mark.row("S2-52")
@pytest.mark.parametrize(("errors", "limit"), [(0, 12), (4, 12), (5, 10), (10, 10)])
def test_only_below_half_the_error_threshold(errors: int, limit: int) -> None:
    assert judged(0.1, errors, of=100) == limit


@pytest.mark.row("S2-53")
def test_slow_answers_cut_it_gradually() -> None:
    limiter = limiter_at(100)
    seen = [feed(limiter, 6.0, times=9)]
    seen += [feed(limiter, 6.0, times=1) for _ in range(15)]
    assert seen == [100, 80, 64, 51, 40, 32, 25, 20, 16, 12, 9, 7, 5, 4, 3, 2]


@pytest.mark.row("S2-54")
def test_errors_cut_it_rapidly() -> None:
    limiter = limiter_at(100)
    seen = [feed(limiter, times=9, errors=9)]
    seen += [feed(limiter, times=1, errors=1) for _ in range(8)]
    assert seen == [100, 50, 25, 12, 6, 3, 1, 1, 1]


@pytest.mark.row("S2-54")
@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_errors_count_more_than_speed(seconds: float) -> None:
    assert judged(seconds, 100, of=100) == 5


@pytest.mark.row("S2-55")
@pytest.mark.parametrize(
    ("seconds", "fields", "limit"),
    [
        (0.99, {}, 12),
        (1.0, {}, 10),  # neither low nor high
        (3.0, {}, 10),
        (5.0, {}, 10),
        (5.01, {}, 8),
        (0.99, {"response_time_low": 0.5}, 10),
        (0.49, {"response_time_low": 0.5}, 12),
        (4.0, {"response_time_low": 4.1}, 12),
        (4.0, {"response_time_high": 3.9}, 8),
        (20.0, {"response_time_high": 30.0}, 10),
    ],
)
def test_response_time_low_and_high(seconds: float, fields: dict[str, float], limit: int) -> None:
    assert feed(limiter_at(10, **fields), seconds) == limit


@pytest.mark.row("S2-56")
@pytest.mark.parametrize(
    ("fields", "errors", "limit"),
    [
        ({}, 10, 10),  # of a hundred: not above
        ({}, 11, 5),
        ({"error_rate_threshold": 0.3}, 30, 10),
        ({"error_rate_threshold": 0.3}, 31, 5),
        ({"error_rate_threshold": 0.3}, 14, 12),
        ({"error_rate_threshold": 0.0}, 1, 5),
        ({"error_rate_threshold": 0.0}, 0, 12),
        ({"error_rate_threshold": 1.0}, 100, 10),
    ],
)
def test_error_rate_threshold(fields: dict[str, float], errors: int, limit: int) -> None:
    assert judged(0.1, errors, of=100, **fields) == limit


@pytest.mark.row("S2-57")
@pytest.mark.parametrize("step", [None, 1, 5])
def test_increase_step(step: int | None) -> None:
    fields = {} if step is None else {"increase_step": step}
    limiter = adaptive(max_adaptive_concurrency=100, **fields)
    feed(limiter, times=9)
    assert [feed(limiter, times=1) for _ in range(3)] == [1 + (step or 2) * n for n in (1, 2, 3)]


@pytest.mark.row("S2-58")
@pytest.mark.parametrize(("factor", "limit"), [(None, 80), (0.9, 90), (0.5, 50)])
def test_decrease_factor(factor: float | None, limit: int) -> None:
    fields = {} if factor is None else {"decrease_factor": factor}
    assert feed(limiter_at(100, **fields), 6.0) == limit


@pytest.mark.row("S2-59")
@pytest.mark.parametrize("size", [None, 20, 3])
def test_stats_window_size(size: int | None) -> None:
    fields = {} if size is None else {"stats_window_size": size}
    limiter = Limiter(channel(cooldown_seconds=0.0, **fields))
    expected = size or 100
    feed(limiter, 7.0, times=1000, errors=1000)
    assert limiter.samples == expected
    assert (limiter.error_rate, limiter.mean_seconds) == (1.0, 7.0)
    feed(limiter, 1.0, times=expected - 1)
    assert limiter.error_rate == pytest.approx(1 / expected)
    assert limiter.mean_seconds == pytest.approx((expected + 6) / expected)
    feed(limiter, 1.0, times=1)
    assert (limiter.error_rate, limiter.mean_seconds) == (0.0, 1.0), "the oldest has left"


def test_a_smaller_window_is_enough_when_it_is_full() -> None:
    limiter = adaptive(stats_window_size=3)
    assert [feed(limiter, times=1) for _ in range(3)] == [1, 1, 3]


@pytest.mark.row("S2-60")
@pytest.mark.parametrize("pause", [None, 60.0, 0.5])
def test_cooldown_seconds_lie_between_two_changes(pause: float | None) -> None:
    fields = {} if pause is None else {"cooldown_seconds": pause}
    limiter = Limiter(channel(**fields))
    seconds = pause or 5.0
    assert feed(limiter, now=100.0) == 3
    assert feed(limiter, now=100.0 + seconds - 0.01) == 3
    assert feed(limiter, now=100.0 + seconds, times=1) == 5
    assert feed(limiter, now=100.0 + seconds, times=100) == 5
    assert feed(limiter, now=100.0 + seconds * 1.99, times=1, errors=1) == 5
    assert feed(limiter, now=100.0 + seconds * 2, times=1) == 7


def test_only_a_change_begins_a_cooldown() -> None:
    limiter = Limiter(channel(max_adaptive_concurrency=1, cooldown_seconds=5.0))
    assert feed(limiter, now=0.0, times=100) == 1
    limiter.configure(channel(max_adaptive_concurrency=10, cooldown_seconds=5.0))
    assert feed(limiter, now=0.1, times=1) == 3


# Places and queue.


def test_who_waits_longest_gets_the_place() -> None:
    limiter = adaptive(max_concurrency=1)
    assert limiter.take()
    first, gone, last = Queued("1"), Queued("2", gone=True), Queued("3")
    for waiter in (first, gone, last):
        limiter.wait(waiter)
    assert limiter.waiting == 3
    limiter.give_back()
    assert (first.granted, last.granted, limiter.in_flight) == (True, False, 1)
    limiter.give_back()
    assert last.granted
    assert (limiter.in_flight, limiter.waiting) == (1, 0)
    limiter.give_back()
    assert limiter.in_flight == 0


def test_nobody_overtakes_the_queue() -> None:
    limiter = adaptive(max_concurrency=1)
    limiter.take()
    waiter = Queued()
    limiter.wait(waiter)
    limiter.in_flight -= 1  # free, though nobody was told yet
    assert not limiter.take()
    limiter.leave(waiter)
    assert limiter.take()


def test_a_raised_limit_wakes_those_who_wait() -> None:
    limiter = adaptive()
    assert limiter.take()
    waiters = [Queued(str(number)) for number in range(4)]
    for waiter in waiters:
        limiter.wait(waiter)
    feed(limiter)
    assert limiter.limit == 3
    assert [waiter.granted for waiter in waiters] == [True, True, False, False]
    limiter.configure(channel(max_concurrency=5))
    assert all(waiter.granted for waiter in waiters)
    assert limiter.in_flight == 5


def test_changes_while_in_use() -> None:
    limiter = adaptive(max_concurrency=5)
    assert taken(limiter) == 5
    limiter.configure(channel(max_concurrency=2))
    assert (limiter.limit, limiter.in_flight) == (2, 5)
    for _ in range(3):
        assert not limiter.take()
        limiter.give_back()
    assert not limiter.take()
    limiter.give_back()
    assert limiter.take()
    changes: list[tuple[Channel, int]] = [
        (channel(min_concurrency=3), 3),  # adaptive now: from the start
        (channel(min_concurrency=3, max_adaptive_concurrency=20), 3),
        (channel(min_concurrency=6), 6),
        (channel(min_concurrency=1), 6),  # learned, so kept
        (channel(min_concurrency=1, max_adaptive_concurrency=4), 4),
        (channel(max_concurrency=9), 9),
        (channel(min_concurrency=2), 2),
    ]
    for change, limit in changes:
        limiter.configure(change)
        assert limiter.limit == limit
        assert limiter.in_flight == 2


def test_a_smaller_window_forgets_at_once() -> None:
    limiter = adaptive(stats_window_size=100)
    feed(limiter, 9.0, times=50, errors=50)
    feed(limiter, 1.0, times=5)
    limiter.configure(channel(stats_window_size=5))
    assert (limiter.samples, limiter.mean_seconds, limiter.error_rate) == (5, 1.0, 0.0)


def test_starting_anew() -> None:
    limiter = limiter_at(7)
    limiter.take()
    feed(limiter, 9.0, times=5, errors=5)
    assert limiter.samples == 5
    limiter.forget()
    assert (limiter.limit, limiter.samples, limiter.error_rate, limiter.mean_seconds) == (
        1,
        0,
        0,
        0,
    )
    assert limiter.in_flight == 1
    fixed = adaptive(max_concurrency=4)
    fixed.forget()
    assert fixed.limit == 4


def test_a_place_is_not_given_back_twice() -> None:
    limiter = adaptive()
    limiter.take()
    limiter.give_back()
    with pytest.raises(AssertionError):
        limiter.give_back()


def test_advice_names_the_answers_that_are_too_slow_to_learn_from() -> None:
    limiter = Limiter(channel(1))
    for second in range(12):
        limiter.sample(2.5, error=False, now=float(second * 10))
    assert limiter.limit == 1
    advice = limiter.advice()
    assert "answers take 2.5 s and response_time_low is 1 s" in advice
    assert "max_concurrency" in advice
