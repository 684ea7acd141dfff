"""The ledger against a dictionary: whatever is booked, in whatever order and however often."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import Entry
from dragoman.store.ledger import LedgerStore
from tests.support.ledgers import BEGAN, DAY, home_of, standing_of, topup, used
from tests.support.postgres import need_postgres

_tokens = st.integers(0, 10**6)
_usages = st.builds(
    Usage, input=_tokens, cache_read=_tokens, output=_tokens, estimated=st.booleans()
)
_requests = st.builds(
    used,
    st.integers(0, 60 * DAY),
    id=st.integers(0, 500).map(lambda number: f"r{number}"),
    kind=st.sampled_from(("usage", "usage", "usage", "attempt", "overrun")),
    user_id=st.integers(1, 4),
    key_id=st.sampled_from(("", "1", "2")),
    model=st.sampled_from(("a", "b", "é")),
    trial=st.booleans(),
    outcome=st.sampled_from(("ok", "left", "broken", "failed")),
    usage=st.none() | _usages,
    cost=st.none() | st.integers(0, 10**13),
)
_topups = st.builds(
    topup,
    st.integers(0, 60 * DAY),
    st.integers(-(10**13), 10**13),
    user_id=st.integers(1, 4),
    kind=st.sampled_from(("topup", "refund", "adjustment")),
)
_batches = st.lists(_requests | _topups, max_size=12)
_moments = st.integers(0, 61 * DAY).map(lambda seconds: BEGAN + seconds)


class LedgerMachine(RuleBasedStateMachine):
    kind = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.left = ExitStack()
        self.booked: dict[str, Entry] = {}

    @initialize()
    def begin(self) -> None:
        folder = Path(self.left.enter_context(tempfile.TemporaryDirectory()))
        self.home = self.left.enter_context(home_of(self.kind, folder))
        self.loop = self.left.enter_context(asyncio.Runner())
        self.store = self.loop.run(self.home.open())

    @property
    def ledger(self) -> LedgerStore:
        return self.store.ledger()

    @rule(batch=_batches)
    def book(self, batch: list[Entry]) -> None:
        self.loop.run(self.ledger.book(batch))
        for entry in batch:
            self.booked.setdefault(entry.id, entry)

    @precondition(lambda self: self.booked)
    @rule(data=st.data())
    def book_again(self, data: Any) -> None:
        some = data.draw(st.lists(st.sampled_from([*self.booked.values()]), min_size=1))
        self.loop.run(self.ledger.book(some))

    @rule(now=_moments)
    def look_at_the_standing(self, now: float) -> None:
        standing = self.loop.run(self.ledger.standing(now))
        assert standing == standing_of(self.booked.values(), now)
        assert sum(standing.balances.values()) == 0, "money neither comes nor goes"

    @rule(user_id=st.integers(1, 4), since=_moments, until=_moments)
    def look_at_a_statement(self, user_id: int, since: float, until: float) -> None:
        since, until = sorted((since, until))
        found = self.loop.run(
            self.ledger.statement(user_id, since=since, until=until, limit=10_000)
        )
        moved = [line.amount for line in found.lines]
        assert found.opening + sum(moved) == found.closing
        assert [line.entry for line in found.lines] == [
            self.booked[line.entry.id] for line in found.lines
        ]

    @rule()
    def open_anew(self) -> None:
        self.loop.run(self.store.close())
        self.store = self.loop.run(self.home.open())

    @invariant()
    def adds_up(self) -> None:
        assert self.loop.run(self.ledger.verify()).discrepancies == ()

    def teardown(self) -> None:
        self.loop.run(self.store.close())
        self.left.close()


class PostgresMachine(LedgerMachine):
    kind = "postgresql"


def test_the_ledger_in_a_file_is_a_dictionary() -> None:
    run_state_machine_as_test(
        LedgerMachine, settings=settings(max_examples=12, stateful_step_count=15, deadline=None)
    )


def test_the_ledger_on_a_server_is_a_dictionary() -> None:
    need_postgres()
    run_state_machine_as_test(
        PostgresMachine, settings=settings(max_examples=3, stateful_step_count=10, deadline=None)
    )
