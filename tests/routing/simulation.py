"""A world of clients and upstreams in simulated time: an event heap, no event loop, no sockets.

The clients come at random; each goes its way as the dispatcher would carry it: places, fair queue,
at most three attempts, the retry budget.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from dragoman.canonical.errors import GatewayError
from dragoman.routing.budget import RetryBudget, full_jitter
from dragoman.routing.channel import Channel
from dragoman.routing.concurrency import Limiter
from dragoman.routing.plan import MAX_ATTEMPTS, Plan, Slot
from dragoman.routing.select import Option
from dragoman.routing.verdict import another_may_help
from tests.routing.support import Site

QUEUE_SECONDS = 10.0

Answers = Callable[[int, float], tuple[float, GatewayError | None]]
"""(requests under way at the upstream, this one too; time) → (seconds it takes, how it fails)."""


class Try(NamedTuple):
    """One attempt, as it is remembered."""

    began: float
    channel: int
    error: GatewayError | None
    excuse: str
    """Why no channel of a better tier was asked; empty if there was no reason."""


class Client:
    """A request on its way."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.attempts = 0
        self.queued: list[Option] = []
        self.repeating = False
        self.pauses = 0

    def offer(self, limiter: Limiter) -> bool:
        """As routing.concurrency.Waiter: a place is used as soon as whoever gave it is done."""
        if not self.queued:
            return False
        option = next(one for one in self.queued if one.lane.limiter is limiter)
        queued, self.queued = self.queued, []
        self.world.later(0.0, lambda: self._granted(option, queued))
        return True

    def _granted(self, option: Option, queued: list[Option]) -> None:
        for other in queued:
            other.lane.limiter.leave(self)
        self.world.ask(self, self.plan.granted(option, self.world.now))


class World:
    """Upstreams that behave as ``answers`` says, by channel id, behind ``channels``."""

    def __init__(self, seed: int, channels: list[Channel], answers: dict[int, Answers]) -> None:
        self.dice = random.Random(seed)
        self.site = Site(*channels, now=0.0)
        self.answers = answers
        self.budget = RetryBudget()
        self.upstream: Counter[int] = Counter()
        self.tries: list[Try] = []
        self.ended: Counter[str] = Counter()
        self.limits: dict[int, list[tuple[float, int]]] = {one.id: [] for one in channels}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.site.now

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Let ``what`` happen in ``seconds``."""
        self._number += 1
        heapq.heappush(self._events, (self.now + seconds, self._number, what))

    def run(self, requests: int, per_second: float) -> World:
        """Let ``requests`` come, and everything end."""
        self._arrive(requests, per_second)
        self._watch()
        while self._events:
            self.site.now, _, what = heapq.heappop(self._events)
            what()
        return self

    def _arrive(self, left: int, per_second: float) -> None:
        self.budget.live += 1
        self._advance(Client(self, self.site.plan()))
        if left > 1:
            pause = self.dice.expovariate(per_second)
            self.later(pause, lambda: self._arrive(left - 1, per_second))

    def _watch(self) -> None:
        for lane in self.site.fleet.lanes():
            self.limits[lane.channel.id].append((self.now, lane.limiter.limit))
        if self._events:
            self.later(1.0, self._watch)

    def _advance(self, client: Client) -> None:
        plan = client.plan
        slot = plan.pick(self.now)
        if slot is not None:
            self.ask(client, slot)
        elif plan.full:
            client.queued = queued = list(plan.full)
            for option in queued:
                option.lane.limiter.wait(client)
            self.later(QUEUE_SECONDS, lambda: self._out_of_patience(client, queued))
        else:
            self._end(client, "failed")

    def _out_of_patience(self, client: Client, queued: list[Option]) -> None:
        if client.queued is queued:
            client.queued = []
            for option in queued:
                option.lane.limiter.leave(client)
            self._end(client, "busy")

    def ask(self, client: Client, slot: Slot) -> None:
        """Make an attempt."""
        client.attempts += 1
        channel = slot.channel
        self.upstream[channel.id] += 1
        seconds, error = self.answers[channel.id](self.upstream[channel.id], self.now)
        self.tries.append(Try(self.now, channel.id, error, self._excuse(client, slot)))
        seconds *= self.dice.uniform(0.8, 1.2)
        self.later(seconds, lambda: self._answered(client, slot, error))

    def _excuse(self, client: Client, slot: Slot) -> str:
        better = [one for one in client.plan.options if one.tier < slot.option.tier]
        why = {
            client.plan.skipped.get(one.channel.id, "failed" if client.attempts > 1 else "")
            for one in better
        }
        return "; ".join(sorted(why))

    def _answered(self, client: Client, slot: Slot, error: GatewayError | None) -> None:
        self.upstream[slot.channel.id] -= 1
        if client.repeating:
            client.repeating = False
            self.budget.give_back()
        if error is None:
            slot.responded(self.now)
            slot.close(None, self.now)
            self._end(client, "answered")
            return
        client.plan.failed(slot, error, slot.close(error, self.now))
        if client.attempts >= MAX_ATTEMPTS or not another_may_help(error) or not client.plan.left:
            self._end(client, "failed")
        else:
            self._once_more(client)

    def _once_more(self, client: Client) -> None:
        if self.budget.take():
            client.repeating = True
            self._advance(client)
            return
        client.pauses += 1
        pause = 0.05 + full_jitter(client.pauses, self.dice.random)
        self.later(pause, lambda: self._once_more(client))

    def _end(self, client: Client, how: str) -> None:
        if client.repeating:
            client.repeating = False
            self.budget.give_back()
        self.budget.live -= 1
        self.ended[how] += 1

    def share(self, channel: int, since: float, until: float) -> float:
        """Which part of the answers in this time the channel gave."""
        answered = [one for one in self.tries if since <= one.began < until and one.error is None]
        return sum(one.channel == channel for one in answered) / len(answered)

    def limits_of(self, channel: int, since: float, until: float) -> list[int]:
        """The channel's limit, once a second."""
        return [limit for at, limit in self.limits[channel] if since <= at < until]
