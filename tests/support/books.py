"""A journal and a ledger in memory, for tests of what uses them; both can be made to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dragoman.engine.books import JournalBatch, JournalFull
from dragoman.governance.ledger import Entry, Hold, Line, Released, Settled, moved
from dragoman.governance.purse import periods
from dragoman.governance.standing import Consumption, Spending, Standing


class ListJournal:
    """``engine.books.Journal`` in a list. ``full`` refuses new requests."""

    def __init__(self, lines: Iterable[Line] = (), *, gone: int = 0) -> None:
        """``gone`` of the lines were drained by an earlier process."""
        self.lines: list[Line] = [*lines]
        self.gone = gone
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

    def repeat(self) -> None:
        """Every line that was not drained comes again, as after a failed sync."""
        self.lines += self.lines[self.gone :]

    def entries(self) -> list[Entry]:
        """Everything that was settled."""
        return [e for line in self.lines if isinstance(line, Settled) for e in line.entries]


class DictLedger:
    """``engine.books.Ledger`` in dictionaries. ``away`` makes every call fail, and ``meanwhile`` is
    called once in the midst of the next booking."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.balances: dict[str, int] = {}
        self.away = False
        self.meanwhile: Callable[[], None] = _nothing

    async def book(self, entries: Iterable[Entry]) -> dict[str, int]:
        self._look()
        given = {entry.id: entry for entry in reversed([*entries])}
        new = tuple(entry for entry in given.values() if entry.id not in self.entries)
        self.entries |= {entry.id: entry for entry in new}
        for account, nano in moved(new).items():
            self.balances[account] = self.balances.get(account, 0) + nano
        call, self.meanwhile = self.meanwhile, _nothing
        call()
        self._look()
        return moved(new)

    async def standing(self, now: float) -> Standing:
        self._look()
        users: dict[int, list[int]] = {}
        keys: dict[str, list[int]] = {}
        trials: dict[int, list[int]] = {}
        present = (*periods(now), 0)
        for entry in self.entries.values():
            if entry.kind == "trial" and entry.outcome == "ended":
                trials.pop(entry.user_id, None)
            if entry.kind not in ("usage", "overrun"):
                continue
            for sums in (
                users.setdefault(entry.user_id, [0, 0, 0, 0]),
                keys.setdefault(entry.key_id, [0, 0, 0, 0]),
            ):
                for place, period in enumerate((*periods(entry.at), 0)):
                    if period >= present[place]:
                        sums[place] += entry.cost or 0
            if entry.trial and entry.usage is not None:
                used = trials.setdefault(entry.user_id, [0, 0])
                used[0] += entry.usage.total
                used[1] += 1
        return Standing(
            balances=dict(self.balances),
            users={user_id: _spending(sums) for user_id, sums in users.items()},
            keys={key_id: _spending(sums) for key_id, sums in keys.items()},
            trials={
                user_id: Consumption(tokens=tokens, requests=requests)
                for user_id, (tokens, requests) in trials.items()
            },
        )

    def _look(self) -> None:
        if self.away:
            raise OSError("the database is away")


def _spending(sums: list[int]) -> Spending:
    day, week, month, total = sums
    return Spending(day=day, week=week, month=month, total=total)


def _nothing() -> None:
    pass
