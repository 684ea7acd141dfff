"""Lines for the journal, and journals that end as a crash ends them.

``python -m tests.support.journals DIR`` appends as fast as it can. It prints ``journal KIND ID`` once
the journal has taken a line, and ``table KIND ID`` before the journal forgets it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from hypothesis import strategies as st

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import Entry, Hold, Leg, Line, Released, Settled, transfer
from dragoman.store.journal import Journal

SMALL = 16 * 1024
"""Bytes of the smallest segment that is allowed."""
EVERYTHING = 1_000_000


def hold(name: str | int) -> Hold:
    return Hold(f"req-{name}", 1_700_000_000.25, 7, "key-1", "credit:7", 123_456_789)


def settled(name: str | int, model: str = "gpt-4o") -> Settled:
    entry = Entry(
        id=f"req-{name}",
        kind="usage",
        at=1_700_000_001.5,
        user_id=7,
        key_id="key-1",
        model=model,
        usage=Usage(input=100, output=20),
        cost=9_007_199_254_740_993,  # no float holds it
        legs=transfer("credit:7", "usage", 9_007_199_254_740_993),
    )
    return Settled(entry.id, (entry,))


def released(name: str | int) -> Released:
    return Released(f"req-{name}")


def abandon(journal: Journal) -> None:
    """Let the files be as a kill -9 would: nothing is synced or closed, and only the lock is free."""
    journal._closing = True
    os.close(journal._lock)


def drain(journal: Journal, most: int = 100) -> list[Line]:
    """Everything, portion by portion, as the bookkeeper does it."""
    found: list[Line] = []
    while journal.behind:
        batch = journal.pending(most)
        assert batch.lines, "lines that cannot be had"
        found += batch.lines
        journal.forget(batch.end)
    return found


def end(journal: Journal) -> None:
    """Close it in order."""
    asyncio.run(journal.close())


_texts = st.text(max_size=300)
_money = st.integers(-(2**63), 2**63 - 1)
_entries = st.builds(
    Entry,
    id=st.text(max_size=60),
    kind=st.sampled_from(["usage", "attempt", "overrun"]),
    at=st.floats(allow_nan=False),
    user_id=st.integers(0, 2**63 - 1),
    model=_texts,
    channel_id=st.none() | st.integers(0, 2**31),
    usage=st.none() | st.builds(Usage, input=st.integers(0, 2**40), estimated=st.booleans()),
    cost=st.none() | _money,
    legs=st.lists(st.builds(Leg, st.text(max_size=40), _money), max_size=4).map(tuple),
)
_ids = st.text(max_size=60)
any_line: st.SearchStrategy[Line] = st.one_of(
    st.builds(Hold, _ids, st.floats(allow_nan=False), st.integers(0, 2**31), _ids, _ids, _money),
    st.builds(Settled, _ids, st.lists(_entries, max_size=2).map(tuple)),
    st.builds(Released, _ids),
)
"""Lines that fit as they are."""


def say(word: str, line: Line) -> None:
    os.write(1, f"{word} {type(line).__name__} {line.id}\n".encode())


async def write(folder: Path) -> None:
    """Until killed."""
    journal = Journal.open(folder, segment_bytes=4 * SMALL)
    journal.start()
    for number in itertools.count():
        while journal.full:
            await asyncio.sleep(0)
        name = f"{os.getpid()}-{number}"
        journal.admit(hold(name))
        say("journal", hold(name))
        if number % 7:  # every seventh request is still open at the end
            journal.append(settled(name))
            say("journal", settled(name))
        if number % 64 == 0:
            await asyncio.sleep(0)
            batch = journal.pending(100)
            for line in batch.lines:
                say("table", line)
            journal.forget(batch.end)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
