"""Ten thousand requests over channels of differing speed, in simulated time.

Tier 1 has a fast channel and a slow one, which together cannot take all that comes; tier 2 is the
backup. Nobody tells the gateway what they can take.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from dragoman.canonical.errors import GatewayError
from tests.routing.simulation import World
from tests.routing.support import channel, down, limited, refused

FAST, SLOW, BACKUP = 1, 2, 3
REQUESTS = 10_000
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
seeds = pytest.mark.parametrize("seed", range(20 if THOROUGH else 1))


def fast(under_way: int, now: float) -> tuple[float, GatewayError | None]:
    """0.3 s for up to 8 at once; beyond them all get slower, and twice as many take four times as
    long."""
    return 0.3 * max(1.0, under_way / 8) ** 2, None


def slow(under_way: int, now: float) -> tuple[float, GatewayError | None]:
    """2 s for up to 3 at once, slower beyond them, and never more than 6."""
    if under_way > 6:
        return 0.05, limited()
    return 2.0 * max(1.0, under_way / 3) ** 0.5, None


def backup(under_way: int, now: float) -> tuple[float, GatewayError | None]:
    return 1.0, None


def world(seed: int) -> World:
    channels = [
        channel(FAST, max_adaptive_concurrency=100),
        # Its operator says what is slow for it, and that few requests say enough.
        channel(
            SLOW,
            max_adaptive_concurrency=100,
            response_time_low=3.5,
            response_time_high=8.0,
            stats_window_size=10,
        ),
        channel(BACKUP, priority=2, max_concurrency=60),
    ]
    return World(seed, channels, {FAST: fast, SLOW: slow, BACKUP: backup})


@pytest.mark.row("S2-49")
@seeds
def test_the_limits_settle_around_what_the_channels_can_take(seed: int) -> None:
    run = world(seed).run(REQUESTS, per_second=30)
    assert run.ended == {"answered": REQUESTS}
    last_third = (run.now * 2 / 3, run.now - 5)
    found = run.limits_of(FAST, *last_third)
    assert 8 <= min(found) <= max(found) <= 20, "where it takes a second: twice its best"
    assert max(found) - min(found) <= 4, "and there it stays"
    found = run.limits_of(SLOW, *last_third)
    assert 4 <= sum(found) / len(found) <= 6
    assert max(found) <= 8
    assert sum(limit == 1 for limit in found) < len(found) / 4, "not pinned to the floor"
    errors = sum(one.error is not None for one in run.tries)
    assert errors < REQUESTS / 50


@pytest.mark.row("S2-38")
@seeds
def test_the_second_tier_is_used_only_while_the_first_cannot(seed: int) -> None:
    busy = world(seed).run(REQUESTS, per_second=30)
    assert busy.share(BACKUP, 100, busy.now) > 0.3, "there is too much for the first"
    reasons: Counter[str] = Counter()
    for one in busy.tries:
        if one.channel == BACKUP:
            assert one.excuse, "no channel of the first tier was free and well"
            reasons.update(one.excuse.split(":")[0].split(",")[0].split("; "))
    assert set(reasons) <= {"full", "rate limited", "failed", "circuit open for 30 s more"}

    quiet = world(seed).run(REQUESTS, per_second=5)
    assert quiet.ended == {"answered": REQUESTS}
    assert quiet.share(BACKUP, 60, quiet.now) == 0.0
    shares = [quiet.share(one, 60, quiet.now) for one in (FAST, SLOW)]
    assert min(shares) > 0.1, "both of the first tier have their turns"


@pytest.mark.row("S2-45")
@pytest.mark.parametrize("error", [down(), refused()])
@seeds
def test_traffic_comes_back_after_an_outage(seed: int, error: GatewayError) -> None:
    def failing(under_way: int, now: float) -> tuple[float, GatewayError | None]:
        return (0.02, error) if 120 <= now < 180 else fast(under_way, now)

    run = world(seed)
    run.answers[FAST] = failing
    run.run(REQUESTS, per_second=30)
    assert run.ended == {"answered": REQUESTS}, "no client noticed"
    tried = [one for one in run.tries if one.channel == FAST and 125 <= one.began < 180]
    assert 1 <= len(tried) <= 4, "a probe now and then, no more"
    before, after = run.share(FAST, 60, 120), run.share(FAST, 225, 300)
    assert after > before * 0.8
