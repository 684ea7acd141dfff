"""Waiting, repeating and giving back, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from dragoman.canonical.errors import (
    GatewayError,
    InvalidRequest,
    NotTranslatable,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
)
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.journey import Attempt, Journey
from dragoman.engine.tasks import spawn
from dragoman.routing.affinity import Place
from dragoman.routing.channel import Channel
from dragoman.routing.plan import Plan
from dragoman.routing.verdict import DISCONNECTED
from tests.engine.virtual_time import run
from tests.routing.support import Site, bad_key, bad_request, channel, down, limited, missing

Behaviour = Callable[[Attempt, Journey], Awaitable[None]]


class Gateway:
    """A dispatcher over channels that behave as ``behaviour`` says, one coroutine per attempt."""

    def __init__(self, behaviour: Behaviour, *channels: Channel, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.dice = random.Random(settings.pop("seed", 1))
        self.site = Site(*channels, now=0.0)
        self.behaviour = behaviour
        self.dispatcher = Dispatcher(clock=loop.time, random=self.dice.random, **settings)
        self.journeys: list[Journey] = []
        self.asked: list[tuple[str, int]] = []

    def begin(self, name: str = "", **plan: Any) -> asyncio.Task[Journey]:
        """Start a request."""
        return spawn(self.go(name, **plan), name)

    async def go(self, name: str = "", **plan: Any) -> Journey:
        """One request; raises as the dispatcher does."""
        journey = Journey(id=name, protocol="openai_chat", started=now())
        journey.sessions = plan.pop("sessions", [])
        self.journeys.append(journey)

        async def ask(attempt: Attempt) -> None:
            self.asked.append((name, attempt.channel.id))
            await self.behaviour(attempt, journey)
            journey.committed = True
            self.dispatcher.first_content(attempt, journey)

        self.site.now = now()
        order = self.site.table.order("m", now())
        await self.dispatcher.first_that_answers(journey, Plan(order, **plan), ask)
        return journey

    def assert_at_rest(self) -> None:
        """Everything that was taken has been given back."""
        for lane in self.site.fleet.lanes():
            assert (lane.limiter.in_flight, lane.limiter.waiting) == (0, 0)
            for one in lane.credentials:
                assert not one.circuit._probe
        assert (self.dispatcher.budget.live, self.dispatcher.budget.repeats) == (0, 0)


def now() -> float:
    return asyncio.get_running_loop().time()


def takes(seconds: float) -> Behaviour:
    """Answer after ``seconds``."""

    async def behave(attempt: Attempt, journey: Journey) -> None:
        await asyncio.sleep(seconds)

    return behave


def fails(*errors: GatewayError | None, seconds: float = 0.1) -> Behaviour:
    """Fail with each of these in turn, whoever asks; None is an answer."""
    left = list(errors)

    async def behave(attempt: Attempt, journey: Journey) -> None:
        await asyncio.sleep(seconds)
        error = left.pop(0) if left else None
        if error is not None:
            raise copy.copy(error)

    return behave


def tried(journey: Journey) -> list[int]:
    return [attempt.channel.id for attempt in journey.attempts]


def unavailable(task: asyncio.Task[Journey]) -> Unavailable:
    error = task.exception()
    assert isinstance(error, Unavailable)
    return error


# The fair queue.


def test_places_go_to_those_who_came_first() -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=2))
        tasks = []
        for number in range(8):
            tasks.append(gateway.begin(str(number)))
            await asyncio.sleep(0.01)
        await asyncio.sleep(2.0)  # some have been served, some wait: these must wait behind them
        tasks += [gateway.begin(f"late {number}") for number in range(2)]
        await asyncio.gather(*tasks)
        assert [name for name, _ in gateway.asked] == [*"01234567", "late 0", "late 1"]
        assert gateway.journeys[7].queued == pytest.approx(2.95, abs=0.02)
        gateway.assert_at_rest()

    run(main())


def test_a_queue_that_is_too_long_refuses_at_once() -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=1), queue_limit=2)
        tasks = [gateway.begin(str(number)) for number in range(4)]
        await asyncio.sleep(0.001)
        assert tasks[3].done()
        error = unavailable(tasks[3])
        assert (error.status, error.code, error.retry_after) == (503, "channels_busy", 1)
        assert "c1 (1)" in error.message
        await asyncio.gather(*tasks[:3])
        gateway.assert_at_rest()

    run(main())


@pytest.mark.parametrize("settings", [{"queue_limit": 0}, {"queue_seconds": 0.0}])
def test_without_a_queue_nobody_waits(settings: dict[str, Any]) -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=1), **settings)
        first, second = gateway.begin(), gateway.begin()
        await asyncio.sleep(0.001)
        assert unavailable(second).code == "channels_busy"
        await first
        gateway.assert_at_rest()

    run(main())


def test_a_queue_that_does_not_move_refuses_in_time() -> None:
    async def main() -> None:
        gateway = Gateway(takes(60.0), channel(max_concurrency=1), queue_seconds=10.0)
        first, second = gateway.begin(), gateway.begin()
        with pytest.raises(Unavailable) as caught:
            await second
        assert now() == pytest.approx(10.0)
        assert caught.value.code == "channels_busy"
        assert caught.value.retry_after == 1
        assert gateway.journeys[1].queued == pytest.approx(10.0)
        await first
        gateway.assert_at_rest()

    run(main())


def test_who_waits_at_several_channels_takes_the_first_place_and_no_other() -> None:
    async def behave(attempt: Attempt, journey: Journey) -> None:
        await asyncio.sleep({1: 5.0, 2: 2.0}[attempt.channel.id])

    async def main() -> None:
        channels = [channel(id, priority=id, max_concurrency=1) for id in (1, 2)]
        gateway = Gateway(behave, *channels)
        tasks = [gateway.begin(str(number)) for number in range(4)]
        await asyncio.gather(*tasks)
        assert gateway.asked == [("0", 1), ("1", 2), ("2", 2), ("3", 2)]
        gateway.assert_at_rest()

    run(main())


def test_a_full_channel_makes_room_for_the_next_tier() -> None:
    async def main() -> None:
        channels = [channel(id, priority=id, max_concurrency=1) for id in (1, 2)]
        gateway = Gateway(takes(1.0), *channels)
        await asyncio.gather(*[gateway.begin(str(number)) for number in range(2)])
        assert gateway.asked == [("0", 1), ("1", 2)]
        assert now() == pytest.approx(1.0)

    run(main())


def test_the_queue_time_is_for_the_whole_request() -> None:
    """Who waited eight seconds and failed has two left."""

    async def behave(attempt: Attempt, journey: Journey) -> None:
        if journey.id == "unlucky":
            raise down()
        await asyncio.sleep({1: 8.0, 2: 100.0}[attempt.channel.id])

    async def main() -> None:
        channels = [channel(id, priority=id, max_concurrency=1, max_retries=0) for id in (1, 2)]
        gateway = Gateway(behave, *channels)
        others = [gateway.begin("1"), gateway.begin("2")]
        await asyncio.sleep(0)
        with pytest.raises(UpstreamFailed, match="down"):  # says more than that the other is full
            await gateway.begin("unlucky")
        assert now() == pytest.approx(10.0)
        await asyncio.gather(*others)
        gateway.assert_at_rest()

    run(main())


# Leaving.


def test_who_leaves_the_queue_is_not_waited_for() -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=1))
        tasks = [gateway.begin(str(number)) for number in range(3)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        await asyncio.gather(tasks[0], tasks[2])
        assert [name for name, _ in gateway.asked] == ["0", "2"]
        assert now() == pytest.approx(2.0)
        gateway.assert_at_rest()

    run(main())


@pytest.mark.parametrize("others", [0, 1])
def test_who_leaves_at_the_moment_of_the_grant_gives_the_place_back(others: int) -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=1))
        limiter = gateway.site.fleet.lane(1).limiter
        assert limiter.take()
        leaver = gateway.begin("leaver")
        rest = [gateway.begin("other") for _ in range(others)]
        await asyncio.sleep(0.1)
        limiter.give_back()
        assert limiter.in_flight == 1, "granted, though the waiter does not know yet"
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        await asyncio.gather(*rest)
        assert [name for name, _ in gateway.asked] == ["other"] * others
        gateway.assert_at_rest()

    run(main())


@pytest.mark.parametrize("moment", [9.999, 10.0, 10.001])
def test_a_place_that_comes_as_the_patience_ends_is_used_or_given_back(moment: float) -> None:
    async def main() -> None:
        gateway = Gateway(takes(1.0), channel(max_concurrency=1))
        limiter = gateway.site.fleet.lane(1).limiter
        assert limiter.take()
        asyncio.get_running_loop().call_at(moment, limiter.give_back)
        with contextlib.suppress(Unavailable):
            await gateway.begin()
        await asyncio.sleep(1)
        gateway.assert_at_rest()
        assert len(gateway.asked) <= 1

    run(main())


def test_a_client_that_leaves_under_way_gives_everything_back() -> None:
    """Its place, the half-open circuit's probe and its share of the retry budget; and nobody is
    blamed."""

    async def behave(attempt: Attempt, journey: Journey) -> None:
        if attempt.channel.id == 1:
            raise down()
        await asyncio.sleep(60)

    async def main() -> None:
        gateway = Gateway(behave, channel(1), channel(2, priority=2))
        gateway.site.open_circuit(2)
        probed = gateway.site.fleet.lane(2).credentials[0].circuit
        await asyncio.sleep(30)
        task = gateway.begin()
        await asyncio.sleep(1)
        journey = gateway.journeys[0]
        assert tried(journey) == [1, 2]
        assert journey.repeating
        assert not probed.allows(now())
        samples = gateway.site.fleet.lane(2).limiter.samples
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gateway.assert_at_rest()
        assert probed.allows(now()), "the next one may find out"
        assert gateway.site.fleet.lane(2).limiter.samples == samples
        assert journey.attempts[1].verdict == "no judgement"

    run(main())


@pytest.mark.parametrize("moment", [0.15, 0.3])
def test_who_leaves_during_a_pause_gives_everything_back(moment: float) -> None:
    async def main() -> None:
        gateway = Gateway(fails(limited(5.0)), channel())
        task = gateway.begin()
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gateway.assert_at_rest()

    run(main())


def test_an_unexpected_failure_gives_everything_back() -> None:
    async def broken(attempt: Attempt, journey: Journey) -> None:
        raise ZeroDivisionError

    async def wrong(attempt: Attempt, journey: Journey) -> None:
        raise InvalidRequest("found while encoding")

    async def main() -> None:
        for behaviour, error in ((broken, ZeroDivisionError), (wrong, InvalidRequest)):
            gateway = Gateway(behaviour, channel(1), channel(2))
            with pytest.raises(error):
                await gateway.go()
            assert tried(gateway.journeys[0]) == [1], "another channel would say the same"
            assert gateway.site.fleet.lane(1).requests == 0
            gateway.assert_at_rest()
        gateway = Gateway(takes(0), channel(1))
        gateway.site.configure(msgspec.structs.replace(channel(1), endpoints=()))
        with pytest.raises(IndexError):
            await gateway.go()
        gateway.assert_at_rest()

    run(main())


# Attempts.


def test_the_next_channel_answers() -> None:
    async def main() -> None:
        gateway = Gateway(fails(down(), bad_key()), *[channel(id) for id in (1, 2, 3)])
        journey = await gateway.go(sessions=["s"])
        assert tried(journey) == [1, 2, 3]
        assert [one.verdict for one in journey.attempts] == [
            "failure",
            "credential refused",
            "success",
        ]
        assert journey.failure is None
        assert gateway.dispatcher.affinity.find("s", now()) == Place(3, 0)
        gateway.assert_at_rest()

    run(main())


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_at_most_three_attempts(channels: int) -> None:
    async def main() -> None:
        gateway = Gateway(
            fails(*[down()] * 99), *[channel(id, max_retries=9) for id in range(channels)]
        )
        with pytest.raises(UpstreamFailed):
            await gateway.go(sessions=["s"])
        journey = gateway.journeys[0]
        assert len(journey.attempts) == 3
        assert len(set(tried(journey))) == min(channels, 3)
        assert journey.failure is not None
        assert gateway.dispatcher.affinity.find("s", now()) is None
        gateway.assert_at_rest()

    run(main())


def test_the_request_itself_at_fault_ends_it() -> None:
    async def main() -> None:
        gateway = Gateway(fails(bad_request()), channel(1), channel(2))
        with pytest.raises(UpstreamError, match="bad"):
            await gateway.go()
        assert tried(gateway.journeys[0]) == [1]

    run(main())


def test_after_the_commit_nothing_is_tried_again_and_the_last_word_counts() -> None:
    """The client has half an answer: that an earlier candidate was rate limited is not its matter."""

    async def behave(attempt: Attempt, journey: Journey) -> None:
        if attempt.channel.id == 1:
            raise limited(5.0)
        journey.committed = True
        raise UpstreamBroken("cut")

    async def main() -> None:
        gateway = Gateway(behave, *[channel(id) for id in (1, 2, 3)])
        with pytest.raises(UpstreamBroken, match="cut"):
            await gateway.go()
        journey = gateway.journeys[0]
        assert tried(journey) == [1, 2]
        assert isinstance(journey.failure, UpstreamBroken)
        gateway.assert_at_rest()

    run(main())


def closed() -> UpstreamFailed:
    return UpstreamFailed("closed", code=DISCONNECTED)


def test_a_stale_connection_is_excused_once() -> None:
    async def main() -> None:
        gateway = Gateway(fails(closed()), channel(1), channel(2, priority=2))
        journey = await gateway.go()
        assert tried(journey) == [1, 1]
        lane = gateway.site.fleet.lane(1)
        assert (lane.requests, lane.errors, lane.limiter.error_rate) == (1, 0, 0.0)

        gateway = Gateway(fails(closed(), closed()), channel(1), channel(2, priority=2))
        journey = await gateway.go()
        assert tried(journey) == [1, 1, 2]
        lane = gateway.site.fleet.lane(1)
        assert (lane.requests, lane.errors) == (1, 1)

        gateway = Gateway(fails(closed(), down(), closed()), *[channel(id) for id in (1, 2, 3)])
        with pytest.raises(UpstreamFailed):
            await gateway.go()
        assert tried(gateway.journeys[0]) == [1, 1, 2]
        assert gateway.site.fleet.lane(2).errors == 1, "once in a request, wherever"

    run(main())


def test_a_connection_that_closes_amid_the_answer_is_not_excused() -> None:
    async def behave(attempt: Attempt, journey: Journey) -> None:
        journey.committed = True
        raise closed()

    async def main() -> None:
        gateway = Gateway(behave, channel(1))
        with pytest.raises(UpstreamFailed):
            await gateway.go()
        assert gateway.site.fleet.lane(1).errors == 1

    run(main())


# Repeats where nothing else is left.


@pytest.mark.row("S2-41")
@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_the_only_channel_is_repeated_as_its_max_retries_says(retries: int, attempts: int) -> None:
    async def main() -> None:
        gateway = Gateway(fails(*[down()] * 9, seconds=0.0), channel(max_retries=retries))
        with pytest.raises(UpstreamFailed):
            await gateway.go()
        assert len(gateway.journeys[0].attempts) == attempts
        assert now() <= 0.25 + 0.5
        assert (now() > 0) is (attempts > 1), "after a pause"
        gateway.assert_at_rest()

    run(main())


def test_the_last_to_fail_is_repeated_when_nothing_else_is_left() -> None:
    async def main() -> None:
        gateway = Gateway(fails(missing(), down()), channel(1), channel(2))
        assert tried(await gateway.go()) == [1, 2, 2]

    run(main())


def test_retry_after_is_waited_for_up_to_ten_seconds() -> None:
    async def main() -> None:
        gateway = Gateway(fails(limited(7.0), seconds=0.0), channel())
        journey = await gateway.go()
        assert tried(journey) == [1, 1]
        assert now() == pytest.approx(7.0)

        gateway = Gateway(fails(limited(10.5), seconds=0.0), channel())
        with pytest.raises(UpstreamError) as caught:
            await gateway.go()
        assert now() == pytest.approx(7.0)
        assert caught.value.retry_after == 10.5

    run(main())


def test_who_is_repeated_takes_its_place_in_the_queue() -> None:
    async def behave(attempt: Attempt, journey: Journey) -> None:
        first = len(journey.attempts) == 1
        await asyncio.sleep(1.0)
        if journey.id == "failing" and first:
            raise down()

    async def main() -> None:
        gateway = Gateway(behave, channel(max_concurrency=1))
        tasks = [gateway.begin(name) for name in ("failing", "a", "b")]
        await asyncio.gather(*tasks)
        assert [name for name, _ in gateway.asked] == ["failing", "a", "b", "failing"]
        gateway.assert_at_rest()

    run(main())


def test_a_pause_holds_no_share_of_the_budget() -> None:
    """Fifteen requests wait nine seconds each, as they were told to; the budget is for ten at once."""

    async def behave(attempt: Attempt, journey: Journey) -> None:
        await asyncio.sleep(0.1)
        if len(journey.attempts) == 1:
            raise limited(9.0)

    async def main() -> None:
        gateway = Gateway(behave, channel(max_concurrency=50))
        await asyncio.gather(*[gateway.begin() for _ in range(15)])
        assert now() < 12
        gateway.assert_at_rest()

    run(main())


def test_a_thousand_that_fail_at_once_are_not_repeated_at_once() -> None:
    most = 0

    async def main() -> None:
        async def behave(attempt: Attempt, journey: Journey) -> None:
            nonlocal most
            if attempt.channel.id == 1:
                await asyncio.sleep(0.05)
                raise down()
            budget = gateway.dispatcher.budget
            assert journey.repeating
            assert budget.repeats <= 200
            most = max(most, budget.repeats)
            await asyncio.sleep(0.3)

        many = {"max_concurrency": 5000}
        gateway = Gateway(behave, channel(1, **many), channel(2, priority=2, **many))
        journeys = await asyncio.gather(*[gateway.begin() for _ in range(1000)])
        assert Counter(tuple(tried(journey)) for journey in journeys) == {(1, 2): 1000}
        assert most == 200, "a fifth of the thousand, and all of it is used"
        gateway.assert_at_rest()

    run(main())


def test_a_quiet_gateway_may_repeat_ten_at_once() -> None:
    most = 0

    async def main() -> None:
        async def behave(attempt: Attempt, journey: Journey) -> None:
            nonlocal most
            await asyncio.sleep(0.05)
            if attempt.channel.id == 1:
                raise down()
            most = max(most, gateway.dispatcher.budget.repeats)
            await asyncio.sleep(0.3)

        many = {"max_concurrency": 50}
        gateway = Gateway(behave, channel(1, **many), channel(2, priority=2, **many))
        await asyncio.gather(*[gateway.begin() for _ in range(30)])
        assert most == 10
        gateway.assert_at_rest()

    run(main())


def test_the_first_content_gives_the_budget_back() -> None:
    async def main() -> None:
        async def behave(attempt: Attempt, journey: Journey) -> None:
            if attempt.channel.id == 1:
                raise down()
            gateway.dispatcher.first_content(attempt, journey)
            assert not journey.repeating
            await asyncio.sleep(60)  # the rest of a long answer

        many = {"max_concurrency": 50}
        gateway = Gateway(behave, channel(1, **many), channel(2, priority=2, **many))
        await asyncio.gather(*[gateway.begin() for _ in range(40)])
        assert now() < 62
        gateway.assert_at_rest()

    run(main())


def test_who_gets_no_share_of_the_budget_is_told_what_failed() -> None:
    async def behave(attempt: Attempt, journey: Journey) -> None:
        await asyncio.sleep(0.05)
        if attempt.channel.id == 1:
            raise down()
        await asyncio.sleep(60)

    async def main() -> None:
        many = {"max_concurrency": 50}
        gateway = Gateway(behave, channel(1, **many), channel(2, priority=2, **many))
        tasks = [gateway.begin() for _ in range(12)]
        await asyncio.sleep(11)
        failed = [task.exception() for task in tasks if task.done()]
        assert [type(error) for error in failed] == [UpstreamFailed] * 2
        await asyncio.gather(*tasks, return_exceptions=True)
        gateway.assert_at_rest()

    run(main())


# Anything, at random.

OUTCOMES: list[GatewayError | None] = [
    None,
    None,
    None,
    down(),
    closed(),
    bad_key(401),
    bad_key(403),
    limited(),
    limited(3.0),
    limited(60.0),
    missing(),
    bad_request(),
    NotTranslatable("x"),
    UpstreamBroken("x"),
]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_everything_is_given_back(seed: int) -> None:
    async def main() -> None:
        async def behave(attempt: Attempt, journey: Journey) -> None:
            await asyncio.sleep(gateway.dice.choice([0.0, 0.01, 0.3, 0.3, 1.0, 6.0]))
            error = gateway.dice.choice(OUTCOMES)
            if error is not None:
                journey.committed = gateway.dice.random() < 0.1
                raise copy.copy(error)

        def some() -> list[Channel]:
            dice = random.Random(seed * 1000 + int(now()))
            return [
                channel(
                    id,
                    priority=dice.randint(1, 2),
                    weight=dice.randint(1, 3),
                    max_concurrency=dice.choice([None, 2, 4]),
                    keys=dice.choice([(), ("a",), ("a", "b"), ("b", "c", "d")]),
                    max_retries=dice.randint(0, 3),
                )
                for id in range(dice.randint(1, 4))
            ]

        gateway = Gateway(behave, *some(), seed=seed, queue_limit=5, queue_seconds=4.0)
        lanes = set(gateway.site.fleet.lanes())
        tasks: list[asyncio.Task[Journey]] = []
        for number in range(400):
            tasks.append(gateway.begin(str(number), fallback=gateway.dice.random() < 0.9))
            await asyncio.sleep(gateway.dice.choice([0.0, 0.01, 0.2, 1.0, 4.0]))
            if number % 5 == 0:
                gateway.dice.choice(tasks).cancel()
            if number % 50 == 49:
                gateway.site.configure(*some())
                lanes.update(gateway.site.fleet.lanes())
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = Counter(type(result).__name__ for result in results)
        for result in results:
            assert isinstance(result, Journey | GatewayError | asyncio.CancelledError), result
        assert kinds["Journey"] > 50, kinds
        assert kinds["Unavailable"] > 0, kinds
        for journey in gateway.journeys:
            _check_attempts(journey)
        for lane in lanes:
            assert (lane.limiter.in_flight, lane.limiter.waiting) == (0, 0)
        gateway.assert_at_rest()

    run(main())


def _check_attempts(journey: Journey) -> None:
    """At most three, and no candidate twice unless its connection was stale, or nothing was left."""
    assert len(journey.attempts) <= 3
    seen: list[tuple[int, Any]] = []
    stale = 0
    for attempt in journey.attempts:
        candidate = (attempt.channel.id, attempt.credential)
        if candidate in seen:
            assert candidate == seen[-1], "only the last to fail is repeated"
            assert journey.plan is not None
            assert not journey.plan.left
        stale += attempt.error is not None and attempt.error.code == DISCONNECTED
        if attempt.error is None or attempt.error.code != DISCONNECTED or stale > 1:
            seen.append(candidate)


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"max_concurrency": 1}, "max_concurrency says so"),
        ({"max_adaptive_concurrency": 1}, "raise max_adaptive_concurrency"),
        ({}, "still learning"),
    ],
)
def test_the_operator_is_told_once_a_minute_why_requests_are_turned_away(
    fields: dict[str, Any], advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        gateway = Gateway(takes(90.0), channel(1, **fields), queue_seconds=1.0)
        first = gateway.begin()
        for _ in range(4):
            with pytest.raises(Unavailable):
                await gateway.begin()
        await asyncio.sleep(60)
        with pytest.raises(Unavailable):
            await gateway.begin()
        await first

    run(scenario())
    told = [one.getMessage() for one in caplog.records if "is full" in one.getMessage()]
    assert len(told) == 2
    assert all(advice in one for one in told)
