"""From one candidate to the next until one answers: places, waits, repeats, verdicts.

What to try is decided by ``routing.plan``; here is what takes time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    Unavailable,
    UpstreamError,
)
from dragoman.engine.journey import Attempt, Journey
from dragoman.routing.affinity import Affinity
from dragoman.routing.budget import RetryBudget, full_jitter
from dragoman.routing.concurrency import Limiter
from dragoman.routing.plan import MAX_ATTEMPTS, Plan, Slot
from dragoman.routing.select import Option
from dragoman.routing.verdict import DISCONNECTED, Verdict, another_may_help

logger = logging.getLogger("dragoman.dispatch")

BUDGET_WAIT_SECONDS = 10.0
"""How long a request waits for its turn to be repeated while a fifth of all are being repeated."""

REPORT_SECONDS = 60.0
"""How often the operator is told that a channel is full."""

Ask = Callable[[Attempt], Awaitable[None]]
"""Makes one attempt. Raises UpstreamError or NotTranslatable if it failed."""


class Dispatcher:
    """Carries requests along their plans. One per process."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        queue_limit: int = 100,
        queue_seconds: float = 10.0,
    ) -> None:
        """``clock`` gives monotonic seconds, ``random`` numbers from 0 to 1."""
        self.budget = RetryBudget()
        self.affinity = Affinity()
        self.queue_limit = queue_limit
        self.queue_seconds = queue_seconds
        self.clock = clock
        self._reported: dict[int, float] = {}
        self._random = random
        self._sleep = sleep

    async def first_that_answers(self, journey: Journey, plan: Plan, ask: Ask) -> None:
        """Make attempts until one succeeds. Raises the error that helps the client most, or
        Unavailable if every channel is full for too long."""
        journey.plan = plan
        self.budget.live += 1
        try:
            slot = await self._place(plan, journey)
            while slot is not None:
                failure, verdict = await self._attempt(slot, journey, ask)
                if failure is None:
                    self._remember(journey)
                    return
                if journey.committed:  # the client is told what ended the answer it began to get
                    raise failure
                slot = await self._next(slot, failure, verdict, plan, journey)
            raise plan.verdict()
        except GatewayError as error:
            journey.failure = error
            raise
        finally:
            self._end_repeat(journey)
            self.budget.live -= 1

    def first_content(self, attempt: Attempt, journey: Journey) -> None:
        """The attempt's first content has come: it is the answer now."""
        attempt.slot.responded(self.clock())
        self._end_repeat(journey)

    async def _attempt(
        self, slot: Slot, journey: Journey, ask: Ask
    ) -> tuple[GatewayError | None, Verdict]:
        try:
            attempt = Attempt(slot, journey.protocol)
        except Exception:  # whatever it is, the place must not be lost
            slot.close(None, self.clock(), excused=True)
            raise
        journey.attempts.append(attempt)
        failure: GatewayError | None = None
        excused = True  # stays so if the client leaves
        try:
            await ask(attempt)
            excused = False
        except (UpstreamError, NotTranslatable) as error:
            failure = attempt.error = error
            excused = _is_stale(journey)
            logger.warning(
                "request %s: channel %r failed: %s", journey.id, slot.channel.name, error.message
            )
        finally:
            now = self.clock()
            attempt.ended = now
            verdict = slot.close(failure, now, excused=excused)
            attempt.verdict = verdict.value
        return failure, verdict

    async def _next(
        self,
        slot: Slot,
        failure: GatewayError,
        verdict: Verdict,
        plan: Plan,
        journey: Journey,
    ) -> Slot | None:
        """The place for the next attempt; None if there is to be none."""
        self._end_repeat(journey)
        plan.failed(slot, failure, verdict, excused=_is_stale(journey))
        if len(journey.attempts) >= MAX_ATTEMPTS or not another_may_help(failure):
            return None
        if not plan.left:
            return await self._again(slot, failure, plan, journey)
        if not await self._may_repeat(journey):
            return None
        try:
            return await self._place(plan, journey)
        except Unavailable:  # what failed before says more than that the others are full
            return None

    async def _again(
        self, slot: Slot, failure: GatewayError, plan: Plan, journey: Journey
    ) -> Slot | None:
        """Nothing else is left: the same candidate after a pause, if that makes sense."""
        seconds = plan.repeat(slot, failure, self._random)
        if seconds is None:
            return None
        await self._sleep(seconds)
        if not await self._may_repeat(journey):
            return None
        if slot.lane.limiter.take():
            return Slot(slot.option, slot.credential, self.clock())
        return await self._wait([slot.option], plan, journey, slot)

    async def _place(self, plan: Plan, journey: Journey) -> Slot | None:
        """The next candidate's place, waited for if need be; None if no candidate is left."""
        slot = plan.pick(self.clock())
        if slot is not None or not plan.full:
            return slot
        slot = await self._wait(plan.full, plan, journey)
        if slot is None:
            self._report_full(plan.full)
            raise _too_busy(plan)
        return slot

    def _report_full(self, options: list[Option]) -> None:
        """Tell the operator which channels turned a request away, each at most once a minute."""
        now = self.clock()
        for option in options:
            told = self._reported.get(option.channel.id)
            if told is None or now - told >= REPORT_SECONDS:
                self._reported[option.channel.id] = now
                logger.warning(
                    "channel %r is full: %s", option.channel.name, option.lane.limiter.advice()
                )

    async def _wait(
        self, options: list[Option], plan: Plan, journey: Journey, again: Slot | None = None
    ) -> Slot | None:
        """Stand in the queues of ``options``; None if they are too long, or it takes too long."""
        seconds = self.queue_seconds - journey.queued
        open_to_us = [one for one in options if one.lane.limiter.waiting < self.queue_limit]
        if not open_to_us or seconds <= 0:
            return None
        began = self.clock()
        waiter = _Waiter()
        for option in open_to_us:
            option.lane.limiter.wait(waiter)
        limiter: Limiter | None = None
        try:
            limiter = await waiter.granted(seconds)
        finally:
            for option in open_to_us:
                option.lane.limiter.leave(waiter)
            if limiter is None and waiter.place is not None:  # it came as we were cancelled
                waiter.place.give_back()
        now = self.clock()
        journey.queued += now - began
        if limiter is None:
            return None
        option = next(one for one in open_to_us if one.lane.limiter is limiter)
        if again is not None:
            return Slot(option, again.credential, now)
        return plan.granted(option, now)

    async def _may_repeat(self, journey: Journey) -> bool:
        """Take a share of the retry budget, waiting for one a while."""
        waited = 0.0
        round_ = 1
        while not self.budget.take():
            pause = 0.05 + full_jitter(round_, self._random)
            if waited + pause > BUDGET_WAIT_SECONDS:
                return False
            await self._sleep(pause)
            waited += pause
            round_ += 1
        journey.repeating = True
        return True

    def _end_repeat(self, journey: Journey) -> None:
        if journey.repeating:
            journey.repeating = False
            self.budget.give_back()

    def _remember(self, journey: Journey) -> None:
        if journey.sessions:
            now, place = self.clock(), journey.place
            for session in journey.sessions:
                self.affinity.remember(session, place, now)


def _is_stale(journey: Journey) -> bool:
    """Whether the last attempt met a closed connection, for the first time in this request."""
    codes = [attempt.error and attempt.error.code for attempt in journey.attempts]
    first = codes[-1] == DISCONNECTED and codes.count(DISCONNECTED) == 1
    return first and not journey.committed


class _Waiter:
    """Waits in the queues of one or several channels for the first free place."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Limiter] = asyncio.get_running_loop().create_future()

    @property
    def place(self) -> Limiter | None:
        """The channel that has granted a place."""
        done = self._future.done() and not self._future.cancelled()
        return self._future.result() if done else None

    def offer(self, limiter: Limiter) -> bool:
        """As routing.concurrency.Waiter."""
        if self._future.done():
            return False
        self._future.set_result(limiter)
        return True

    async def granted(self, seconds: float) -> Limiter | None:
        """The channel with the place; None if none was free for ``seconds``."""
        done, _ = await asyncio.wait((self._future,), timeout=seconds)
        if not done:
            self._future.cancel()
            return None
        return self._future.result()


def _too_busy(plan: Plan) -> Unavailable:
    busy = ", ".join(
        f"{option.channel.name} ({option.lane.limiter.limit})" for option in plan.full[:5]
    )
    return Unavailable(
        "Every channel that could answer has all its places in use, and the queue is full or did not "
        f"move in time. Places: {busy}.",
        code="channels_busy",
        retry_after=1,
    )
