"""Who is signed in at the console.

Sessions live in memory: a restart signs everybody out. Neither the session's id nor the key is kept,
only their digests, so that a dump of the table opens nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

import msgspec

LONGEST_SECONDS = 12 * 3_600.0
IDLE_SECONDS = 3_600.0
CAPACITY = 1_000
"""Sessions at a time; whoever was idle longest is signed out first."""
_RANDOM_BYTES = 32


class Session(msgspec.Struct, kw_only=True):
    """``key_digest`` is the admin key's, by which the key ring is asked at every request whether it
    still holds. Times are seconds of the clock that the caller reads."""

    key_digest: bytes
    csrf_token: str
    began: float
    used: float

    def ends_in(self, now: float) -> float:
        """Seconds left, however busy it is."""
        return self.began + LONGEST_SECONDS - now

    def idles_out_in(self, now: float) -> float:
        """Seconds left if nothing more happens."""
        return min(self.used + IDLE_SECONDS - now, self.ends_in(now))


class Sessions:
    """Every session by the digest of its id."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, key_digest: bytes, now: float) -> tuple[str, Session]:
        """A new session, and its id, which only the browser keeps."""
        session_id = secrets.token_urlsafe(_RANDOM_BYTES)
        session = Session(
            key_digest=key_digest,
            csrf_token=secrets.token_urlsafe(_RANDOM_BYTES),
            began=now,
            used=now,
        )
        self._sessions[_digest(session_id)] = session
        if len(self._sessions) > self._capacity:
            self._sessions.popitem(last=False)
        return session_id, session

    def find(self, session_id: str, now: float) -> Session | None:
        """The session, now used; None if there is none or its time is over."""
        digest = _digest(session_id)
        session = self._sessions.get(digest)
        if session is None:
            return None
        if session.idles_out_in(now) <= 0:
            del self._sessions[digest]
            return None
        session.used = now
        self._sessions.move_to_end(digest)
        return session

    def end(self, session_id: str) -> None:
        """Sign out; nothing happens if there is no such session."""
        self._sessions.pop(_digest(session_id), None)


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).digest()
