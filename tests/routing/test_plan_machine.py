"""Many requests at once over channels that fail at random: no place is lost, nothing is tried twice,
and nobody gives up while there is somebody to ask."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    UpstreamBroken,
    UpstreamMisconfigured,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from dragoman.routing.affinity import Place
from dragoman.routing.channel import Channel
from dragoman.routing.concurrency import Limiter
from dragoman.routing.fleet import Lane
from dragoman.routing.plan import Plan, Slot
from dragoman.routing.select import Strategies
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

ERRORS: list[GatewayError] = [
    down(),
    refused(),
    bad_key(401),
    bad_key(403),
    limited(),
    limited(20.0),
    missing(),
    bad_request(),
    NotTranslatable("x"),
    UpstreamBroken("x"),
    UpstreamMisconfigured("x"),
    UpstreamOverloaded("x", retry_after=5.0),
    UpstreamTimeout("x"),
]
OF_THE_CREDENTIAL = (Verdict.CREDENTIAL, Verdict.RATE_LIMITED, Verdict.NO_ACCESS)


class Request:
    """A request, and what it holds: a slot, or places in queues, or a place that it was granted."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slot: Slot | None = None
        self.queued: list[Lane] = []
        self.granted: Limiter | None = None
        self.tried: list[object] = []
        self.dismissed: set[int] = set()

    def offer(self, limiter: Limiter) -> bool:
        if self.granted is not None:
            return False
        self.granted = limiter
        return True

    def step_out(self) -> None:
        for lane in self.queued:
            lane.limiter.leave(self)
        self.queued = []

    def took(self, slot: Slot) -> None:
        assert slot.credential not in self.tried, "a candidate is tried once"
        assert slot.channel.id not in self.dismissed, "what failed is left alone"
        assert slot.credential.secret is None or slot.credential.secret in slot.channel.credentials
        self.tried.append(slot.credential)
        self.slot = slot


def channels() -> st.SearchStrategy[tuple[Channel, ...]]:
    one = st.fixed_dictionaries(
        {
            "priority": st.integers(1, 2),
            "weight": st.integers(1, 3),
            "max_concurrency": st.sampled_from([None, 1, 2]),
            "keys": st.sampled_from([(), ("a",), ("a", "b"), ("b", "c", "a")]),
            "url": st.sampled_from(["http://one.test", "http://two.test"]),
            "models": st.sampled_from([("m",), ()]),
        }
    )
    return st.lists(one, min_size=1, max_size=4).map(
        lambda all_fields: tuple(channel(id, **fields) for id, fields in enumerate(all_fields))
    )


class PlanMachine(RuleBasedStateMachine):
    @initialize(
        channels=channels(),
        strategy=st.sampled_from(["round_robin", "least_busy", "lowest_latency"]),
    )
    def begin(self, channels: tuple[Channel, ...], strategy: str) -> None:
        self.strategies = Strategies(default=strategy)
        self.site = Site(*channels, strategies=self.strategies)
        self.requests: list[Request] = []
        self.lanes: set[Lane] = set(self.site.fleet.lanes())

    @rule(
        prefer=st.none() | st.builds(Place, st.integers(0, 4), st.integers(0, 3)),
        pinned=st.booleans(),
        fallback=st.sampled_from([True, True, True, False]),
    )
    def arrive(self, prefer: Place | None, pinned: bool, fallback: bool) -> None:
        self._advance(Request(self.site.plan(prefer=prefer, pinned=pinned, fallback=fallback)))

    def _advance(self, request: Request) -> None:
        """The next slot, or a place in the queues, or the end."""
        plan = request.plan
        slot = plan.pick(self.site.now)
        if slot is not None:
            request.took(slot)
        elif plan.full:
            for option in plan.full:
                assert option.channel.id not in request.dismissed
                option.lane.limiter.wait(request)
                request.queued.append(option.lane)
        else:
            assert not plan.left, "somebody is still to be asked"
            assert plan.verdict() is not None
            return
        if request not in self.requests:
            self.requests.append(request)

    def _drop(self, request: Request) -> None:
        self.requests.remove(request)

    @precondition(lambda self: any(request.slot for request in self.requests))
    @rule(data=st.data(), seconds=st.sampled_from([0.0, 0.4, 7.0]), content=st.booleans())
    def finish(self, data: st.DataObject, seconds: float, content: bool) -> None:
        request = data.draw(st.sampled_from([one for one in self.requests if one.slot]))
        error = data.draw(st.sampled_from([None, *ERRORS]))
        slot = request.slot
        assert slot is not None
        request.slot = None
        if content:
            slot.responded(self.site.now)
        self.site.now += seconds
        verdict = slot.close(error, self.site.now)
        if error is None:
            self._drop(request)
            return
        request.plan.failed(slot, error, verdict)
        if verdict not in OF_THE_CREDENTIAL:
            request.dismissed.add(slot.channel.id)
        self._advance(request)
        if request.slot is None and not request.queued:
            self._drop(request)

    @precondition(lambda self: any(request.slot for request in self.requests))
    @rule(data=st.data())
    def leave_under_way(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from([one for one in self.requests if one.slot]))
        assert request.slot is not None
        verdict = request.slot.close(None, self.site.now, excused=True)
        assert verdict is Verdict.UNTOUCHED
        self._drop(request)

    @precondition(lambda self: any(request.granted for request in self.requests))
    @rule(data=st.data(), stays=st.sampled_from([True, True, False]))
    def wake(self, data: st.DataObject, stays: bool) -> None:
        """Who was granted a place uses it, or has left just then."""
        request = data.draw(st.sampled_from([one for one in self.requests if one.granted]))
        limiter = request.granted
        assert limiter is not None
        request.step_out()
        request.granted = None
        if not stays:
            limiter.give_back()
            self._drop(request)
            return
        option = next(one for one in request.plan.full if one.lane.limiter is limiter)
        request.took(request.plan.granted(option, self.site.now))

    @precondition(lambda self: any(r.queued and not r.granted for r in self.requests))
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        waiting = [one for one in self.requests if one.queued and not one.granted]
        request = data.draw(st.sampled_from(waiting))
        request.step_out()
        self._drop(request)

    @rule(seconds=st.sampled_from([0.5, 10.0, 31.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.site.now += seconds

    @rule(channels=channels())
    def configure(self, channels: tuple[Channel, ...]) -> None:
        self.site.configure(*channels, strategies=self.strategies)
        self.lanes.update(self.site.fleet.lanes())

    @invariant()
    def every_place_is_accounted_for(self) -> None:
        for lane in self.lanes:
            limiter = lane.limiter
            held = sum(one.slot is not None and one.slot.lane is lane for one in self.requests)
            held += sum(one.granted is limiter for one in self.requests)
            assert limiter.in_flight == held
            waiting = [one for one in self.requests if lane in one.queued and not one.granted]
            assert not waiting or limiter.in_flight >= limiter.limit, "a free place, and a queue"
            lane.snapshot(self.site.now)

    def teardown(self) -> None:
        for request in list(self.requests):
            request.step_out()
            if request.slot is not None:
                request.slot.close(down(), self.site.now)
            elif request.granted is not None:
                request.granted.give_back()
            else:
                continue
            request.slot, request.granted = None, None
        for request in self.requests:  # those who waited were granted places as others left
            if request.granted is not None:
                request.granted.give_back()
        for lane in getattr(self, "lanes", ()):
            assert (lane.limiter.in_flight, lane.limiter.waiting) == (0, 0)


TestPlan = PlanMachine.TestCase
TestPlan.settings = settings(stateful_step_count=40)
