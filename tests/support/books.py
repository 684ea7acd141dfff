"""A journal and a ledger in memory, for tests of what uses them; both can be made to fail."""

from __future__ import annotations

from collections.abc import Iterable

from dragoman.engine.books import JournalBatch, JournalFull
from dragoman.governance.ledger import Entry, Hold, Line, Released, Settled, moved
from dragoman.governance.standing import Standing


class ListJournal:
    """``engine.books.Journal`` in a list. ``full`` refuses new requests."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines: list[Line] = [*lines]
        self.gone = 0
        self.full = False
        self.size = 0
        self.closed = False
        open_holds = {line.id: line for line in self.lines if isinstance(line, Hold)}
        for line in self.lines:
            if isinstance(line, Settled | Released):
                open_holds.pop(line.id, None)
        self.orphans = [*open_holds.values()]

    @property
    def behind(self) -> int:
        return len(self.lines) - self.gone

    def start(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True

    def admit(self, line: Line) -> None:
        if self.full:
            raise JournalFull("the disk is full")
        self.lines.append(line)

    def append(self, line: Line) -> None:
        self.lines.append(line)

    def pending(self, most: int) -> JournalBatch:
        lines = self.lines[self.gone : self.gone + most]
        end = self.gone + len(lines)
        return JournalBatch(lines, end, whole=end == len(self.lines))

    def forget(self, end: int) -> None:
        self.gone = end

    def entries(self) -> list[Entry]:
        """Everything that was settled."""
        return [e for line in self.lines if isinstance(line, Settled) for e in line.entries]


class DictLedger:
    """``engine.books.Ledger`` in dictionaries. ``away`` makes every call fail."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.balances: dict[str, int] = {}
        self.away = False

    async def book(self, entries: Iterable[Entry]) -> dict[str, int]:
        self._look()
        given = {entry.id: entry for entry in reversed([*entries])}
        new = tuple(entry for entry in given.values() if entry.id not in self.entries)
        self.entries |= {entry.id: entry for entry in new}
        for account, nano in moved(new).items():
            self.balances[account] = self.balances.get(account, 0) + nano
        return moved(new)

    async def standing(self, now: float) -> Standing:
        self._look()
        return Standing(balances=dict(self.balances))

    def _look(self) -> None:
        if self.away:
            raise OSError("the database is away")
