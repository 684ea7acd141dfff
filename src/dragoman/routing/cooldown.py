"""Benches with an end: a credential, or one model behind it, that is better left alone for a while.

The last remaining candidate is used all the same (``routing.plan``): a bench only moves a candidate
behind those that are well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

EVERY_MODEL = ""
"""The key under which a bench holds for whatever is asked."""

LONGEST_SECONDS = 3600.0
_FIRST_SECONDS = 2.0
_LONGEST_GUESS = 60.0
_MAX_DOUBLINGS = 10
_MAX_MODELS = 1000  # clients choose model names: the memory of them must not grow with them


class _Bench(NamedTuple):
    until: float
    reason: str
    since: float
    stated: bool


class _Refusals(NamedTuple):
    times: int
    last: float
    before: float
    """When the one before the last was."""


_NEVER = _Refusals(0, -math.inf, -math.inf)


class Cooldowns:
    """The benches of one credential. All times are monotonic seconds.

    A bench whose length the upstream stated holds to its end. One that was guessed ends early when a
    request that began after it is answered all the same; what began before it proves nothing. What
    began after the one before proves that that was long enough, so that nothing need be doubled: the
    upstream takes some requests at once, and refuses the rest.
    """

    __slots__ = ("_benches", "_refusals")

    def __init__(self) -> None:
        self._benches: dict[str, _Bench] = {}
        self._refusals: dict[str, _Refusals] = {}

    def bench(
        self, model: str, seconds: float, now: float, reason: str, *, stated: bool = False
    ) -> None:
        """Bench ``model`` (or EVERY_MODEL); a longer bench that is there already stands."""
        until = now + min(seconds, LONGEST_SECONDS)
        held = self._benches.get(model)
        if held is None or held.until < until:
            if held is None and len(self._benches) >= _MAX_MODELS:
                self._forget(now)
            self._benches[model] = _Bench(until, reason, now, stated)

    def refused(
        self, model: str, seconds: float | None, now: float, reason: str, began: float | None = None
    ) -> float:
        """Bench ``model`` after a refusal: as long as the upstream said or, if it did not, twice as
        long as after the one before. Returns the seconds.

        ``began`` is when the refused request did: those that were under way together and are refused
        together count once.
        """
        times, last, before = self._refusals.get(model, _NEVER)
        if began is None or began >= last:
            times, before = min(times + 1, _MAX_DOUBLINGS), last
        if model not in self._refusals and len(self._refusals) >= _MAX_MODELS:
            self._refusals.clear()
        self._refusals[model] = _Refusals(times, now, before)
        stated = seconds is not None and seconds > 0  # "0" is said by upstreams that do not know
        if seconds is None or not stated:
            seconds = min(_FIRST_SECONDS * 2 ** (times - 1), _LONGEST_GUESS)
        seconds = min(seconds, LONGEST_SECONDS)
        self.bench(model, seconds, now, reason, stated=stated)
        return seconds

    def recovered(self, model: str, began: float) -> None:
        """The credential answered a request for ``model`` that began at ``began``: refusals before it
        are counted no more."""
        for name in (model, EVERY_MODEL):
            refusals, bench = self._refusals.get(name), self._benches.get(name)
            if refusals is not None and refusals.last <= began:
                del self._refusals[name]
            elif refusals is not None and refusals.before <= began:
                self._refusals[name] = refusals._replace(times=1)
                if bench is not None and not bench.stated:
                    shorter = min(bench.until, bench.since + _FIRST_SECONDS)
                    self._benches[name] = bench._replace(until=shorter)
            if bench is not None and bench.since <= began and not bench.stated:
                del self._benches[name]

    def forgive(self) -> None:
        """End the guessed benches of models: they may be asked for in another way from now on."""
        benches = self._benches.items()
        self._benches = {
            model: held for model, held in benches if held.stated or model == EVERY_MODEL
        }

    def left(self, model: str, now: float) -> tuple[float, str]:
        """(seconds left of the bench that holds for ``model``, its reason); (0, "") if none does."""
        if not self._benches:
            return 0.0, ""
        latest, reason = 0.0, ""
        for name in (model, EVERY_MODEL):
            held = self._benches.get(name)
            if held is not None and held.until > max(now, latest):
                latest, reason = held.until, held.reason
        return (latest - now, reason) if latest else (0.0, "")

    def benched(self, model: str, reason: str, now: float) -> bool:
        """Whether ``model`` itself is benched for that reason."""
        held = self._benches.get(model)
        return held is not None and held.until > now and held.reason == reason

    def listed(self, now: float) -> list[tuple[str, float, str]]:
        """(model, seconds left, reason) of every bench that holds now."""
        return [
            (model, held.until - now, held.reason)
            for model, held in self._benches.items()
            if held.until > now
        ]

    def reset(self) -> None:
        """Forget everything."""
        self._benches.clear()
        self._refusals.clear()

    def _forget(self, now: float) -> None:
        """Make room: what is over or, if nothing is, what is over soonest. The bench of the credential
        itself stays: whoever asks for a thousand models must not end it."""
        benches = self._benches
        over = [model for model, held in benches.items() if held.until <= now]
        if not over:
            models = sorted(benches, key=lambda model: benches[model].until)
            over = [model for model in models if model != EVERY_MODEL][: _MAX_MODELS // 10]
        for model in over:
            del benches[model]
