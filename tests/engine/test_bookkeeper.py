"""Between journal and tables: nothing lost, nothing booked twice, a database that is away waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec
import pytest

from dragoman.engine.accounting import Accounting
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.governance.ledger import (
    Entry,
    Hold,
    Line,
    Released,
    Settled,
    credit_of,
    transfer,
)
from dragoman.governance.users import Limits, User
from tests.support.books import DictLedger, ListJournal


def settled(name: str, nano: int) -> Settled:
    legs = transfer(credit_of(5), "usage", nano)
    entry = Entry(id=name, kind="usage", at=1.0, user_id=5, cost=nano, legs=legs)
    return Settled(name, (entry,))


class Office:
    """A bookkeeper over a journal and a ledger in memory."""

    def __init__(self, *lines: Line, ledger: DictLedger | None = None) -> None:
        self.journal = ListJournal(lines)
        self.ledger = ledger or DictLedger()
        self.accounting = Accounting(clock=lambda: 1.0, wall=lambda: 1_000.0, journal=self.journal)
        self.accounting.configure([User(id=5, name="ann", prepaid=True)], [])
        self.keeper = Bookkeeper(self.journal, self.ledger, self.accounting, wall=lambda: 1_000.0)

    def spend(self, name: str, nano: int) -> None:
        """What accounting does at a settlement."""
        line = settled(name, nano)
        self.journal.append(line)
        self.accounting.parties.users[5].account.balance -= nano
        undrained = self.accounting.parties.undrained
        undrained[credit_of(5)] = undrained.get(credit_of(5), 0) - nano

    @property
    def balance(self) -> int:
        return self.accounting.parties.users[5].account.balance


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_an_earlier_process_lines_are_booked_once_before_the_accounts_are_read() -> None:
    ledger = DictLedger()
    ledger.balances = {credit_of(5): 100}
    office = Office(Hold("a", 1.0, 5, "k", credit_of(5), 9), settled("a", 7), ledger=ledger)

    async def work() -> None:
        await office.keeper.open()
        assert office.balance == 93
        assert office.journal.behind == 0
        await office.keeper.open()
        assert office.balance == 93

    run(work)


def test_holds_that_a_crash_left_open_are_released_and_flagged() -> None:
    held = Hold("a", 1.0, 5, "k", credit_of(5), 9)
    office = Office(held, Hold("b", 1.0, 5, "k", "", 0), Released("b"))

    async def work() -> None:
        await office.keeper.open()
        (flag,) = office.ledger.entries.values()
        assert (flag.kind, flag.id, flag.legs) == ("orphan", "a#orphan", ())
        assert "held 9" in flag.reason
        again = Office(*office.journal.lines, ledger=office.ledger)
        assert again.journal.orphans == []

    run(work)


def test_what_is_journaled_reaches_the_tables_by_itself() -> None:
    office = Office()
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.keeper.start()
        office.spend("x", 30)
        await until(lambda: office.journal.behind == 0)
        assert office.ledger.balances[credit_of(5)] == 70
        await office.keeper.refresh()
        assert office.balance == 70
        await office.keeper.close()
        assert office.journal.closed

    run(work)


def test_a_top_up_by_somebody_else_counts_once_and_beside_what_is_not_drained() -> None:
    office = Office()
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.spend("x", 30)
        office.ledger.balances[credit_of(5)] += 1_000
        await office.keeper.refresh()
        assert office.balance == 1_070
        await office.keeper.close()
        await office.keeper.refresh()
        assert office.balance == 1_070

    run(work)


def test_a_database_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.ledger.away = True
        office.keeper.start()
        office.spend("x", 30)
        await until(lambda: office.keeper.state.away_seconds > 0)
        await office.keeper.refresh()
        assert office.balance == 70
        office.spend("y", 10)
        office.ledger.away = False
        await until(lambda: office.journal.behind == 0)
        assert office.ledger.balances[credit_of(5)] == 60
        assert office.keeper.state.away_seconds == 0
        await office.keeper.close()

    run(work)
    assert sum("cannot be used" in record.message for record in caplog.records) == 1


def test_a_database_that_is_away_at_the_start_leaves_the_accounts_unknown_until_it_is_back() -> (
    None
):
    office = Office(settled("old", 7))
    office.ledger.balances = {credit_of(5): 100}
    office.ledger.away = True

    async def work() -> None:
        await office.keeper.open()
        assert not office.accounting.balances_known
        office.keeper.start()
        office.spend("new", 20)
        office.ledger.away = False
        await until(lambda: office.accounting.balances_known)
        assert office.balance == 73
        await office.keeper.close()
        assert office.ledger.balances[credit_of(5)] == 73

    run(work)


def test_what_a_failed_booking_leaves_behind_still_counts() -> None:
    office = Office()
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.spend("x", 30)
        office.ledger.away = True
        office.keeper.start()
        await until(lambda: office.keeper.state.away_seconds > 0)
        await office.keeper.close()
        office.ledger.away = False
        await office.keeper.refresh()
        assert office.balance == 70

    run(work)


def test_what_was_spent_before_the_books_could_be_read_counts_once() -> None:
    office = Office(settled("old", 7))
    office.ledger.away = True
    budgets = office.accounting.parties.users[5].budgets

    async def work() -> None:
        await office.keeper.open()
        office.spend("new", 20)
        budgets.spend(20, 1_000.0)
        office.ledger.away = False
        office.keeper.start()
        await until(lambda: office.accounting.balances_known)
        assert budgets.spent[3] == 27
        await office.keeper.close()

    run(work)


def test_lines_that_come_again_count_once() -> None:
    """After a failed sync; here in the midst of their booking."""
    office = Office()
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.spend("x", 30)
        office.ledger.meanwhile = office.journal.repeat
        office.keeper.start()
        await until(lambda: office.journal.behind == 0)
        assert office.accounting.parties.undrained == {}
        await office.keeper.refresh()
        assert office.balance == 70
        await office.keeper.close()

    run(work)


def test_what_the_tables_refuse_does_not_stay_in_the_accounts() -> None:
    class Strict(DictLedger):
        async def book(self, entries: Iterable[Entry]) -> dict[str, int]:
            noted = [msgspec.structs.replace(entry, legs=()) for entry in entries]
            return await super().book(noted)

    office = Office(ledger=Strict())
    office.ledger.balances = {credit_of(5): 100}

    async def work() -> None:
        await office.keeper.open()
        office.spend("x", 30)
        office.keeper.start()
        await until(lambda: office.balance == 100)
        await office.keeper.close()

    run(work)


def test_the_accounts_are_known_though_requests_never_pause() -> None:
    office = Office(settled("old", 7))
    office.ledger.balances = {credit_of(5): 1_000}

    def one_more() -> None:
        office.spend(f"x{len(office.journal.lines)}", 1)
        office.ledger.meanwhile = one_more

    async def work() -> None:
        office.ledger.meanwhile = one_more
        async with asyncio.timeout(5):
            await office.keeper.open()
        assert office.accounting.balances_known
        assert office.balance == 1_000 - 7 - 1
        office.ledger.meanwhile = lambda: None
        await office.keeper.close()

    run(work)


def test_what_does_not_add_up_is_said(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()

    async def check() -> list[str]:
        return ["account credit:5 is 3 nano-USD off"]

    async def work() -> None:
        keeper = Bookkeeper(
            office.journal,
            office.ledger,
            office.accounting,
            wall=lambda: 1_000.0,
            check=check,
            check_seconds=0.01,
        )
        await keeper.open()
        keeper.start()
        await until(lambda: keeper.state.discrepancies == 1)
        await keeper.close()

    run(work)
    assert "credit:5 is 3 nano-USD off" in caplog.text


def test_rate_limits_outlive_the_process() -> None:
    class Memory:
        saved: dict[str, dict[str, int]] = {}  # noqa: RUF012 - shared on purpose

        def load(self) -> dict[str, dict[str, int]]:
            return self.saved

        def save(self, used: dict[str, dict[str, int]]) -> None:
            Memory.saved = used

    async def life(first: bool) -> None:
        office = Office()
        user = User(id=5, name="ann", limits=Limits(requests_per_day=1))
        office.accounting.configure([user], [])
        keeper = Bookkeeper(
            office.journal,
            office.ledger,
            office.accounting,
            wall=lambda: 1_000.0,
            limits=Memory(),
        )
        await keeper.open()
        meter = office.accounting.parties.users[5].meter
        assert (meter.refusal(0, office.accounting.now()) is None) is first
        if first:
            meter.enter(0, office.accounting.now())
        await keeper.close()

    asyncio.run(life(first=True))
    asyncio.run(life(first=False))


def test_who_cannot_wait_for_the_next_turn_has_the_tables_written_at_once() -> None:
    office = Office()

    async def work() -> None:
        await office.keeper.open()
        office.keeper.start()
        for number in range(1_200):
            office.spend(f"r{number}", 1)
        assert await office.keeper.caught_up(20)
        assert len(office.ledger.entries) == 1_200
        assert await office.keeper.caught_up(0)  # nothing is left to wait for
        await office.keeper.close()

    run(work)


def test_what_comes_later_is_not_waited_for() -> None:
    office = Office()

    async def work() -> None:
        await office.keeper.open()
        office.keeper.start()
        office.spend("first", 1)
        waiting = asyncio.ensure_future(office.keeper.caught_up(20))
        await asyncio.sleep(0)
        booked = office.ledger.book

        async def book(entries: Iterable[Entry]) -> None:
            await booked(entries)
            office.spend(f"later {len(office.journal.lines)}", 1)

        office.ledger.book = book  # type: ignore[method-assign]
        assert await waiting
        assert "first" in office.ledger.entries
        office.ledger.book = booked  # type: ignore[method-assign]
        await office.keeper.close()

    run(work)


def test_tables_that_are_away_are_not_waited_for() -> None:
    office = Office()

    async def work() -> None:
        await office.keeper.open()
        office.keeper.start()
        office.ledger.away = True
        office.spend("a", 1)
        assert not await office.keeper.caught_up(20)
        assert not await office.keeper.caught_up(20)
        office.ledger.away = False
        await until(lambda: "a" in office.ledger.entries)
        assert await office.keeper.caught_up(20)
        await office.keeper.close()

    run(work)


def test_no_longer_than_was_said_is_waited() -> None:
    office = Office()

    async def work() -> None:
        await office.keeper.open()  # and not started: nobody writes
        office.spend("a", 1)
        assert not await office.keeper.caught_up(0.01)

    run(work)
