"""What the engine asks of the journal and of the ledger's tables; both live in ``store``.

A line goes to the journal at once and from there to the tables soon, in groups. So no request waits for
the database, and a kill -9 loses nothing that was settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol as Interface

import msgspec

from dragoman.governance.ledger import Entry, Line


class JournalFull(Exception):
    """There is no room for another request's lines: the disk is full or the database away for too
    long. Lines of requests that were admitted still find their place."""


class JournalBatch(msgspec.Struct, frozen=True):
    """Lines that are not in the tables yet, oldest first; ``end`` is where they end in the journal."""

    lines: Sequence[Line]
    end: int


class Journal(Interface):
    """A checksummed file of lines. Used on the event loop; ``append`` costs a few microseconds and
    never waits for the disk to turn (what was appended survives the process at once, a power failure
    after some 20 ms)."""

    @property
    def behind(self) -> int:
        """Lines that are not in the tables yet."""
        ...

    def admit(self, line: Line) -> None:
        """Append a Hold, and set room aside for how it will end. Raises JournalFull."""
        ...

    def append(self, line: Line) -> None:
        """Append a Settled or Released. Succeeds if its Hold was admitted, also on a full disk."""
        ...

    def pending(self, most: int) -> JournalBatch:
        """The oldest lines that were not forgotten, ``most`` at most."""
        ...

    def forget(self, end: int) -> None:
        """Everything before ``end`` is in the tables."""
        ...


class Spending(msgspec.Struct, kw_only=True, frozen=True):
    """What a user or a key has used up, by the books: nano-USD since the beginning of this day, week
    and month (UTC), and in all."""

    day: int = 0
    week: int = 0
    month: int = 0
    total: int = 0


class Consumption(msgspec.Struct, kw_only=True, frozen=True):
    """What a trial has used up beside money."""

    tokens: int = 0
    requests: int = 0


class Standing(msgspec.Struct, kw_only=True, frozen=True):
    """The books at one moment: the balance of every account that is not zero, what users (by id) and
    keys (by id) have spent, and what trials have consumed."""

    balances: Mapping[str, int] = {}
    users: Mapping[int, Spending] = {}
    keys: Mapping[str, Spending] = {}
    trials: Mapping[int, Consumption] = {}


class Ledger(Interface):
    """The tables. Every method may fail when the database cannot be used."""

    async def book(self, entries: Iterable[Entry]) -> None:
        """Keep all of them or, if it fails, none; one that is there already stays as it is and moves
        nothing again."""
        ...

    async def standing(self, now: float) -> Standing:
        """The books at Unix time ``now``, read in one transaction."""
        ...


class NoJournal:
    """Where nothing is kept: for tests and for embedding."""

    behind = 0

    def admit(self, line: Line) -> None:
        """Nothing."""

    def append(self, line: Line) -> None:
        """Nothing."""

    def pending(self, most: int) -> JournalBatch:
        """None."""
        return JournalBatch((), 0)

    def forget(self, end: int) -> None:
        """Nothing."""
