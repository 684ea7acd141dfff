"""What the engine asks of the journal and of the ledger's tables; both live in ``store``.

A line goes to the journal at once and from there to the tables soon, in groups. So no request waits for
the database, and a kill -9 loses nothing that was settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol as Interface

from dragoman.governance.ledger import Entry, Hold, JournalBatch, JournalFull, Line
from dragoman.governance.standing import Standing

__all__ = ["Journal", "JournalBatch", "JournalFull", "Ledger", "NoJournal"]


class Journal(Interface):
    """A checksummed file of lines. Used on the event loop; ``append`` costs a few microseconds and
    never waits for the disk to turn (what was appended survives the process at once, a power failure
    after some 20 ms)."""

    @property
    def behind(self) -> int:
        """Lines that are not in the tables yet."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it takes up on the disk."""
        ...

    @property
    def full(self) -> bool:
        """Whether the next request would be refused."""
        ...

    @property
    def orphans(self) -> Sequence[Hold]:
        """Holds that an earlier process left open when it ended without warning, oldest first; one
        stays among them until its Released or Settled is appended."""
        ...

    def start(self) -> None:
        """Begin the work in the background."""
        ...

    async def close(self) -> None:
        """Bring everything to the disk and let the files go."""
        ...

    def admit(self, line: Hold) -> None:
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


class Ledger(Interface):
    """The tables. Every method may fail when the database cannot be used."""

    async def book(self, entries: Iterable[Entry]) -> Mapping[str, int]:
        """Keep all of them or, if it fails, none; one that is there already stays as it is and moves
        nothing again. What really came to each account, or left it, in nano-USD."""
        ...

    async def standing(self, now: float) -> Standing:
        """The books at Unix time ``now``, read in one transaction."""
        ...


class NoJournal:
    """Where nothing is kept: for tests and for embedding."""

    behind = 0
    size = 0
    full = False
    orphans: Sequence[Hold] = ()

    def start(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""

    def admit(self, line: Line) -> None:
        """Nothing."""

    def append(self, line: Line) -> None:
        """Nothing."""

    def pending(self, most: int) -> JournalBatch:
        """None."""
        return JournalBatch((), 0, whole=True)

    def forget(self, end: int) -> None:
        """Nothing."""
