"""Any sequence of admissions, ends, drains and crashes, against a list in memory."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dragoman.governance.ledger import Hold, JournalFull, Line
from dragoman.store.journal import Journal
from tests.support.journals import EVERYTHING, SMALL, abandon, end, hold, released, settled


class JournalMachine(RuleBasedStateMachine):
    """Holds may come again, when they outlive their segment; every other line comes once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = itertools.count(0.0, 2.0).__next__  # whatever waits for a second is due
        self.journal = self.open()
        self.count = 0
        self.undrained: list[Line] = []
        self.open_holds: list[int] = []
        self.seen: set[str] = set()

    def open(self) -> Journal:
        return Journal.open(
            self.folder, segment_bytes=SMALL, most_bytes=8 * SMALL, clock=self.clock
        )

    @rule(count=st.integers(1, 40))
    def admit(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            line = hold(self.count)
            if self.journal.full:
                try:
                    self.journal.admit(line)
                except JournalFull:
                    return
                raise AssertionError("it is full and admits")
            self.journal.admit(line)
            self.undrained.append(line)
            self.open_holds.append(self.count)

    @precondition(lambda self: self.open_holds)
    @rule(data=st.data(), long=st.booleans(), count=st.integers(1, 20))
    def settle(self, data: st.DataObject, long: bool, count: int) -> None:
        for _ in range(min(count, len(self.open_holds))):
            number = self.open_holds.pop(data.draw(st.integers(0, len(self.open_holds) - 1)))
            line = settled(number, model="m" * 3500 if long else "m")
            self.journal.append(line)
            self.undrained.append(line)

    @precondition(lambda self: self.open_holds)
    @rule()
    def release(self) -> None:
        line = released(self.open_holds.pop())
        self.journal.append(line)
        self.undrained.append(line)

    @rule(most=st.integers(0, 60))
    def drain(self, most: int) -> None:
        batch = self.journal.pending(most)
        assert len(batch.lines) <= most
        for line in batch.lines:
            if isinstance(line, Hold) and line.id in self.seen:
                continue
            assert line == self.undrained.pop(0)
            self.seen.add(line.id)
        self.journal.forget(batch.end)

    @rule()
    def tend(self) -> None:
        self.journal.tend()

    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        if crash:
            abandon(self.journal)
        else:
            end(self.journal)
        self.journal = self.open()
        assert {one.id for one in self.journal.orphans} == {
            hold(number).id for number in self.open_holds
        }

    @invariant()
    def nothing_is_missing(self) -> None:
        found = self.journal.pending(EVERYTHING).lines
        assert len(found) == self.journal.behind
        new = [line for line in found if not (isinstance(line, Hold) and line.id in self.seen)]
        assert new == self.undrained
        assert self.journal.open_holds == len(self.open_holds)
        assert self.journal.size == sum(path.stat().st_size for path in self.folder.glob("*.log"))
        assert self.journal.size <= 8 * SMALL
        assert not self.journal._refused

    def teardown(self) -> None:
        end(self.journal)
        shutil.rmtree(self.folder)


TestJournal = JournalMachine.TestCase
