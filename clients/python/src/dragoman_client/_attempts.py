"""Whether a request may be sent again, and after how long. Nothing here sends or sleeps.

A request that was not served may always be sent again: when no connection was made, or when the
gateway answered 429 or 503. One that may have been served, and charged, is sent again only if that is
harmless, or with an Idempotency-Key: then the gateway serves it once, and answers twice.
"""

from __future__ import annotations

import email.utils
import math
from collections.abc import Callable

from dragoman_client._reading import Reply, error_of
from dragoman_client.errors import NoAnswer

LONGEST_WAIT_SECONDS = 60.0
"""A ``Retry-After`` beyond this is the caller's to wait for."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_NOT_SERVED = frozenset({429, 503})
_MAYBE_SERVED = frozenset({502, 504})


class Attempts:
    """What has become of one request so far."""

    def __init__(
        self, most: int, *, harmless: bool, chance: Callable[[], float], now: Callable[[], float]
    ) -> None:
        """``most`` is how often it may be sent again; ``harmless`` says that being served twice does no
        harm. ``chance`` gives numbers from 0 to 1, ``now`` is Unix time."""
        self._left = most
        self._made = 0
        self._harmless = harmless
        self._chance = chance
        self._now = now

    def failed(self, error: NoAnswer, *, sent: bool) -> float:
        """The seconds to wait after a request without an answer. Raises ``error`` if that is the end.
        ``sent`` is False if the request has certainly not reached the gateway."""
        if self._left <= 0 or (sent and not self._harmless):
            raise error
        return self._pause(0.0)

    def refused(self, reply: Reply) -> float:
        """The seconds to wait after an answer that is a failure. Raises ApiError if that is the end."""
        after = self._retry_after(reply.headers.get("retry-after", ""))
        if self._left <= 0 or not self._may_retry(reply, after):
            raise error_of(reply, after)
        return self._pause(after or 0.0)

    def _may_retry(self, reply: Reply, after: float | None) -> bool:
        if reply.headers.get("x-should-retry") == "false":
            return False
        if after is not None and after > LONGEST_WAIT_SECONDS:
            return False
        if reply.status in _MAYBE_SERVED:
            return self._harmless
        # A first try of ours, which we gave up, is still being answered.
        if reply.status == 409:
            return after is not None
        return reply.status in _NOT_SERVED

    def _pause(self, at_least: float) -> float:
        """Full jitter: anything up to a bound that doubles."""
        bound = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**self._made)
        self._left -= 1
        self._made = min(self._made + 1, 10)
        return at_least + self._chance() * bound

    def _retry_after(self, text: str) -> float | None:
        """The header's seconds, which may be given as a date."""
        try:
            seconds = float(text)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - self._now()
            except ValueError:
                return None
        return max(0.0, seconds) if math.isfinite(seconds) else None
