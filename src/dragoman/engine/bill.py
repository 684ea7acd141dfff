"""What one request owes: opened when it is admitted, settled before its last byte leaves, and closed
whatever happens."""

from __future__ import annotations

import logging

from dragoman.canonical.usage import Usage
from dragoman.engine.accounting import Accounting
from dragoman.engine.journey import Attempt
from dragoman.engine.produced import Produced
from dragoman.engine.records import Trace
from dragoman.engine.stay import Stay

logger = logging.getLogger("dragoman.accounting")


class Bill:
    """The bill of one request. ``cost`` is nano-USD, None until it is settled or if it has no price."""

    __slots__ = ("_accounting", "_stay", "_trace", "produced")

    def __init__(self, accounting: Accounting, stay: Stay, trace: Trace) -> None:
        self._accounting = accounting
        self._stay = stay
        self._trace = trace
        self.produced = Produced()

    @property
    def cost(self) -> int | None:
        """What it came to."""
        return self._stay.cost

    @property
    def usage(self) -> Usage | None:
        """What it was for."""
        return self._trace.usage

    @property
    def on_trial(self) -> bool:
        """A trial pays."""
        return self._stay.trial is not None

    def began(self, attempt: Attempt) -> None:
        """An attempt is about to be made; what an earlier one used up is not the answer's."""
        self._trace.usage = None
        self._trace.finish = ""
        self.produced = Produced()
        self._stay.price_at(attempt)  # from here on the price is what it is now

    def failed(self, attempt: Attempt) -> None:
        """The attempt failed before anything of it reached the client."""
        attempt.usage = self._trace.usage
        self._trace.usage = None

    def settle(self, outcome: str = "ok") -> None:
        """Book the answer, which is complete but for its last byte."""
        if self._stay.open:
            usage = self._trace.usage = self._usage(outcome)
            self._accounting.settle(self._stay, self._trace, usage, outcome)

    def close(self, *, left: bool) -> None:
        """The request is over. What is not settled by now was broken off: if anything of an answer has
        left, or the client has while an upstream was at work, what was produced is paid for."""
        if not self._stay.open:
            return
        attempts = self._trace.journey.attempts
        committed = self._trace.journey.committed
        owes = attempts and (committed or (left and attempts[-1].error is None))
        try:
            if owes and self._stay.demand.charged:
                self.settle("left" if left else "broken")
            else:
                self._accounting.release(self._stay, self._trace)
        except Exception:  # a defect, whatever it is: nothing that was taken may stay taken
            logger.exception("request %s cannot be settled", self._trace.journey.id)
            self._accounting.abandon(self._stay)

    def headers(self) -> dict[str, str]:
        """The cost, once it is known."""
        if self._stay.cost is None:
            return {}
        return {"dragoman-cost-nano-usd": str(self._stay.cost)}

    def _usage(self, outcome: str) -> Usage:
        """What was used: as the upstream told or, if it did not get to that, by what was produced."""
        reported = self._trace.usage
        complete = outcome == "ok" or self._trace.finish  # only the goodbye was missing
        if complete and reported is not None and reported.total:
            return reported
        return self.produced.usage(self._stay.input_tokens, reported)
