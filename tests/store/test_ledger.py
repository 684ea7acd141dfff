"""The ledger's tables, in a file and on a server: the same tests on both."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import CASH, USAGE, Entry, Leg, credit_of, transfer, trial_of
from dragoman.governance.money import MOST_NANO
from dragoman.governance.standing import Consumption
from dragoman.governance.statements import SelfCheck, Sought, Statement, Used
from dragoman.store import ledger_check
from dragoman.store.errors import EntryRefused
from dragoman.store.ledger import LedgerStore
from dragoman.store.sql import SQLStore
from dragoman.store.store import AuditEntry, Transaction
from tests.support.ledgers import BEGAN, DAY, Home, home_of, standing_of, topup, used

Work = Callable[[LedgerStore], Awaitable[Any]]


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with home_of(request.param, tmp_path) as found:
        yield found


def run(home: Home, work: Work) -> Any:
    return asyncio.run(home.doing(lambda store: work(store.ledger())))


def test_an_entry_comes_back_as_it_was(home: Home) -> None:
    every_bucket = Usage(
        input=1,
        cache_read=2,
        cache_write_5m=3,
        cache_write_1h=4,
        input_audio=5,
        input_image=6,
        output=7,
        reasoning=8,
        output_audio=9,
        output_image=10,
        estimated=True,
    )
    booked = [
        used(1, usage=every_bucket, cost=2**53 + 1, actor="who", reason="why\nand more, «so»"),
        used(2, usage=None, cost=None, channel_id=None, key_id="", trial=True),
        topup(3, 5 * 10**18 // 2),
    ]

    async def work(ledger: LedgerStore) -> None:
        await ledger.book(booked)
        found = await ledger.entries()
        assert [one.entry for one in reversed(found)] == booked
        assert [one.number for one in found] == [3, 2, 1]
        for entry in booked:
            assert await ledger.entry(entry.id) == [entry]
        assert await ledger.entry("nobody's") == []

    run(home, work)


def test_what_is_booked_twice_moves_nothing_again(home: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        first, other = used(1), used(1, cost=99, user_id=4)
        await ledger.book([first, other, first])
        await ledger.book([other, used(2)])
        assert [one.entry for one in await ledger.entries()] == [used(2), first]
        assert await ledger.balances() == {credit_of(3): -2003, USAGE: 2003}
        assert (await ledger.totals()).requests == 2
        assert (await ledger.verify()).ok

    run(home, work)


REFUSED = [
    (used(9, legs=(Leg(credit_of(3), -5), Leg(USAGE, 4))), "sum to zero"),
    (used(9, legs=(Leg(USAGE, 4), Leg(USAGE, -4))), "same account"),
    (used(9, legs=transfer(credit_of(4), USAGE, 5)), "another user"),
    (used(9, cost=-1), "negative"),
    (used(9, cost=2**63), "more than any account"),
    (used(9, at=float("nan")), "time"),
    (used(9, at=float("inf")), "time"),
    (used(9, at=-1.0), "time"),
    (used(9, usage=Usage(input=-1)), "tokens"),
    (used(9, usage=Usage(output=10**30)), "tokens"),
    (topup(9, MOST_NANO), "would hold more"),
]


def test_an_entry_that_cannot_be_is_refused_and_nothing_booked(home: Home) -> None:
    async def work(store: SQLStore) -> None:
        ledger = store.ledger()
        await ledger.book([topup(1, 10**9)])
        for entry, reason in REFUSED:

            def step(at: Transaction, entry: Entry = entry) -> None:
                at.book(used(2))
                at.book(entry)

            with pytest.raises(EntryRefused, match=reason) as refused:
                await store.write(step)
            assert refused.value.id == entry.id
            assert [one.entry.id for one in await ledger.entries()] == ["t1"]
            assert await ledger.balances() == {CASH: -(10**9), credit_of(3): 10**9}
        assert (await ledger.verify()).ok

    asyncio.run(home.doing(work))


def test_an_entry_that_cannot_be_does_not_keep_others_out(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    batch = [used(1)]
    for number, (entry, _) in enumerate(REFUSED, start=10):
        batch += [msgspec.structs.replace(entry, id=f"bad{number}"), used(number)]

    async def work(ledger: LedgerStore) -> None:
        await ledger.book([topup(1, 10**9)])
        await ledger.book(batch)
        await ledger.book(batch)
        good = [entry for entry in batch if not entry.id.startswith("bad")]
        assert (await ledger.totals()).requests == len(good)
        assert await ledger.standing(BEGAN) == standing_of([topup(1, 10**9), *good], BEGAN)
        notes = await ledger.entries(Sought(kind="refused"))
        assert {one.entry.id for one in notes} == {e.id for e in batch} - {e.id for e in good}
        assert all("cannot be booked" in one.entry.reason for one in notes)
        assert all(f"{one.entry.id!r} cannot be booked" in caplog.text for one in notes)
        assert (await ledger.verify()).ok

    run(home, work)


def test_text_from_outside_is_kept_as_far_as_a_database_can(home: Home) -> None:
    hostile = "m\0\ud800\n" + "x" * 5000

    async def work(ledger: LedgerStore) -> None:
        await ledger.book([used(1, id=hostile, model=hostile, reason=hostile, request_ms=1e999)])
        await ledger.book([used(1, id=hostile)])
        (found,) = await ledger.entries(Sought(model=hostile))
        assert found.entry.model == "m\ufffd?\n" + "x" * 196
        assert found.entry.request_ms == 0.0
        assert await ledger.costs([hostile]) == {found.entry.id: 1001}
        assert (await ledger.usage(by="model"))[0].of == found.entry.model
        assert (await ledger.verify()).ok

    run(home, work)


@pytest.mark.parametrize("table", ["entries", "legs"])
def test_the_database_itself_refuses_to_change_what_is_booked(home: Home, table: str) -> None:
    async def work(ledger: LedgerStore) -> None:
        await ledger.book([used(1)])

    run(home, work)
    before = home.sql(f"SELECT * FROM {table}")
    changes = [f"UPDATE {table} SET number = 8", f"DELETE FROM {table}"]
    for change in changes + [f"TRUNCATE {table}"] * bool(home.url):
        with pytest.raises(Exception, match="append-only"):
            home.sql(change)
    assert home.sql(f"SELECT * FROM {table}") == before


def test_a_booking_by_hand_and_its_audit_entry_are_one_step(home: Home) -> None:
    noted = AuditEntry(at=BEGAN, actor="ann", via="cli", action="credit.topup")

    async def main() -> None:
        store = await home.open()

        def interrupted(step: Any) -> None:
            step.book(topup(1, 500))
            step.note(noted)
            assert step.balance(credit_of(3)) == 500
            raise KeyError("in the middle")

        with pytest.raises(KeyError):
            await store.write(interrupted)
        assert await store.ledger().balances() == {}
        assert await store.audit(10) == []
        assert await store.write(lambda step: step.book(topup(1, 500)))
        assert not await store.write(lambda step: step.book(topup(1, 500)))
        assert await store.write(lambda step: step.booked("t1")) == topup(1, 500)
        assert await store.write(lambda step: step.booked("t2")) is None
        assert await store.ledger().balance(credit_of(3)) == 500
        await store.close()

    asyncio.run(main())


def test_two_processes_book_without_losing_an_addition(home: Home) -> None:
    async def main() -> None:
        stores = [await home.open(), await home.open()]
        await stores[0].ledger().balances()  # a fresh database is prepared by one of them
        await asyncio.gather(
            *(
                store.ledger().book([used(number * 2 + place), used(number)])
                for number in range(100, 120)
                for place, store in enumerate(stores)
            )
        )
        ledger = stores[0].ledger()
        booked = [one.entry for one in await ledger.entries(limit=1000)]
        assert await ledger.standing(BEGAN) == standing_of(booked, BEGAN)
        assert len(booked) == len({entry.id for entry in booked})
        assert (await ledger.verify()).ok
        for store in stores:
            await store.close()

    asyncio.run(main())


def many() -> list[Entry]:
    """Requests of three users over 50 days, with top-ups, unpriced ones, attempts and overruns."""
    made: list[Entry] = []
    for number in range(400):
        at = number * 10_800
        user_id = 3 + number % 3
        fields: dict[str, Any] = {
            "at": BEGAN + at,
            "user_id": user_id,
            "key_id": str(number % 5),
            "model": f"m{number % 4}",
            "channel": f"c{number % 2}",
            "provider": f"p{number % 2}",
            "trial": number % 11 == 0,
            "outcome": "broken" if number % 13 == 0 else "ok",
            "cost": None if number % 17 == 0 else number * 1000,
        }
        made.append(used(number, **fields))
        if number % 20 == 0:
            made.append(
                topup(number, 10**5, user_id, ("topup", "refund", "adjustment")[number % 3])
            )
            made[-1] = msgspec.structs.replace(made[-1], at=BEGAN + at)
        if number % 19 == 0:
            extra = fields | {"usage": None, "cost": 77}
            made.append(used(number, **extra | {"id": f"r{number}#overrun", "kind": "overrun"}))
            failed = {"id": f"r{number}#1", "kind": "attempt", "outcome": "failed", "trial": False}
            made.append(used(number, **fields | {"cost": 55} | failed))
    return made


@pytest.fixture
def filled(home: Home) -> Home:
    async def work(ledger: LedgerStore) -> None:
        await ledger.book(many())

    run(home, work)
    return home


def sums_of(entries: list[Entry]) -> Used:
    counted = [entry for entry in entries if entry.kind != "overrun"]
    usages = [entry.usage for entry in counted if entry.usage is not None]
    return Used(
        requests=len(counted),
        errors=sum(entry.outcome in ("broken", "failed") for entry in counted),
        input=sum(usage.total_input for usage in usages),
        cached=sum(usage.cache_read for usage in usages),
        output=sum(usage.total_output for usage in usages),
        cost=sum(entry.cost or 0 for entry in entries),
        unpriced=sum(entry.cost is None for entry in counted),
        estimated=sum(usage.estimated for usage in usages),
    )


def start_of(at: float, bucket: str) -> int:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    moment = moment.replace(minute=0, second=0, microsecond=0)
    if bucket != "hour":
        moment = moment.replace(hour=0)
    return int((moment.replace(day=1) if bucket == "month" else moment).timestamp())


@pytest.mark.row("S4-53")
def test_usage_over_time_is_what_the_entries_say(filled: Home) -> None:
    served = [entry for entry in many() if entry.kind in ("usage", "overrun")]
    dimensions = {
        "user": "user_id",
        "key": "key_id",
        "model": "model",
        "channel": "channel",
        "provider": "provider",
        None: None,
    }

    async def work(ledger: LedgerStore) -> None:
        for bucket in ("hour", "day", "month"):
            for by, field in dimensions.items():
                groups: dict[tuple[int, Any], list[Entry]] = {}
                for entry in served:
                    of = None if field is None else getattr(entry, field)
                    groups.setdefault((start_of(entry.at, bucket), of), []).append(entry)
                found = await ledger.usage(bucket=bucket, by=by)  # type: ignore[arg-type]
                assert {(row.start, row.of): row.used for row in found} == {
                    place: sums_of(entries) for place, entries in groups.items()
                }
                assert [row.start for row in found] == sorted(row.start for row in found)
        one = Sought(user_id=4, model="m1", since=BEGAN + 9 * DAY, until=BEGAN + 33 * DAY)
        hour = start_of(BEGAN + 9 * DAY, "hour")
        assert await ledger.totals(one) == sums_of(
            [
                entry
                for entry in served
                if (entry.user_id, entry.model) == (4, "m1") and hour <= entry.at < BEGAN + 33 * DAY
            ]
        )
        attempts = [entry for entry in many() if entry.kind == "attempt"]
        assert await ledger.totals(attempts=True) == sums_of(attempts)

    run(filled, work)


def test_listings_take_every_filter_and_turn_pages(filled: Home) -> None:
    newest_first = sorted(enumerate(many()), key=lambda one: (one[1].at, one[0]), reverse=True)

    def expected(**fields: Any) -> list[Entry]:
        return [
            entry
            for _, entry in newest_first
            if all(getattr(entry, name) == value for name, value in fields.items())
        ]

    async def work(ledger: LedgerStore) -> None:
        for fields in (
            {"user_id": 4},
            {"key_id": "2"},
            {"kind": "topup"},
            {"model": "m3", "channel": "c1"},
            {"provider": "p0", "user_id": 5},
        ):
            found = await ledger.entries(Sought(**fields), limit=1000)  # type: ignore[arg-type]
            assert [one.entry for one in found] == expected(**fields)
        since, until = BEGAN + 5 * DAY, BEGAN + 8 * DAY
        found = await ledger.entries(Sought(since=since, until=until), limit=1000)
        assert [one.entry for one in found] == [e for e in expected() if since <= e.at < until]
        everything = expected()
        assert [one.entry for one in await ledger.entries(limit=7, offset=40)] == everything[40:47]
        paged: list[Entry] = []
        before = None
        while page := await ledger.entries(limit=90, before=before):
            paged += [one.entry for one in page]
            before = page[-1].number
        assert paged == everything

    run(filled, work)


def test_a_statement_adds_up_line_by_line_and_page_by_page(filled: Home) -> None:
    account = credit_of(3)
    since, until = BEGAN + 7 * DAY + 0.5, BEGAN + 40 * DAY + 1801.0

    def moved(entry: Entry) -> int:
        return sum(leg.amount for leg in entry.legs if leg.account == account)

    def balance_at(moment: float) -> int:
        return sum(moved(entry) for entry in many() if entry.at < moment)

    async def pages(ledger: LedgerStore, **bounds: Any) -> list[Statement]:
        found = [await ledger.statement(3, limit=13, **bounds)]
        while found[-1].more:
            before = found[-1].lines[-1].number
            found.append(await ledger.statement(3, limit=13, before=before, **bounds))
        return found

    async def work(ledger: LedgerStore) -> None:
        for start, end in ((None, None), (since, until), (since, None), (None, until)):
            found = await pages(ledger, since=start, until=end)
            opening = 0 if start is None else balance_at(start)
            closing = balance_at(1e12 if end is None else end)
            assert {(one.opening, one.closing) for one in found} == {(opening, closing)}
            lines = [line for one in found for line in one.lines]
            assert {line.entry.id for line in lines} == {
                entry.id
                for entry in many()
                if moved(entry) and (start or 0) <= entry.at < (end or 1e12)
            }
            balance = closing
            for line in lines:
                assert (line.amount, line.balance) == (moved(line.entry), balance)
                balance -= line.amount
            assert balance == opening
        nobody = await ledger.statement(4711)
        assert (nobody.opening, nobody.closing, nobody.lines) == (0, 0, ())

    run(filled, work)


def test_costs_of_many_requests_at_once(filled: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        asked = [f"r{number}" for number in range(10_000)]
        found = await ledger.costs(asked)
        assert found.keys() == {f"r{number}" for number in range(400)}
        assert found["r1"] == 1000
        assert found["r19"] == 19_000 + 77, "with what the account could not pay, not the attempt"
        assert found["r17"] is None
        assert await ledger.costs([]) == {}
        owners = {entry.id: entry.user_id for entry in many() if entry.kind == "usage"}
        for user_id in {*owners.values()}:
            assert await ledger.costs(asked, user_id=user_id) == {
                request_id: cost
                for request_id, cost in found.items()
                if owners[request_id] == user_id
            }

    run(filled, work)


def test_what_else_a_request_caused_is_shown_with_it(filled: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        for asked in ("r19", "r19#1", "r19#overrun"):
            found = await ledger.entry(asked)
            assert [entry.id for entry in found] == ["r19", "r19#overrun", "r19#1"]

    run(filled, work)


def test_models_without_a_price_are_named(filled: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        since = BEGAN + 20 * DAY
        named = {(one.model, one.channel): one for one in await ledger.unpriced(since)}
        late = [e for e in many() if e.cost is None and e.at >= start_of(since, "hour")]
        assert named.keys() == {(e.model, e.channel) for e in late}
        assert sum(one.requests for one in named.values()) == len(late)
        for (model, channel), one in named.items():
            last = max(e.at for e in late if (e.model, e.channel) == (model, channel))
            assert one.last == start_of(last, "hour")

    run(filled, work)


def test_csv_holds_every_entry_and_no_formula(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.store.ledger._EXPORTED_AT_ONCE", 50)
    formula = used(9_999_999, model="=HYPERLINK(0)", reason='says "no", twice\r\n')

    async def work(ledger: LedgerStore) -> None:
        await ledger.book([*many(), formula])
        pieces = [piece async for piece in ledger.export()]
        assert len(pieces) > 5
        rows = [*csv.DictReader(io.StringIO("".join(pieces), newline=""))]
        oldest_first = sorted(many(), key=lambda entry: entry.at)
        assert [row["id"] for row in rows] == [*(e.id for e in oldest_first), formula.id]
        assert rows[-1]["model"] == "'=HYPERLINK(0)"
        assert rows[-1]["reason"] == formula.reason
        assert sum(int(row["cost_nano_usd"] or 0) for row in rows) == sum(
            entry.cost or 0 for entry in (*many(), formula)
        )
        assert rows[0]["at"] == "2026-09-21T14:13:20.000Z"
        assert rows[0]["cost_usd"] == "", "no price is no zero"
        mine = [piece async for piece in ledger.export(Sought(user_id=3))]
        moved = csv.DictReader(io.StringIO("".join(mine), newline=""))
        assert sum(int(row["credit_nano_usd"]) for row in moved) == await ledger.balance(
            credit_of(3)
        )

    run(home, work)


def test_standing_is_what_the_entries_say(filled: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        for days in (0, 9, 13, 49.99):
            now = BEGAN + days * DAY
            assert await ledger.standing(now) == standing_of(many(), now)

    run(filled, work)


def test_a_new_trial_begins_with_nothing_consumed(home: Home) -> None:
    def marked(number: int, outcome: str) -> Entry:
        return Entry(
            id=f"m{number}", kind="trial", at=BEGAN, user_id=3, outcome=outcome, trial=True
        )

    async def work(ledger: LedgerStore) -> None:
        consumed = (await ledger.standing(BEGAN)).trials
        assert consumed == {}
        await ledger.book([marked(1, "started"), used(2, trial=True), used(3, trial=True)])
        consumed = (await ledger.standing(BEGAN)).trials
        assert consumed == {3: Consumption(tokens=314, requests=2)}
        assert await ledger.balance(trial_of(3)) == -2005
        await ledger.book([marked(4, "ended"), marked(5, "started")])
        assert (await ledger.standing(BEGAN)).trials == {3: Consumption()}
        await ledger.book([used(6, trial=True)])
        assert (await ledger.standing(BEGAN)).trials == {3: Consumption(tokens=157, requests=1)}

    run(home, work)


FORGERIES = {
    "an amount": ("legs", "UPDATE legs SET amount = amount - 1 WHERE number = 5 AND leg = 0"),
    "a cost": ("entries", "UPDATE entries SET cost = cost + 1 WHERE number = 5"),
    "tokens": ("entries", "UPDATE entries SET output = output - 1 WHERE number = 5"),
    "a user": ("entries", "UPDATE entries SET user_id = 99 WHERE number = 5"),
    "a model": ("entries", "UPDATE entries SET model = 'cheap' WHERE number = 5"),
    "a time": ("entries", "UPDATE entries SET at = at + 7200 WHERE number = 5"),
    "an entry gone": ("entries", "DELETE FROM entries WHERE number = 5"),
    "legs gone": ("legs", "DELETE FROM legs WHERE number = 5"),
    "a balance": ("accounts", "UPDATE accounts SET balance = balance + 1 WHERE name = 'credit:3'"),
    "an account gone": ("accounts", "DELETE FROM accounts WHERE name = 'credit:3'"),
    "an hour of an account": ("account_hours", "UPDATE account_hours SET amount = amount + 1"),
    "an hour of usage": ("usage_hours", "UPDATE usage_hours SET requests = requests + 1"),
    "an hour gone": ("usage_hours", "DELETE FROM usage_hours WHERE user_id = 3"),
    "an hour invented": ("usage_hours", "UPDATE usage_hours SET hour = hour + 3600000000"),
    "a day of usage": ("usage_days", "UPDATE usage_days SET cost = cost - 1"),
    "a day gone": ("usage_days", "DELETE FROM usage_days WHERE user_id = 3"),
}


async def checked_after(store: SQLStore, home: Home, forgery: str) -> SelfCheck:
    """What the check finds after a forgery, which is then undone."""
    found: list[SelfCheck] = []

    class Undone(Exception):
        pass

    def work(connection: Connection) -> None:
        async def within(look: Callable[[Connection], Any]) -> Any:
            return look(connection)

        table, statement = FORGERIES[forgery]
        for before in home.unprotecting(table):
            connection.exec_driver_sql(before)
        assert connection.exec_driver_sql(statement).rowcount > 0
        found.append(asyncio.run(LedgerStore(within, within).verify(most=5)))
        raise Undone

    with pytest.raises(Undone):
        await store._write(work)
    return found[0]


def test_the_check_finds_what_was_forged(filled: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_check, "PORTION", 37)

    async def work(store: SQLStore) -> None:
        for forgery in FORGERIES:
            sound = await store.ledger().verify()
            assert (sound.entries, sound.discrepancies) == (len(many()), ())
            forged = await checked_after(store, filled, forgery)
            assert 1 <= len(forged.discrepancies) <= 5, forgery

    asyncio.run(filled.doing(work))


def test_the_check_names_prepaid_users_below_zero(filled: Home) -> None:
    async def work(ledger: LedgerStore) -> None:
        balance = await ledger.balance(credit_of(5))
        assert balance < 0
        (found,) = (await ledger.verify({5, 4711})).discrepancies
        assert (found.what, found.of) == ("credit", "credit:5")
        # Who books by hand may leave it so: he knows why.
        await ledger.book([topup(99_999, -1, user_id=5, kind="adjustment")])
        assert (await ledger.verify({5, 4711})).ok

    run(filled, work)
