"""How many requests a channel takes at once: a fixed number, or one that follows how it does.

Adaptive mode starts at ``min_concurrency``. Once at least ten requests are in the window and
``cooldown_seconds`` have passed since the last change:

- error rate above ``error_rate_threshold`` → half of it;
- else mean response time above ``response_time_high`` → times ``decrease_factor``;
- else mean response time below ``response_time_low`` and error rate below half the threshold
  → plus ``increase_step``;

never below ``min_concurrency`` nor above ``max_adaptive_concurrency``. A plain answer's response time
runs to its end; a stream's to its first content, because how long it then goes on is the length of
the answer, not the state of the channel.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol as Interface

from dragoman.routing.channel import Channel

ERROR_FACTOR = 0.5
MINIMUM_SAMPLES = 10
"""Fewer requests than this say nothing; a smaller window is enough when it is full."""


class Waiter(Interface):
    """A request that waits for a free place, perhaps at several channels."""

    def offer(self, limiter: Limiter) -> bool:
        """A place is free: take it (True), or say that it is wanted no more (False)."""
        ...


class Limiter:
    """The places of one channel. All times are monotonic seconds."""

    def __init__(self, channel: Channel) -> None:
        self.in_flight = 0
        self._queue: deque[Waiter] = deque()
        self._samples: deque[tuple[float, bool]] = deque()
        self._seconds = 0.0
        self._errors = 0
        self._changed: float | None = None
        self.configure(channel)

    def configure(self, channel: Channel) -> None:
        """Take over changed parameters; places in use stay taken."""
        was_adaptive = getattr(self, "_channel", None) is not None and self.adaptive
        self._channel = channel
        if not self.adaptive:
            self.limit = channel.max_concurrency or 1
        elif not was_adaptive:
            self.limit = channel.min_concurrency
        else:
            self.limit = self._bounded(self.limit)
        self._trim()
        self.pump()

    def forget(self) -> None:
        """Start anew, as for another address; places in use stay taken."""
        self._samples.clear()
        self._trim()
        self._errors = 0
        self._changed = None
        if self.adaptive:
            self.limit = self._channel.min_concurrency

    @property
    def adaptive(self) -> bool:
        """Whether the limit moves."""
        return self._channel.max_concurrency is None

    @property
    def waiting(self) -> int:
        """How many requests stand in the queue."""
        return len(self._queue)

    @property
    def samples(self) -> int:
        """How many requests the window holds."""
        return len(self._samples)

    @property
    def mean_seconds(self) -> float:
        """Mean response time over the window."""
        return self._seconds / len(self._samples) if self._samples else 0.0

    @property
    def error_rate(self) -> float:
        """Share of failed requests in the window."""
        return self._errors / len(self._samples) if self._samples else 0.0

    def advice(self) -> str:
        """What an operator could do about a channel that is full, and why it takes no more."""
        taken = f"all {self.limit} places are in use, {self.waiting} wait"
        if not self.adaptive:
            return f"{taken}; max_concurrency says so"
        channel, mean = self._channel, self.mean_seconds
        if self.limit >= channel.max_adaptive_concurrency:
            return f"{taken}; raise max_adaptive_concurrency"
        if self.samples and mean >= channel.response_time_low:
            return (
                f"{taken}; the adaptive limit does not rise, because answers take {mean:.1f} s and "
                f"response_time_low is {channel.response_time_low:g} s: raise that, or set "
                "max_concurrency"
            )
        return f"{taken}; the adaptive limit is still learning (max_concurrency fixes it)"

    def take(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self.in_flight < self.limit and not self._queue:
            self.in_flight += 1
            return True
        return False

    def give_back(self) -> None:
        """Give a place back; who waits longest gets it."""
        assert self.in_flight > 0, "a place is given back once"
        self.in_flight -= 1
        if self._queue:
            self.pump()

    def wait(self, waiter: Waiter) -> None:
        """Stand in the queue until ``offer`` is accepted or ``leave`` is called."""
        self._queue.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Step out of the queue."""
        if waiter in self._queue:
            self._queue.remove(waiter)
            self.pump()

    def pump(self) -> None:
        """Hand free places to those who wait."""
        while self._queue and self.in_flight < self.limit:
            waiter = self._queue.popleft()
            self.in_flight += 1  # before the offer, which may look at the channel
            if not waiter.offer(self):
                self.in_flight -= 1

    def sample(self, seconds: float, *, error: bool, now: float) -> None:
        """Note how a request went, and move the limit if it is time to."""
        self._samples.append((seconds, error))
        self._seconds += seconds
        self._errors += error
        self._trim()
        if self.adaptive:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        channel = self._channel
        if len(self._samples) < min(MINIMUM_SAMPLES, channel.stats_window_size):
            return
        if self._changed is not None and now - self._changed < channel.cooldown_seconds:
            return
        limit = self._bounded(self._wanted())
        if limit != self.limit:
            self.limit = limit
            self._changed = now
            self.pump()

    def _wanted(self) -> int:
        channel = self._channel
        rate, seconds = self.error_rate, self.mean_seconds
        if rate > channel.error_rate_threshold:
            return int(self.limit * ERROR_FACTOR)
        if seconds > channel.response_time_high:
            return int(self.limit * channel.decrease_factor)
        calm = rate < channel.error_rate_threshold / 2 or rate == 0.0
        if seconds < channel.response_time_low and calm:
            return self.limit + channel.increase_step
        return self.limit

    def _bounded(self, limit: int) -> int:
        channel = self._channel
        return max(channel.min_concurrency, min(limit, channel.max_adaptive_concurrency))

    def _trim(self) -> None:
        while len(self._samples) > self._channel.stats_window_size:
            seconds, error = self._samples.popleft()
            self._seconds -= seconds
            self._errors -= error
        if not self._samples:
            self._seconds = 0.0  # sums of floats drift; an empty window is exactly zero
