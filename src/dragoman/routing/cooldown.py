"""Benches with an end: a credential, or one model behind it, that is better left alone for a while.

The last remaining candidate is used all the same (``routing.plan``): a bench only moves a candidate
behind those that are well.
"""

from __future__ import annotations

EVERY_MODEL = ""
"""The key under which a bench holds for whatever is asked."""

LONGEST_SECONDS = 3600.0
_FIRST_SECONDS = 2.0
_LONGEST_GUESS = 60.0
_MAX_MODELS = 1000  # clients choose model names: the memory of them must not grow with them


class Cooldowns:
    """The benches of one credential. All times are monotonic seconds."""

    __slots__ = ("_refusals", "_until")

    def __init__(self) -> None:
        self._until: dict[str, tuple[float, str]] = {}
        self._refusals: dict[str, int] = {}

    def bench(self, model: str, seconds: float, now: float, reason: str) -> None:
        """Bench ``model`` (or EVERY_MODEL); a longer bench that is there already stands."""
        until = now + min(seconds, LONGEST_SECONDS)
        held = self._until.get(model)
        if held is None or held[0] < until:
            if len(self._until) >= _MAX_MODELS:
                self._forget(now)
            self._until[model] = (until, reason)

    def refused(self, model: str, seconds: float | None, now: float, reason: str) -> float:
        """Bench ``model`` after a refusal: as long as the upstream said or, if it did not, twice as
        long as after the one before. Returns the seconds."""
        times = self._refusals.get(model, 0)
        if len(self._refusals) >= _MAX_MODELS:
            self._refusals.clear()
        self._refusals[model] = min(times + 1, 10)
        if seconds is None:
            seconds = min(_FIRST_SECONDS * 2**times, _LONGEST_GUESS)
        self.bench(model, seconds, now, reason)
        return seconds

    def recovered(self, model: str) -> None:
        """The credential answered for ``model``: refusals are counted from the start again."""
        if self._refusals:
            self._refusals.pop(model, None)
            self._refusals.pop(EVERY_MODEL, None)
        if self._until:
            self._until.pop(model, None)
            self._until.pop(EVERY_MODEL, None)

    def left(self, model: str, now: float) -> tuple[float, str]:
        """(seconds left of the bench that holds for ``model``, its reason); (0, "") if none does."""
        if not self._until:
            return 0.0, ""
        latest, reason = 0.0, ""
        for name in (model, EVERY_MODEL):
            held = self._until.get(name)
            if held is not None and held[0] > max(now, latest):
                latest, reason = held
        return (latest - now, reason) if latest else (0.0, "")

    def listed(self, now: float) -> list[tuple[str, float, str]]:
        """(model, seconds left, reason) of every bench that holds now."""
        return [
            (model, until - now, reason)
            for model, (until, reason) in self._until.items()
            if until > now
        ]

    def reset(self) -> None:
        """Forget everything."""
        self._until.clear()
        self._refusals.clear()

    def _forget(self, now: float) -> None:
        self._until = {model: held for model, held in self._until.items() if held[0] > now}
        if len(self._until) >= _MAX_MODELS:
            del self._until[next(iter(self._until))]
