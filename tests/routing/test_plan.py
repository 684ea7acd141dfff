"""One request's way through its candidates."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    UpstreamMisconfigured,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from dragoman.canonical.secret import Secret
from dragoman.routing.affinity import Place
from dragoman.routing.plan import Plan, Slot
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


def fill(site: Site, *channel_ids: int) -> None:
    """Use up every place of these channels."""
    for channel_id in channel_ids:
        while site.fleet.lane(channel_id).limiter.take():
            pass


def roomy() -> Site:
    """Two tiers of one channel each, with places for many."""
    return Site(channel(1, max_concurrency=9), channel(2, max_concurrency=9, priority=2))


def slot_of(site: Site, plan: Plan) -> Slot:
    slot = site.pick(plan)
    assert slot is not None
    return slot


def first(site: Site, **fields: object) -> int:
    """Where a request goes that is answered at once."""
    slot = slot_of(site, site.plan(**fields))  # type: ignore[arg-type]
    slot.close(None, site.now)
    return slot.channel.id


def skipped(plan: Plan) -> dict[int, str]:
    return {one.id: why for one, why in plan.passed_over()}


# Failures.


@pytest.mark.row("S2-45")
@pytest.mark.parametrize("error", [down(), refused(), missing(), UpstreamTimeout("slow")])
def test_a_failed_channel_is_dismissed_with_all_its_credentials(error: GatewayError) -> None:
    site = Site(channel(1, keys=("a", "b")), channel(2, priority=2))
    assert site.walk(site.plan(), *[error] * 5) == [(1, 1), (2, 0)]


@pytest.mark.row("S2-45")
@pytest.mark.parametrize("error", [bad_key(401), bad_key(402), bad_key(403), limited(), limited(9)])
def test_where_the_credential_failed_another_is_tried_first(error: GatewayError) -> None:
    site = Site(channel(1, keys=("a", "b", "c")), channel(2, priority=2))
    assert site.walk(site.plan(), *[error] * 5) == [(1, 1), (1, 2), (1, 3), (2, 0)]


def test_a_channel_failure_after_a_credentials_dismisses_it() -> None:
    site = Site(channel(1, keys=("a", "b", "c")), channel(2, priority=2))
    assert site.walk(site.plan(), bad_key(), down(), down()) == [(1, 1), (1, 2), (2, 0)]


def test_nothing_is_tried_twice() -> None:
    site = Site(*[channel(id, keys=("a", "b")) for id in range(1, 6)])
    plan = site.plan()
    tried = site.walk(plan, *[bad_key()] * 50)
    assert len(tried) == len(set(tried)) == 10
    assert not plan.left
    assert plan.full == []


def test_excused_is_not_dismissed() -> None:
    site = Site(channel(1), channel(2, priority=2))
    plan = site.plan()
    slot = slot_of(site, plan)
    verdict = slot.close(down(), site.now, excused=True)
    assert verdict is Verdict.UNTOUCHED
    plan.failed(slot, down(), verdict, excused=True)
    assert slot_of(site, plan).channel.id == 1
    assert site.fleet.lane(1).requests == 0


def test_what_cannot_be_said_in_one_protocol_may_be_in_another() -> None:
    site = Site(channel(1), channel(2, priority=2))
    error = NotTranslatable("logit_bias")
    assert site.walk(site.plan(), error, error) == [(1, 0), (2, 0)]
    assert site.fleet.lane(1).requests == 0, "nothing was sent"


@pytest.mark.row("S2-45")
def test_without_fallback_one_channel_is_tried() -> None:
    site = Site(channel(1, keys=("a", "b")), channel(2), channel(3, priority=2))
    plan = site.plan(fallback=False)
    assert site.walk(plan, bad_key(), bad_key(), bad_key()) == [(1, 1), (1, 2)]
    assert skipped(plan) == dict.fromkeys((2, 3), "fallback is switched off")
    assert site.walk(site.plan(fallback=False), down(), down()) == [(2, 0)]


def test_without_fallback_the_one_is_chosen_as_ever() -> None:
    site = Site(channel(1, max_concurrency=1), channel(2, priority=2))
    fill(site, 1)
    assert site.walk(site.plan(fallback=False), down(), down()) == [(2, 0)]


# Credentials.


@pytest.mark.parametrize("count", [2, 3, 5])
def test_credentials_take_turns(count: int) -> None:
    keys = tuple(f"key-{number}" for number in range(count))
    site = Site(channel(1, keys=keys))
    turns = [slot_of(site, site.plan()) for _ in range(1)]
    turns[0].close(None, site.now)
    seen = []
    for _ in range(2 * count):
        slot = slot_of(site, site.plan())
        seen.append(slot.credential.number)
        slot.close(None, site.now)
    assert seen == [number % count + 1 for number in range(1, 2 * count + 1)]


def test_they_take_turns_in_a_full_channel_too() -> None:
    """Where every request waits for its place, it looks at the credentials twice."""
    site = Site(channel(1, keys=("a", "b"), max_concurrency=1))
    slot = slot_of(site, site.plan())
    seen = []
    for _ in range(6):
        plan = site.plan()
        assert site.pick(plan) is None
        slot.close(None, site.now)
        assert site.fleet.lane(1).limiter.take()
        slot = plan.granted(plan.full[0], site.now)
        seen.append(slot.credential.number)
    assert seen == [2, 1] * 3


def test_a_benched_credential_is_passed_over_in_turn() -> None:
    site = Site(channel(1, keys=("a", "b", "c")))
    lane = site.fleet.lane(1)
    lane.credentials[1].cooldowns.bench("m", 60.0, site.now, "rate limited")
    seen = [site.walk(site.plan(), down())[0][1] for _ in range(4)]
    assert seen == [1, 3, 1, 3]
    lane.credentials[0].cooldowns.bench("", 60.0, site.now, "credential refused")
    assert site.walk(site.plan(), down()) == [(1, 3)]


def test_a_request_that_outlives_a_change_keeps_its_address_and_its_secret() -> None:
    """The new secret must never reach the old address."""
    site = Site(channel(1, keys=("old",)), channel(2, keys=("x", "y"), priority=2))
    plan = site.plan()
    site.configure(channel(1, keys=("new",), url="http://new.test"), channel(2, keys=("y", "z")))
    slot = slot_of(site, plan)
    assert (slot.credential.secret, slot.channel.endpoints[0].base_url) == (
        Secret("old"),
        "http://x.test",
    )
    slot.responded(site.now)
    site.fail(plan, slot, down())
    lane = site.fleet.lane(1)
    assert (lane.credentials[0].circuit.closed, lane.limiter.samples) == (True, 0)
    assert lane.latency(site.now) is None
    secrets = []
    while (slot_or_none := site.pick(plan)) is not None:
        secrets.append(slot_or_none.credential.secret)
        site.fail(plan, slot_or_none, bad_key())
    assert secrets == [Secret("x"), Secret("y")]
    assert lane.limiter.in_flight == site.fleet.lane(2).limiter.in_flight == 0
    assert site.fleet.lane(2).credentials[0].obstacle("m", site.now), "y is in use still"


# Places.


def test_a_full_tier_gives_way_to_the_next() -> None:
    site = Site(
        channel(1, max_concurrency=1), channel(2, max_concurrency=2), channel(3, priority=2)
    )
    slots = [slot_of(site, site.plan()) for _ in range(4)]
    assert sorted(slot.channel.id for slot in slots) == [1, 2, 2, 3]
    slots[0].close(None, site.now)
    assert slot_of(site, site.plan()).channel.id == slots[0].channel.id


def test_when_all_are_full_all_are_waited_for() -> None:
    site = Site(channel(1, max_concurrency=1), channel(2, max_concurrency=1, priority=2))
    fill(site, 1, 2)
    plan = site.plan()
    assert site.pick(plan) is None
    assert [option.channel.id for option in plan.full] == [1, 2]
    assert skipped(plan) == {
        1: "full: 1 of 1 places in use",
        2: "full: 1 of 1 places in use",
    }


def test_what_failed_is_not_waited_for() -> None:
    site = Site(channel(1, max_concurrency=1), channel(2, max_concurrency=1, priority=2))
    plan = site.plan()
    site.fail(plan, slot_of(site, plan), down())
    fill(site, 1, 2)
    assert site.pick(plan) is None
    assert [option.channel.id for option in plan.full] == [2]


def test_who_is_well_is_waited_for_rather_than_asking_the_ill() -> None:
    site = Site(channel(1, max_concurrency=1), channel(2))
    fill(site, 1)
    site.open_circuit(2)
    plan = site.plan()
    assert site.pick(plan) is None
    assert [option.channel.id for option in plan.full] == [1]


def test_a_channel_that_falls_ill_while_it_is_waited_for_gives_way() -> None:
    site = Site(channel(1, max_concurrency=1), channel(2, max_concurrency=1, priority=2))
    fill(site, 1, 2)
    plan = site.plan()
    assert site.pick(plan) is None
    site.open_circuit(1)
    site.fleet.lane(2).limiter.give_back()
    site.fleet.lane(1).limiter.give_back()
    assert site.fleet.lane(1).limiter.take()  # as the queue does for who waits
    slot = plan.granted(plan.full[0], site.now)
    assert slot.channel.id == 2
    assert site.fleet.lane(1).limiter.in_flight == 0, "the place is not kept"
    fill(site, 1)
    late = site.plan()
    assert site.pick(late) is None
    site.open_circuit(2)
    granted = late.granted(late.options[0], site.now)
    assert granted.channel.id == 1, "no other is well: the place is used"


# The ill.


def test_the_ill_come_last_whatever_their_priority() -> None:
    site = Site(channel(1), channel(2, priority=2), channel(3, priority=3))
    site.open_circuit(1)
    site.fleet.lane(2).credentials[0].cooldowns.bench("m", 60.0, site.now, "rate limited")
    plan = site.plan()
    assert slot_of(site, plan).channel.id == 3
    assert skipped(plan) == {
        1: "circuit open for 30 s more",
        2: "rate limited, for 60 s more",
    }


def test_the_last_remaining_candidate_is_never_benched() -> None:
    site = Site(channel(1))
    for _ in range(20):
        assert site.walk(site.plan(), down()) == [(1, 0)]
    site = Site(channel(1, keys=("a",)))
    for _ in range(20):
        assert site.walk(site.plan(), bad_key()) == [(1, 1)]


def test_of_the_ill_the_one_that_is_well_soonest_comes_first() -> None:
    site = Site(channel(1, keys=("a", "b")), channel(2), channel(3))
    for channel_id, number, seconds in ((1, 0, 90.0), (1, 1, 40.0), (2, 0, 50.0), (3, 0, 60.0)):
        one = site.fleet.lane(channel_id).credentials[number]
        one.cooldowns.bench("m", seconds, site.now, "rate limited")
    assert site.walk(site.plan(), *[bad_key()] * 9) == [(1, 2), (2, 0), (3, 0), (1, 1)]


def test_the_ill_without_a_place_are_waited_for() -> None:
    site = Site(channel(1, max_concurrency=1))
    site.open_circuit(1)
    fill(site, 1)
    plan = site.plan()
    assert site.pick(plan) is None
    assert [option.channel.id for option in plan.full] == [1]
    site.fleet.lane(1).limiter.give_back()
    assert site.fleet.lane(1).limiter.take()
    assert plan.granted(plan.full[0], site.now).channel.id == 1


def test_one_probe_at_a_time() -> None:
    site = roomy()
    site.open_circuit(1)
    assert first(site) == 2
    site.now += 30
    probe = slot_of(site, site.plan())
    assert probe.channel.id == 1
    plan = site.plan()
    assert slot_of(site, plan).channel.id == 2
    assert skipped(plan) == {1: "being probed"}
    probe.close(None, site.now, excused=True)  # its client has left
    again = slot_of(site, site.plan())
    assert again.channel.id == 1
    again.close(down(), site.now)
    assert first(site) == 2
    site.now += 30
    good = slot_of(site, site.plan())
    assert good.channel.id == 1
    good.close(None, site.now)
    assert first(site) == first(site) == 1


def test_a_rate_limited_straggler_lets_no_second_probe_pass() -> None:
    site = roomy()
    straggler = slot_of(site, site.plan())
    site.open_circuit(1)
    site.now += 30
    probe = slot_of(site, site.plan())
    assert probe.channel.id == 1
    straggler.close(limited(), site.now)
    site.now += 10  # its bench is over
    assert slot_of(site, site.plan()).channel.id == 2
    probe.close(limited(), site.now)
    site.now += 10
    assert slot_of(site, site.plan()).channel.id == 1


def test_first_content_closes_the_circuit_however_long_the_answer_gets() -> None:
    site = roomy()
    site.open_circuit(1)
    site.now += 30
    probe = slot_of(site, site.plan())
    site.now += 1
    probe.responded(site.now)
    assert first(site) == 1
    site.now += 600
    probe.close(None, site.now)
    lane = site.fleet.lane(1)
    assert lane.limiter.mean_seconds == pytest.approx((5 * 0.1 + 1.0 + 0.0) / 7)
    assert lane.latency(site.now - 600) == 1.0


def test_a_place_is_given_back_once() -> None:
    site = Site(channel(1))
    slot = slot_of(site, site.plan())
    slot.close(None, site.now)
    with pytest.raises(AssertionError):
        slot.close(None, site.now)
    assert site.fleet.lane(1).limiter.in_flight == 0


# Affinity.


def test_a_session_goes_first_within_its_tier() -> None:
    site = Site(channel(1), channel(2), channel(3), channel(4, priority=2))
    for _ in range(5):
        plan = site.plan(prefer=Place(2, 0))
        assert plan.options[0].channel.id == 2
        assert sorted(option.channel.id for option in plan.options[:3]) == [1, 2, 3]
        assert plan.affinity == "session: c2"
    assert first(site, prefer=Place(4, 0)) in (1, 2, 3), "a better tier goes before"
    gone = site.plan(prefer=Place(9, 0))
    assert gone.affinity == ""
    assert slot_of(site, gone)


def test_a_stored_answer_goes_before_everything_and_is_waited_for() -> None:
    site = Site(channel(1), channel(2, priority=2, max_concurrency=1))
    plan = site.plan(prefer=Place(2, 0), pinned=True)
    slot = slot_of(site, plan)
    assert slot.channel.id == 2
    waiting = site.plan(prefer=Place(2, 0), pinned=True)
    assert site.pick(waiting) is None
    assert [option.channel.id for option in waiting.full] == [2], "nobody else has the answer"
    slot.close(None, site.now)
    site.open_circuit(2)
    assert first(site, prefer=Place(2, 0), pinned=True) == 1, (
        "but if it is ill, the others are asked"
    )


def test_a_session_keeps_its_credential_and_takes_nobodys_turn() -> None:
    site = Site(channel(1, keys=("a", "b", "c")))
    free = []
    for _ in range(6):
        assert site.walk(site.plan(prefer=Place(1, 2)), bad_request()) == [(1, 2)]
        free += site.walk(site.plan(), bad_request())
    assert free == [(1, 1), (1, 2), (1, 3)] * 2
    lane = site.fleet.lane(1)
    lane.credentials[1].cooldowns.bench("m", 60.0, site.now, "rate limited")
    assert site.walk(site.plan(prefer=Place(1, 2)), bad_request()) == [(1, 3)]


def test_an_ill_or_full_place_of_a_session_gives_way() -> None:
    site = Site(channel(1), channel(2, max_concurrency=1))
    fill(site, 2)
    assert first(site, prefer=Place(2, 0)) == 1
    site.fleet.lane(2).limiter.give_back()
    site.open_circuit(2)
    assert first(site, prefer=Place(2, 0)) == 1


# Repeats.


def repeat(error: GatewayError, times: int = 1, **fields: object) -> list[float | None]:
    site = Site(channel(1, **fields))
    plan = site.plan()
    slot = slot_of(site, plan)
    return [plan.repeat(slot, error, lambda: 0.5) for _ in range(times)]


@pytest.mark.row("S2-41")
@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_request_is_repeated_as_often_as_max_retries_says(most: int) -> None:
    waits = repeat(down(), 5, max_retries=most)
    assert [wait is not None for wait in waits] == [True] * most + [False] * (5 - most)


def test_after_a_pause_with_full_jitter() -> None:
    assert repeat(down(), 3) == [0.125, 0.25, 0.5]


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(None, 0.125), (0.0, 0.125), (0.1, 0.125), (7.0, 7.0), (10.0, 10.0)]
)
def test_retry_after_is_respected(retry_after: float | None, wait: float) -> None:
    assert repeat(limited(retry_after)) == [wait]


def test_but_not_when_it_is_longer_than_ten_seconds() -> None:
    assert repeat(limited(10.1)) == [None]


@pytest.mark.parametrize(
    "error",
    [bad_key(), bad_request(), missing(), UpstreamTimeout("slow"), NotTranslatable("x"), down(200)],
)
def test_what_would_come_out_the_same_is_not_repeated(error: GatewayError) -> None:
    assert repeat(error) == [None]


# What the client is told.

OVERLOADED = UpstreamOverloaded("busy", upstream_status=503)
WRONG = UpstreamMisconfigured("no such endpoint", upstream_status=404)


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([down(), limited(5), refused()], "slow down"),
        ([OVERLOADED, down()], "busy"),
        ([bad_key(), down(), missing()], "down"),
        ([bad_key(), missing()], "no such model"),
        ([bad_key(), WRONG], "no such endpoint"),
        ([down(), NotTranslatable("lossy")], "down"),
        ([missing(), NotTranslatable("lossy")], "lossy"),
        ([bad_key()], "bad key"),
        ([down(), refused()], "refused"),
        ([limited(5), bad_request()], "bad"),
    ],
)
def test_the_error_that_helps_most(errors: list[GatewayError], told: str) -> None:
    site = Site(*[channel(id) for id in range(1, 5)])
    plan = site.plan()
    assert len(site.walk(plan, *errors)) == len(errors)
    assert plan.verdict().message == told


@pytest.mark.parametrize(
    ("waits", "told"), [([30.0, 5.0, 60.0], 5.0), ([None, 8.0], 8.0), ([None, None], None)]
)
def test_the_smallest_retry_after_of_all(waits: list[float | None], told: float | None) -> None:
    site = Site(*[channel(id) for id in range(1, 5)])
    plan = site.plan()
    site.walk(plan, *[limited(wait) for wait in waits])
    assert plan.verdict().retry_after == told


def test_the_log_is_told_of_everybody_who_was_not_asked() -> None:
    site = Site(channel(1), channel(2), channel(3, priority=2), channel(4, priority=3))
    order = site.table.order("m", site.now, lambda c: c.id != 4)
    plan = Plan(order)
    site.open_circuit(1)
    slot = slot_of(site, plan)
    assert slot.channel.id == 2
    slot.close(None, site.now)
    assert skipped(plan) == {
        1: "circuit open for 30 s more",
        3: "not needed",
        4: "the key may not use it",
    }, "the one that answered is not among them"
