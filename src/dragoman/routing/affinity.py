"""Which channel a session was answered by, so that its next request goes there again.

Providers keep a prompt's prefix warm for some minutes, per account: the next turn of a conversation
costs a tenth there, and the full price anywhere else. A stored response (``previous_response_id``)
exists nowhere else at all.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import msgspec

LASTS_SECONDS = 3600.0
_MAX_SESSIONS = 50_000
_MAX_NAME = 200


class Place(msgspec.Struct, frozen=True):
    """A channel, and the number of the credential that was used there."""

    channel_id: int
    credential: int


class Affinity:
    """A bounded memory of sessions. All times are monotonic seconds."""

    def __init__(self, most: int = _MAX_SESSIONS) -> None:
        self._places: OrderedDict[str, tuple[Place, float]] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._places)

    def find(self, session: str, now: float) -> Place | None:
        """Where ``session`` was answered, if that was within the last hour."""
        name = _short(session)
        found = self._places.get(name)
        if found is None:
            return None
        if now - found[1] > LASTS_SECONDS:
            del self._places[name]
            return None
        return found[0]

    def remember(self, session: str, place: Place, now: float) -> None:
        """``session`` was answered at ``place``; the least recent is forgotten when there are too
        many."""
        name = _short(session)
        self._places[name] = (place, now)
        self._places.move_to_end(name)
        if len(self._places) > self._most:
            self._places.popitem(last=False)


def _short(session: str) -> str:
    """Clients name their sessions: a long name must not cost its length in memory."""
    if len(session) <= _MAX_NAME:
        return session
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()
