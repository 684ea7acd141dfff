"""Whether the database can be read, as far as the last look at it tells."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("dragoman.database")

_STALE_SECONDS = 3.0
"""A look that has not come back for so long, where there is one every second, is as bad as none."""


class Outage:
    """Told of every look at the database; says what changes, once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock`` gives monotonic seconds."""
        self._clock = clock
        self._reason = ""
        self._looked: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether the last look failed."""
        return bool(self._reason)

    def is_on(self) -> bool:
        """Whether something that the gateway has not seen yet may stand in the database."""
        if self._looked is None:
            return self.is_known
        return self.is_known or self._clock() - self._looked > _STALE_SECONDS

    def begins(self, reason: object) -> None:
        """A look failed."""
        if str(reason) != self._reason:
            logger.error("%s What is known of it stays in force.", reason)
        self._reason = str(reason)

    def ends(self) -> None:
        """A look succeeded; there will be another within the second."""
        if self._reason:
            logger.warning("the database is back")
        self._reason = ""
        self._looked = self._clock()
