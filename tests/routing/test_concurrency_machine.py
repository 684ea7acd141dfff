"""Any sequence of taking, waiting, leaving and changing, against a plain list of who waits."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dragoman.routing.channel import Channel
from dragoman.routing.concurrency import Limiter
from tests.routing.support import channel


class _Waiter:
    def __init__(self, machine: LimiterMachine) -> None:
        self.machine = machine
        self.wants = True

    def offer(self, limiter: Limiter) -> bool:
        return self.machine.offered(self)


def channels() -> st.SearchStrategy[Channel]:
    def build(fixed: int | None, low: int, more: int, window: int, pause: float) -> Channel:
        fields: dict[str, Any] = {
            "max_concurrency": fixed,
            "min_concurrency": low,
            "max_adaptive_concurrency": low + more,
            "stats_window_size": window,
            "cooldown_seconds": pause,
        }
        return channel(**fields)

    return st.builds(
        build,
        st.none() | st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 6),
        st.integers(1, 12),
        st.sampled_from([0.0, 5.0]),
    )


class LimiterMachine(RuleBasedStateMachine):
    """``queue`` is who should wait, in order; ``held`` how many places are out."""

    @initialize(config=channels())
    def begin(self, config: Channel) -> None:
        self.config = config
        self.limiter = Limiter(config)
        self.queue: list[_Waiter] = []
        self.held = 0
        self.now = 0.0

    def offered(self, waiter: _Waiter) -> bool:
        assert self.held < self.limiter.limit, "no place without room for it"
        assert waiter is self.queue.pop(0), "first come, first served"
        assert self.limiter.in_flight == self.held + 1
        if waiter.wants:
            self.held += 1
        return waiter.wants

    @rule()
    def take(self) -> None:
        possible = self.held < self.limiter.limit and not self.queue
        assert self.limiter.take() is possible
        self.held += possible

    @rule(count=st.integers(1, 3))
    def wait(self, count: int) -> None:
        for _ in range(count):
            if self.held >= self.limiter.limit:  # as the engine does: only who got no place waits
                waiter = _Waiter(self)
                self.queue.append(waiter)
                self.limiter.wait(waiter)

    @precondition(lambda self: self.held)
    @rule()
    def give_back(self) -> None:
        self.held -= 1
        self.limiter.give_back()

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.queue))
        self.queue.remove(waiter)
        self.limiter.leave(waiter)
        self.limiter.leave(waiter)  # as who waits in several queues does

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def want_no_more(self, data: st.DataObject) -> None:
        """It was served elsewhere, and has not left the queue yet."""
        data.draw(st.sampled_from(self.queue)).wants = False

    @rule(
        seconds=st.sampled_from([0.1, 2.0, 9.0]), errors=st.sampled_from([0, 3]), times=st.just(4)
    )
    def sample(self, seconds: float, errors: int, times: int) -> None:
        before = self.limiter.limit
        for number in range(times):
            self.limiter.sample(seconds, error=number < errors, now=self.now)
        assert self.limiter.adaptive or self.limiter.limit == before

    @rule(seconds=st.sampled_from([0.0, 1.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(config=channels())
    def configure(self, config: Channel) -> None:
        self.config = config
        self.limiter.configure(config)

    @invariant()
    def the_books_balance(self) -> None:
        limiter, config = self.limiter, self.config
        assert limiter.in_flight == self.held
        assert limiter.waiting == len(self.queue)
        assert limiter.samples <= config.stats_window_size
        assert 0.0 <= limiter.error_rate <= 1.0
        assert limiter.mean_seconds >= 0.0
        if config.max_concurrency is None:
            assert config.min_concurrency <= limiter.limit <= config.max_adaptive_concurrency
        else:
            assert limiter.limit == config.max_concurrency
        assert not self.queue or self.held >= limiter.limit, "nobody waits beside a free place"

    def teardown(self) -> None:
        for _ in range(self.held + len(self.queue)):
            if self.held:
                self.give_back()
        assert (self.limiter.in_flight, self.limiter.waiting) == (0, 0)


TestLimiter = LimiterMachine.TestCase
TestLimiter.settings = settings(stateful_step_count=40)
