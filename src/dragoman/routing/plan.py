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
    NotTranslatable,
    UpstreamLoading,
    UpstreamMisconfigured,
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
"""A channel that asks for more patience than this is not waited for: the client is told instead. For a
model that is being loaded its provider has a limit of its own."""

_NONE: frozenset[Credential] = frozenset()
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
        lane = self.lane
        if lane.has(self.credential):
            lane.responded(self._response_seconds, now)
            if not self.credential.circuit.closed:
                lane.works(self.credential, now)

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
                self.credential,
                self.option.model,
                error,
                seconds=seconds,
                now=now,
                began=self.began,
            )
        if self._probe:
            self.credential.circuit.end(self._probe)
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
        """``prefer`` goes first within its priority. If ``pinned`` it goes before everything, and is
        waited for if it is full. Without ``fallback`` one channel is tried."""
        self.order = order
        self.options = order.options
        self.skipped: dict[int, str] = {}
        self.full: list[Option] = []
        self.affinity = ""
        self._fallback = fallback
        self._prefer = prefer
        self._pinned = pinned
        self._used: set[int] = set()
        self._tried: dict[int, set[Credential]] = {}
        self._dismissed: set[int] = set()
        self._repeats = 0
        self._failures: list[GatewayError] = []
        if prefer is not None:
            self._bring_forward(prefer)

    def exclude(self, channel: Channel, reason: str) -> None:
        """Take a channel out before anything was tried; ``reason`` is for the operator."""
        self.options = [option for option in self.options if option.channel.id != channel.id]
        self.order.excluded.append((channel, reason))

    def pick(self, now: float) -> Slot | None:
        """Take a place at the best candidate. None: wait for one of ``full`` or, if that is empty,
        nothing is left."""
        slot, full, ill = self._pick_well(now)
        if slot is None and not full and ill:
            slot = self._last_resort(ill, full, now)
        self.full = full
        return slot

    def granted(self, option: Option, now: float) -> Slot:
        """Use the place that waiting got at one of ``full`` or, if that has fallen ill meanwhile, the
        place of another that is well."""
        credential, _ = self._credential(option, now)
        if credential is None:
            other, *_ = self._pick_well(now)
            if other is not None:
                option.lane.limiter.give_back()
                return other
            credential = self._least_bad(option, now)
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
        if verdict in _CREDENTIAL_MATTERS:
            tried = self._tried.setdefault(channel_id, set())
            tried.add(slot.credential)
            if len(tried) < len(slot.option.credentials):
                return
        self._dismissed.add(channel_id)

    @property
    def left(self) -> bool:
        """Whether there is a candidate that has not failed."""
        return any(option.channel.id not in self._dismissed for option in self.options)

    def repeat(self, slot: Slot, error: GatewayError, random: Callable[[], float]) -> float | None:
        """Seconds to wait before trying the candidate of ``slot`` once more where it stands; None if
        it should not be."""
        if self._repeats >= slot.channel.max_retries or not may_repeat(error):
            return None
        self._repeats += 1
        wait = max(full_jitter(self._repeats, random), error.retry_after or 0.0)
        loading = isinstance(error, UpstreamLoading)
        longest = slot.channel.loading_seconds if loading else LONGEST_REPEAT_WAIT
        return wait if wait <= longest else None

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
        untried = [option.channel for option in self.options if option.channel.id not in self._used]
        reasons = [(channel, self.skipped.get(channel.id, "not needed")) for channel in untried]
        return [*reasons, *self.order.excluded]

    def _pick_well(self, now: float) -> tuple[Slot | None, list[Option], list[Option]]:
        """(the best candidate that is well and has a place, those that are full, those that are
        ill)."""
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
                return self._slot(option, credential, now), full, ill
            else:
                self.skipped[channel_id] = _full(option.lane)
                full.append(option)
                if self._pinned and self._prefer and self._prefer.channel_id == channel_id:
                    break
        return None, full, ill

    def _credential(self, option: Option, now: float) -> tuple[Credential | None, str]:
        channel_id = option.channel.id
        prefer = self._prefer
        first = prefer.credential if prefer and prefer.channel_id == channel_id else None
        tried = self._tried.get(channel_id) or _NONE
        lane = option.lane
        return lane.next_credential(option.credentials, option.model, now, tried, first)

    def _least_bad(self, option: Option, now: float) -> Credential | None:
        """The untried credential that is worth another try first."""
        tried = self._tried.get(option.channel.id) or _NONE
        untried = [one for one in option.credentials if one not in tried]
        return min(untried, key=lambda one: one.rest(option.model, now)) if untried else None

    def _last_resort(self, ill: list[Option], full: list[Option], now: float) -> Slot | None:
        found = []
        for option in ill:
            credential = self._least_bad(option, now)
            if credential is not None:
                found.append((credential.rest(option.model, now), option, credential))
        for _, option, credential in sorted(found, key=lambda one: one[0]):
            if option.lane.limiter.take():
                return self._slot(option, credential, now)
            full.append(option)
        return None

    def _slot(self, option: Option, credential: Credential, now: float) -> Slot:
        channel_id = option.channel.id
        self._used.add(channel_id)
        if not self._fallback and len(self._used) == 1:
            others = {other.channel.id for other in self.options} - self._used
            self._dismissed |= others
            self.skipped.update(dict.fromkeys(others, "fallback is switched off"))
        if self._prefer is None or self._prefer.channel_id != channel_id:
            option.lane.used(credential)  # a session's own credential takes nobody's turn
        return Slot(option, credential, now)

    def _bring_forward(self, prefer: Place) -> None:
        option = next((o for o in self.options if o.channel.id == prefer.channel_id), None)
        if option is None:
            return
        self.affinity = f"session: {option.channel.name}"
        others = [other for other in self.options if other is not option]
        better = 0 if self._pinned else sum(other.tier < option.tier for other in others)
        others.insert(better, option)
        self.options = others


def _rank(error: GatewayError) -> int:
    """How much an error helps the client; smaller is better."""
    match error:
        case UpstreamRateLimited():
            return 0
        case UpstreamOverloaded():
            return 1
        case NotTranslatable():
            return 3
        case UpstreamModelMissing() | UpstreamMisconfigured():
            return 4
        case UpstreamRefusedCredential():
            return 5
        case _:
            return 2


def _full(lane: Lane) -> str:
    limiter = lane.limiter
    waiting = f", {limiter.waiting} waiting" if limiter.waiting else ""
    return f"full: {limiter.in_flight} of {limiter.limit} places in use{waiting}"
