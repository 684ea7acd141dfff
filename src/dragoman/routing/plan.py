"""One request's way through its candidates (channel × credential).

::

    well, and a place is free     → tried, in the order of the strategy
    well, but full                → waited for, if nothing well is free
    ill (open circuit, benched)   → tried only if nothing is well: the last remaining candidate is
                                    never benched
    failed                        → never tried again; its other credentials only where it was the
                                    credential that failed
    nothing left                  → the one that failed last may be repeated where it stands, as
                                    often as its ``max_retries`` says

All times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.canonical.errors import (
    GatewayError,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
)
from dragoman.routing.affinity import Place
from dragoman.routing.budget import full_jitter
from dragoman.routing.channel import Channel
from dragoman.routing.fleet import Credential, Lane
from dragoman.routing.select import Option, Order
from dragoman.routing.verdict import Verdict, another_may_help, may_repeat

MAX_ATTEMPTS = 3
LONGEST_REPEAT_WAIT = 10.0
"""A channel that asks for more patience than this is not waited for: the client is told instead."""

_NONE: frozenset[int] = frozenset()
_CREDENTIAL_MATTERS = (Verdict.CREDENTIAL, Verdict.RATE_LIMITED, Verdict.NO_ACCESS)


class Slot:
    """A place at a channel, held for one attempt and given back exactly once."""

    __slots__ = ("_open", "_probe", "_response_seconds", "began", "credential", "option")

    def __init__(self, option: Option, credential: Credential, now: float) -> None:
        """The place must have been taken already."""
        self.option = option
        self.credential = credential
        self.began = now
        self._probe = credential.circuit.begin()
        self._response_seconds: float | None = None
        self._open = True

    @property
    def channel(self) -> Channel:
        """The channel as it was when the request was planned."""
        return self.option.channel

    @property
    def lane(self) -> Lane:
        """The channel's live state."""
        return self.option.lane

    def responded(self, now: float) -> None:
        """The first content has come: the channel works, however long the answer gets."""
        self._response_seconds = now - self.began
        self.lane.responded(self._response_seconds, now)
        if not self.credential.circuit.closed:
            self.credential.circuit.succeeded(now)

    def close(self, error: GatewayError | None, now: float, *, excused: bool = False) -> Verdict:
        """Give the place back and draw the conclusions; none if ``excused``: the client went away,
        or a kept-alive connection closed."""
        assert self._open, "a place is given back once"
        self._open = False
        lane = self.lane
        seconds = self._response_seconds
        if seconds is None:
            seconds = now - self.began
        if excused:
            verdict = Verdict.UNTOUCHED
        else:
            verdict = lane.settle(
                self.credential, self.option.model, error, seconds=seconds, now=now
            )
        if self._probe and verdict is Verdict.UNTOUCHED:
            self.credential.circuit.abandon()
        lane.limiter.give_back()
        return verdict


class Plan:
    """The candidates of one request, and what became of them so far."""

    def __init__(
        self,
        order: Order,
        *,
        prefer: Place | None = None,
        pinned: bool = False,
        fallback: bool = True,
    ) -> None:
        """``prefer`` goes first within its priority, or before everything if ``pinned``. Without
        ``fallback`` one channel is tried."""
        self.order = order
        self.options = order.options
        self.skipped: dict[int, str] = {}
        self.full: list[Option] = []
        self.affinity = ""
        self._fallback = fallback
        self._prefer = prefer
        self._tried: dict[int, set[int]] = {}
        self._dismissed: set[int] = set()
        self._repeats = 0
        self._failures: list[GatewayError] = []
        if prefer is not None:
            self._bring_forward(prefer, pinned)

    def pick(self, now: float) -> Slot | None:
        """Take a place at the best candidate. None: wait for one of ``full`` or, if that is empty,
        nothing is left."""
        full: list[Option] = []
        ill: list[Option] = []
        for option in self.options:
            channel_id = option.channel.id
            if channel_id in self._dismissed:
                continue
            credential, why = self._credential(option, now)
            if credential is None:
                self.skipped[channel_id] = why
                ill.append(option)
            elif option.lane.limiter.take():
                return self._slot(option, credential, now)
            else:
                self.skipped[channel_id] = _full(option.lane)
                full.append(option)
        if not full and ill:
            slot = self._last_resort(ill, full, now)
            if slot is not None:
                return slot
        self.full = full
        return None

    def granted(self, option: Option, now: float) -> Slot:
        """Use the place that waiting got at one of ``full``."""
        credential, _ = self._credential(option, now)
        if credential is None:
            tried = self._tried.get(option.channel.id) or _NONE
            credential = option.lane.least_bad(option.model, now, tried)
        assert credential is not None, "only untried candidates are waited for"
        return self._slot(option, credential, now)

    def failed(
        self, slot: Slot, error: GatewayError, verdict: Verdict, *, excused: bool = False
    ) -> None:
        """Never pick this candidate again, unless it is ``excused``."""
        self._failures.append(error)
        if excused:
            return
        channel_id = slot.channel.id
        if not self._fallback:
            self._dismissed.update(option.channel.id for option in self.options)
            return
        if verdict in _CREDENTIAL_MATTERS:
            self._tried.setdefault(channel_id, set()).add(slot.credential.number)
            if len(self._tried[channel_id]) < len(slot.lane.credentials):
                return
        self._dismissed.add(channel_id)

    def repeat(self, slot: Slot, error: GatewayError, random: Callable[[], float]) -> float | None:
        """Seconds to wait before trying the candidate of ``slot`` once more where it stands; None if
        it should not be."""
        if self._repeats >= slot.channel.max_retries or not may_repeat(error):
            return None
        self._repeats += 1
        wait = max(full_jitter(self._repeats, random), error.retry_after or 0.0)
        return wait if wait <= LONGEST_REPEAT_WAIT else None

    def verdict(self) -> GatewayError:
        """What to tell the client when nothing answered: what helps it most."""
        last = self._failures[-1]
        if not another_may_help(last):
            return last
        best = min(reversed(self._failures), key=_rank)
        waits = [
            error.retry_after
            for error in self._failures
            if isinstance(error, UpstreamRateLimited) and error.retry_after is not None
        ]
        if isinstance(best, UpstreamRateLimited) and waits:
            best.retry_after = min(waits)
        return best

    def passed_over(self) -> list[tuple[Channel, str]]:
        """(channel, why) of every candidate that was not tried, for the request log."""
        tried = self._dismissed | self._tried.keys()
        untried = [option.channel for option in self.options if option.channel.id not in tried]
        reasons = [(channel, self.skipped.get(channel.id, "not needed")) for channel in untried]
        return [*reasons, *self.order.excluded]

    def _credential(self, option: Option, now: float) -> tuple[Credential | None, str]:
        channel_id = option.channel.id
        prefer = self._prefer
        first = prefer.credential if prefer and prefer.channel_id == channel_id else None
        tried = self._tried.get(channel_id) or _NONE
        return option.lane.next_credential(option.model, now, tried, first)

    def _last_resort(self, ill: list[Option], full: list[Option], now: float) -> Slot | None:
        found = []
        for option in ill:
            tried = self._tried.get(option.channel.id) or _NONE
            credential = option.lane.least_bad(option.model, now, tried)
            if credential is not None:
                found.append((credential.rest(option.model, now), option, credential))
        for _, option, credential in sorted(found, key=lambda one: one[0]):
            if option.lane.limiter.take():
                return self._slot(option, credential, now)
            full.append(option)
        return None

    def _slot(self, option: Option, credential: Credential, now: float) -> Slot:
        self.skipped.pop(option.channel.id, None)
        return Slot(option, credential, now)

    def _bring_forward(self, prefer: Place, pinned: bool) -> None:
        option = next((o for o in self.options if o.channel.id == prefer.channel_id), None)
        if option is None:
            return
        self.affinity = f"session: {option.channel.name}"
        others = [other for other in self.options if other is not option]
        place = 0
        if not pinned:
            priority = option.channel.priority
            place = sum(other.channel.priority < priority for other in others)
        others.insert(place, option)
        self.options = others


def _rank(error: GatewayError) -> int:
    """How much an error helps the client; smaller is better."""
    match error:
        case UpstreamRateLimited():
            return 0
        case UpstreamOverloaded():
            return 1
        case UpstreamModelMissing():
            return 3
        case UpstreamRefusedCredential():
            return 4
        case _:
            return 2


def _full(lane: Lane) -> str:
    limiter = lane.limiter
    waiting = f", {limiter.waiting} waiting" if limiter.waiting else ""
    return f"full: {limiter.in_flight} of {limiter.limit} places in use{waiting}"
