"""What attempts teach about a channel, and what a change of the configuration leaves of it."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamMisconfigured,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from dragoman.routing.cooldown import EVERY_MODEL
from dragoman.routing.fleet import Lane
from dragoman.routing.verdict import Verdict
from tests.routing.support import (
    Site,
    bad_key,
    bad_request,
    channel,
    down,
    limited,
    missing,
    refused,
)

NOW = 1000.0


def lane_of(*keys: str) -> Lane:
    return Site(channel(keys=keys)).fleet.lane(1)


def settle(
    lane: Lane, *errors: GatewayError | None, credential: int = 0, now: float = NOW
) -> Verdict:
    verdict = Verdict.UNTOUCHED
    for error in errors:
        one = lane.credentials[credential]
        verdict = lane.settle(one, "m", error, seconds=0.5, now=now)
    return verdict


def circuits(lane: Lane, now: float = NOW) -> list[str]:
    return [one.circuit.state(now) for one in lane.credentials]


def benches(lane: Lane, now: float = NOW) -> list[list[tuple[str, float, str]]]:
    return [one.cooldowns.listed(now) for one in lane.credentials]


@pytest.mark.parametrize(
    ("error", "verdict", "bench", "samples"),
    [
        (None, Verdict.SUCCESS, [], (1, 0.0)),
        (bad_request(), Verdict.ALIVE, [], (1, 0.0)),
        (missing(), Verdict.MODEL_MISSING, [("m", 300.0, "model missing")], (0, 0.0)),
        (
            UpstreamMisconfigured("no such endpoint"),
            Verdict.MISCONFIGURED,
            [("m", 300.0, "set up wrongly")],
            (0, 0.0),
        ),
        (bad_key(403), Verdict.NO_ACCESS, [("m", 300.0, "no access to the model")], (0, 0.0)),
        (bad_key(401), Verdict.CREDENTIAL, [("", 300.0, "credential refused")], (0, 0.0)),
        (bad_key(402), Verdict.CREDENTIAL, [("", 300.0, "credential refused")], (0, 0.0)),
        (limited(), Verdict.RATE_LIMITED, [("m", 2.0, "rate limited")], (1, 1.0)),
        (limited(7.0), Verdict.RATE_LIMITED, [("m", 7.0, "rate limited")], (1, 1.0)),
        (down(), Verdict.FAILURE, [], (1, 1.0)),
        (refused(), Verdict.FAILURE, [], (1, 1.0)),
        (UpstreamTimeout("slow"), Verdict.FAILURE, [], (1, 1.0)),
        (
            UpstreamOverloaded("x", retry_after=9.0),
            Verdict.FAILURE,
            [("", 9.0, "overloaded")],
            (1, 1.0),
        ),
    ],
)
def test_what_one_outcome_does(
    error: GatewayError | None,
    verdict: Verdict,
    bench: list[tuple[str, float, str]],
    samples: tuple[int, float],
) -> None:
    lane = lane_of("a", "b")
    assert settle(lane, error) is verdict
    elsewhere = bench if verdict in (Verdict.MODEL_MISSING, Verdict.MISCONFIGURED) else []
    assert benches(lane) == [bench, elsewhere]
    assert (lane.limiter.samples, lane.limiter.error_rate) == samples
    assert (lane.requests, lane.errors) == (1, error is not None)
    assert lane.last_error == ("" if error is None else error.message)


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (None, False),
        (bad_request(), False),
        (missing(), False),
        (bad_key(403), False),
        (bad_key(401), False),
        (limited(), False),
        (down(), True),
        (refused(), True),
    ],
)
def test_what_opens_the_circuit(error: GatewayError | None, opens: bool) -> None:
    lane = lane_of()
    settle(lane, *[error] * 30)
    assert circuits(lane) == ["open" if opens else "closed"]


@pytest.mark.parametrize("error", [None, bad_request(), missing(), bad_key(403)])
def test_what_closes_it(error: GatewayError | None) -> None:
    lane = lane_of()
    settle(lane, *[down()] * 5)
    settle(lane, error, now=NOW + 30)
    assert circuits(lane) == ["closed"]


@pytest.mark.parametrize("error", [limited(), bad_key(401)])
def test_what_says_nothing_of_the_circuit_leaves_it(error: GatewayError) -> None:
    lane = lane_of()
    settle(lane, *[down()] * 5)
    settle(lane, error, now=NOW + 30)
    assert circuits(lane, NOW + 30) == ["half-open"]
    lane = lane_of()
    settle(lane, *[down()] * 4, error, down())
    assert circuits(lane) == ["open"], "the row is not broken"


def test_a_dead_address_is_dead_for_all_its_credentials() -> None:
    lane = lane_of("a", "b", "c")
    for number in range(5):
        assert circuits(lane) == ["closed"] * 3
        settle(lane, refused(), credential=number % 3)
    assert circuits(lane) == ["open"] * 3
    settle(lane, refused(), credential=1, now=NOW + 40)
    assert circuits(lane, NOW + 60) == ["open"] * 3, "one probe for all of them, not one each"
    settle(lane, None, credential=2, now=NOW + 50)
    assert circuits(lane, NOW + 50) == ["half-open", "half-open", "closed"]


@pytest.mark.parametrize("keys", [1, 2, 10])
def test_many_credentials_open_no_circuit_sooner(keys: int) -> None:
    """A fifth of all fails, spread evenly: that is far from half, however many keys there are."""
    lane = lane_of(*[f"key-{number}" for number in range(keys)])
    for number in range(500):
        failed = number % 5 == 4
        settle(
            lane, down() if failed else None, credential=number % 7 % keys, now=NOW + number / 50
        )
        assert set(circuits(lane)) == {"closed"}


def test_one_bad_credential_does_not_condemn_the_others() -> None:
    lane = lane_of("a", "b")
    for number in range(60):
        settle(lane, down() if number % 2 else None, credential=number % 2)
    assert circuits(lane) == ["closed", "open"]


def test_rate_limits_are_per_credential_and_model() -> None:
    lane = lane_of("a", "b")
    settle(lane, limited(30.0))
    first, second = lane.credentials
    assert first.obstacle("m", NOW) == "rate limited, for 30 s more"
    assert first.obstacle("n", NOW) is None
    assert second.obstacle("m", NOW) is None


def test_an_exhausted_limit_holds_although_the_answer_was_a_success() -> None:
    """The headers that say so come with an answer, which is then counted as a success."""
    lane = lane_of("a")
    lane.exhausted(lane.credentials[0], "m", 20.0, NOW)
    settle(lane, None)
    assert benches(lane) == [[("m", 20.0, "rate limit used up")]]
    settle(lane, None, now=NOW + 5)
    assert benches(lane, NOW + 5) == [[("m", 15.0, "rate limit used up")]]


def test_retry_after_holds_although_others_under_way_are_answered() -> None:
    lane = lane_of("a")
    one = lane.credentials[0]
    lane.settle(one, "m", limited(60.0), seconds=0.1, now=NOW, began=NOW - 1)
    lane.settle(one, "m", None, seconds=2.0, now=NOW + 1, began=NOW - 1)
    assert one.cooldowns.left("m", NOW + 1)[0] == 59.0


def test_an_overload_lasts_as_long_as_the_upstream_says() -> None:
    lane = lane_of("a")
    settle(lane, UpstreamOverloaded("x", retry_after=60.0), None)
    settle(lane, None, now=NOW + 5)
    assert benches(lane, NOW + 5) == [[("", 55.0, "overloaded")]]


def test_a_burst_of_refusals_counts_once() -> None:
    lane = lane_of("a")
    one = lane.credentials[0]
    for number in range(50):
        lane.settle(one, "m", limited(), seconds=1.0, now=NOW + number / 100, began=NOW - 1)
    assert one.cooldowns.left("m", NOW + 0.49)[0] == pytest.approx(2.0)


def test_a_refused_credential_that_is_answered_is_well() -> None:
    lane = lane_of("a")
    settle(lane, bad_key())
    lane.settle(lane.credentials[0], "m", None, seconds=5.0, now=NOW + 1, began=NOW - 4)
    assert not lane.credentials[0].well(NOW + 1), "that one began before"
    settle(lane, None, now=NOW + 2)
    assert lane.credentials[0].well(NOW + 2)


def test_the_operator_hears_of_changes_only() -> None:
    site = Site(channel(keys=("a", "b")))
    lane = site.fleet.lane(1)
    for error in (bad_key(), limited(5.0), down()):
        settle(lane, *[error] * 8)
    assert site.told == [
        "c1: credential 1 is refused by the provider (bad key)",
        "c1: credential 1 is rate limited for 'm', 5 s",
        "c1: failing; left alone for 30 s (down)",
    ]


def test_a_check_that_succeeds_ends_what_was_guessed() -> None:
    site = Site(channel(keys=("a", "b")))
    lane = site.fleet.lane(1)
    settle(lane, bad_key(), *[down()] * 5)
    lane.credentials[0].cooldowns.bench("m", 60.0, NOW, "rate limited", stated=True)
    lane.probed(lane.credentials[0], None, NOW + 1)
    assert circuits(lane, NOW + 1) == ["half-open", "open"]
    assert benches(lane, NOW + 1)[0] == [("m", 59.0, "rate limited")]
    assert site.told[-1] == "c1: credential 1 is worth another try"
    lane.probed(lane.credentials[0], bad_key(), NOW + 1)
    assert benches(lane, NOW + 1)[0][1:] == [(EVERY_MODEL, 300.0, "credential refused")]


# Changes of the configuration.


def test_what_was_learned_outlives_a_change_of_priority() -> None:
    site = Site(channel(keys=("a", "b"), cooldown_seconds=0.0))
    lane = site.fleet.lane(1)
    settle(lane, *[None] * 12, *[down()] * 5, bad_key())
    lane.responded(0.3, NOW)
    lane.limiter.take()
    limit = lane.limiter.limit
    site.configure(channel(keys=("a", "b"), priority=7, cooldown_seconds=0.0))
    assert site.fleet.lane(1) is lane
    assert lane.channel.priority == 7
    assert circuits(lane) == ["open", "open"]
    assert benches(lane)[0] == [("", 300.0, "credential refused")]
    assert (lane.latency(NOW), lane.limiter.samples) == (0.3, 17)
    assert (lane.limiter.limit, lane.limiter.in_flight) == (limit, 1)


@pytest.mark.parametrize("change", ["url", "proxy"])
def test_another_address_is_another_beginning(change: str) -> None:
    site = Site(channel(keys=("a",), cooldown_seconds=0.0))
    lane = site.fleet.lane(1)
    old = lane.credentials[0]
    settle(lane, *[None] * 12, bad_key(), *[down()] * 4)
    lane.responded(0.3, NOW)
    assert lane.limiter.take()
    moved = {"url": "http://elsewhere.test"} if change == "url" else {"proxy_url": "p"}
    site.configure(channel(keys=("a",), cooldown_seconds=0.0, **moved))
    assert (circuits(lane), benches(lane), lane.latency(NOW)) == (["closed"], [[]], None)
    assert (lane.limiter.limit, lane.limiter.samples, lane.limiter.in_flight) == (1, 0, 1)
    settle(lane, down())
    assert circuits(lane) == ["closed"], "the row was broken, too"
    for _ in range(20):  # what was under way to the old one says nothing of the new
        lane.settle(old, "m", down(), seconds=1.0, now=NOW)
    assert (circuits(lane), lane.limiter.samples) == (["closed"], 1)
    assert lane.requests == 38


def test_credentials_keep_their_health_wherever_they_stand() -> None:
    site = Site(channel(keys=("a", "b", "c")))
    lane = site.fleet.lane(1)
    settle(lane, bad_key(), credential=1)
    site.configure(channel(keys=("new", "b", "a")))
    assert [one.number for one in lane.credentials] == [1, 2, 3]
    assert [len(listed) for listed in benches(lane)] == [0, 1, 0]
    site.configure(channel(keys=("b", "b")))
    one, two = lane.credentials
    assert one is not two
    assert (one.number, two.number) == (1, 2)
    assert [len(listed) for listed in benches(lane)] == [1, 0]
    site.configure(channel(keys=()))
    assert [one.number for one in lane.credentials] == [0]


def test_whoever_mends_how_a_model_is_asked_for_sees_it_at_once() -> None:
    site = Site(channel(keys=("a",)))
    lane = site.fleet.lane(1)
    settle(lane, missing())
    lane.credentials[0].cooldowns.bench("n", 60.0, NOW, "rate limited", stated=True)
    site.configure(channel(keys=("a",), weight=2))
    assert len(benches(lane)[0]) == 2
    site.configure(channel(keys=("a",), weight=2, aliases={"m": "right-name"}))
    assert benches(lane) == [[("n", 60.0, "rate limited")]]


def test_channels_that_are_gone_are_forgotten() -> None:
    site = Site(channel(1), channel(2))
    gone = site.fleet.lane(2)
    assert gone.limiter.take()
    site.configure(channel(1))
    with pytest.raises(KeyError):
        site.fleet.lane(2)
    gone.limiter.give_back()
    site.configure(channel(1), channel(2))
    assert site.fleet.lane(2) is not gone


def test_latency_is_smoothed_and_forgotten_after_a_minute() -> None:
    lane = lane_of()
    assert lane.latency(NOW) is None
    lane.responded(1.0, NOW)
    assert lane.latency(NOW + 60) == 1.0
    lane.responded(2.0, NOW + 60)
    assert lane.latency(NOW + 60) == pytest.approx(1.2)
    assert lane.latency(NOW + 120.1) is None
    lane.responded(9.0, NOW + 121)
    assert lane.latency(NOW + 121) == 9.0, "what was forgotten is not averaged with"


def test_a_reset_forgives_everything() -> None:
    lane = lane_of("a", "b")
    settle(lane, bad_key(), *[down()] * 5)
    lane.reset()
    assert (circuits(lane), benches(lane)) == (["closed"] * 2, [[], []])
    settle(lane, refused(), credential=1)
    assert circuits(lane) == ["closed"] * 2


def test_the_snapshot_tells_it_all() -> None:
    lane = lane_of("a", "b")
    settle(lane, None, down(), *[bad_key()], credential=1)
    lane.limiter.take()
    lane.responded(0.25, NOW)
    state = lane.snapshot(NOW)
    assert (state.mode, state.current_limit, state.in_flight, state.waiting) == (
        "adaptive",
        1,
        1,
        0,
    )
    assert (state.total_requests, state.total_errors, state.last_error) == (3, 2, "bad key")
    assert (state.sample_count, state.error_rate, state.avg_response_time) == (2, 0.5, 0.5)
    assert state.time_to_first_content == 0.25
    assert state.healthy
    assert [one.well for one in state.credentials] == [True, False]
    settle(lane, bad_key())
    assert not lane.snapshot(NOW).healthy
