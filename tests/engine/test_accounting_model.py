"""Any sequence of admissions, ends, changes, outages, clock jumps and crashes, against plain sums."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from dragoman.canonical.errors import (
    CreditExhausted,
    Forbidden,
    NotConfigured,
    RateLimited,
    Unavailable,
    UpstreamBroken,
    UpstreamRateLimited,
)
from dragoman.canonical.usage import Usage
from dragoman.engine import bookkeeper
from dragoman.engine.accounting import Accounting
from dragoman.engine.bill import Bill
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.engine.journey import Attempt, Journey
from dragoman.engine.records import Trace
from dragoman.engine.stay import Demand
from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import (
    ADJUSTMENTS,
    CASH,
    GRANTS,
    Entry,
    Released,
    Settled,
    balanced,
    credit_of,
    moved,
    transfer,
    trial_of,
)
from dragoman.governance.money import MILLION
from dragoman.governance.price import Price, Rates, Tier
from dragoman.governance.principal import Principal
from dragoman.governance.purse import periods
from dragoman.governance.users import NO_BUDGET, Budget, Limits, Trial, User
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable
from tests.support.books import DictLedger, ListJournal

START = 1_790_000_000.0
USERS = (5, 6)
CHEAP = Rates(input=7 * MILLION // 2, output=15 * MILLION)
DEAR = Rates(input=30 * MILLION, output=90 * MILLION, request=11)
PRICES = (
    Price(rates=CHEAP, source="operator"),
    Price(rates=DEAR, source="provider"),
    Price(rates=CHEAP, source="operator", tiers=(Tier(20, DEAR),)),
    Price(rates=Rates(), source="local"),
    None,
)
REFUSALS = (CreditExhausted, RateLimited, Forbidden, NotConfigured, Unavailable)
"""What admission may say, and nothing else."""

users = st.sampled_from(USERS)
tokens = st.integers(0, 60)
amounts = st.integers(1, 40_000)
budgets = st.one_of(
    st.just(NO_BUDGET),
    st.builds(Budget, day=st.integers(100, 2_000), month=st.none() | amounts),
    st.builds(Budget, total=st.integers(100, 5_000)),
)
limits = st.one_of(
    st.just(Limits()),
    st.builds(
        Limits,
        concurrent_requests=st.none() | st.integers(1, 3),
        tokens_per_minute=st.none() | st.integers(20, 500),
        requests_per_hour=st.none() | st.integers(1, 20),
    ),
)
usages = st.builds(Usage, input=tokens, output=st.integers(0, 300), cache_read=st.integers(0, 5))


def channel(number: int) -> Channel:
    return Channel(
        id=number,
        name=f"c{number}",
        provider="p",
        endpoints=(Endpoint("openai_chat", "http://x/v1"),),
        max_concurrency=1000,
    )


class Guest:
    """A request inside the gateway."""

    def __init__(self, bill: Bill, trace: Trace) -> None:
        self.bill = bill
        self.trace = trace
        self.stay = bill._stay

    @property
    def user_id(self) -> int:
        return self.stay.user.user.id


class AccountingMachine(RuleBasedStateMachine):
    """Two users with a key each, three channels, a journal and tables in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(bookkeeper, "_BATCH", 3)
        self.now = 100.0
        self.unix = START
        self.prices: dict[int, Price | None] = dict.fromkeys((1, 2, 3), PRICES[0])
        self.unpriced = "auto"
        self.users = {n: User(id=n, name=f"u{n}") for n in USERS}
        self.keys = {
            n: VirtualKey(id=str(n * 10), name=f"k{n}", digest=str(n).encode(), user_id=n)
            for n in USERS
        }
        self.ledger = DictLedger()
        self.count = itertools.count(1)
        self.given: list[Entry] = []  # by the operator, straight into the tables
        self.written: dict[str, Entry] = {}  # by requests
        self.ended: Counter[str] = Counter()
        self.guests: list[Guest] = []

    @initialize()
    def begin(self) -> None:
        """One of them is prepaid, the other has a budget."""
        paying, bounded = USERS
        self.users[paying] = msgspec.structs.replace(self.users[paying], prepaid=True)
        self.users[bounded] = msgspec.structs.replace(
            self.users[bounded], budget=Budget(day=3_000, total=20_000)
        )
        self._give(paying, "topup", CASH, credit_of(paying), 20_000)
        self._live(ListJournal())

    def _live(self, journal: ListJournal) -> None:
        """A process begins."""
        self.journal = journal
        self.seen = len(journal.lines)
        self.guests = []
        self.last_day = self.unix
        self.accounting = Accounting(
            clock=lambda: self.now,
            wall=lambda: self.unix,
            journal=journal,
            price_of=lambda channel, upstream, public: self.prices[channel.id],
        )
        self._configure()
        self.keeper = Bookkeeper(journal, self.ledger, self.accounting, wall=lambda: self.unix)
        self.loop.run_until_complete(self.keeper.open())
        self._read_journal()

    def _configure(self) -> None:
        self.accounting.configure(self.users.values(), self.keys.values(), unpriced=self.unpriced)

    def _read_journal(self) -> None:
        """Note what was written since; a line that comes again says nothing new."""
        for line in self.journal.lines[self.seen :]:
            if isinstance(line, Settled | Released):
                self.ended[line.id] += 1
            if isinstance(line, Settled):
                for entry in line.entries:
                    assert entry.id not in self.written, f"{entry.id} is booked twice"
                    assert balanced(entry)
                    self.written[entry.id] = entry
        self.seen = len(self.journal.lines)

    # What clients do.

    @rule(
        user=users,
        read=tokens,
        most=st.sampled_from((None, -1, 0, 10**20, *range(5, 40, 5))),
        charged=st.sampled_from((True, True, True, False)),
        times=st.integers(1, 4),
    )
    def admit(self, user: int, read: int, most: int | None, charged: bool, times: int) -> None:
        for _ in range(times):
            self._admit(user, read, most, charged)

    def _admit(self, user: int, read: int, most: int | None, charged: bool) -> None:
        name = f"r{next(self.count)}"
        trace = Trace(Journey(id=name, protocol="openai_chat", started=self.now), "g")
        trace.model = "m"
        table = RoutingTable(tuple(channel(number) for number in (1, 2, 3)))
        trace.journey.plan = plan = Plan(table.order("m", self.now))
        principal = Principal(key_id=self.keys[user].id, name="k", user_id=user)
        demand = Demand(name, "generate", lambda: read, most, charged)
        try:
            stay = self.accounting.admit(demand, principal, plan)
        except REFUSALS:
            return
        self.guests.append(Guest(Bill(self.accounting, stay, trace), trace))
        assert stay.nano >= 0
        self._check_admitted(self.guests[-1])

    def _check_admitted(self, guest: Guest) -> None:
        """No budget can be exceeded by what was let in, and no credit."""
        stay, user = guest.stay, guest.stay.user
        if not stay.demand.charged or not stay.nano:
            return
        if stay.trial is None and user.user.prepaid:
            assert user.account.held <= user.account.balance
        for party, budget, own in (
            (user, user.user.budget, lambda e: e.user_id == guest.user_id),
            (
                stay.key,
                self.keys[guest.user_id].budget,
                lambda e: e.key_id == stay.principal.key_id,
            ),
        ):
            spent = self._spent(filter(own, self.written.values()))
            for place, limit in enumerate((budget.day, budget.week, budget.month, budget.total)):
                assert limit is None or spent[place] + party.budgets.held <= limit

    def _spent(self, entries: Iterable[Entry]) -> list[int]:
        """In the latest day, week and month of this process, and in all."""
        sums = [0, 0, 0, 0]
        latest = (*periods(self.last_day), 0)
        for entry in entries:
            if entry.kind in ("usage", "overrun"):
                for place, period in enumerate((*periods(entry.at), 0)):
                    if period >= latest[place]:
                        sums[place] += entry.cost or 0
        return sums

    @precondition(lambda self: self.guests)
    @rule(
        data=st.data(),
        error=st.sampled_from((UpstreamBroken, UpstreamRateLimited)),
        usage=st.none() | usages,
    )
    def fail(self, data: st.DataObject, error: type[Any], usage: Usage | None) -> None:
        """An attempt fails before anything of it has left."""
        guest = data.draw(st.sampled_from(self.guests))
        if guest.trace.journey.committed or (attempt := self._attempt(guest)) is None:
            return
        guest.trace.usage = usage
        attempt.error = error("x")
        guest.bill.failed(attempt)
        guest.trace.journey.plan.failed(attempt.slot, attempt.error, "x")

    def _attempt(self, guest: Guest) -> Attempt | None:
        plan = guest.trace.journey.plan
        assert plan is not None
        slot = plan.pick(self.now)
        if slot is None:
            return None
        attempt = Attempt(slot, "openai_chat")
        guest.trace.journey.attempts.append(attempt)
        guest.bill.began(attempt)
        return attempt

    @precondition(lambda self: self.guests)
    @rule(data=st.data(), usage=usages, how=st.sampled_from(("ok", "ok", "left", "broken", "none")))
    def end(self, data: st.DataObject, usage: Usage, how: str) -> None:
        self._end(data.draw(st.sampled_from(self.guests)), usage, how)

    def _end(self, guest: Guest, usage: Usage, how: str) -> None:
        """A request ends: served, left by its client, broken off, or with nothing at all."""
        self.guests.remove(guest)
        account = guest.stay.user.account
        before = account.balance
        if how != "none" and self._attempt(guest) is not None:
            guest.trace.usage = usage
            guest.trace.journey.committed = how != "left"
            if how == "ok" and guest.stay.demand.charged:
                guest.bill.settle()
        for _ in range(2):  # the second finds nothing to do
            guest.bill.close(left=how == "left")
        assert not guest.stay.open
        if guest.stay.user.user.prepaid:
            assert account.balance >= min(0, before)

    # What the operator does.

    @rule(user=users, prepaid=st.booleans(), budget=budgets, limits=limits, of_key=st.booleans())
    def change(
        self, user: int, prepaid: bool, budget: Budget, limits: Limits, of_key: bool
    ) -> None:
        if of_key:
            key = msgspec.structs.replace(self.keys[user], budget=budget, limits=limits)
            self.keys[user] = key
        else:
            one = self.users[user]
            self.users[user] = msgspec.structs.replace(
                one, prepaid=prepaid, budget=budget, limits=limits
            )
        self._changed()

    @rule(number=st.integers(1, 3), price=st.sampled_from(PRICES))
    def change_price(self, number: int, price: Price | None) -> None:
        self.prices[number] = price

    @rule(unpriced=st.sampled_from(("auto", "block", "allow")))
    def change_policy(self, unpriced: str) -> None:
        self.unpriced = unpriced
        self._changed()

    @precondition(lambda self: not self.ledger.away)
    @rule(user=users, nano=st.integers(-5_000, 50_000))
    def give_credit(self, user: int, nano: int) -> None:
        source = CASH if nano > 0 else ADJUSTMENTS
        self._give(user, "topup" if nano > 0 else "adjustment", source, credit_of(user), nano)
        self._changed()

    @precondition(lambda self: not self.ledger.away)
    @rule(
        user=users,
        bounds=st.none()
        | st.fixed_dictionaries(
            {
                "nano_usd": st.none() | amounts,
                "tokens": st.none() | st.integers(1, 500),
                "requests": st.none() | st.integers(1, 5),
            }
        ),
    )
    def change_trial(self, user: int, bounds: dict[str, Any] | None) -> None:
        """One begins, in place of what there was, or there is none any more."""
        one = self.users[user]
        if one.trial is not None:
            left = self.ledger.balances.get(trial_of(user), 0)
            self._give(user, "trial", GRANTS, trial_of(user), -left, outcome="ended")
        trial = None
        if bounds is not None:
            trial = Trial(ends_at=self.unix + 1_000 + next(self.count), **bounds)
            self._give(user, "trial", GRANTS, trial_of(user), trial.nano_usd or 0)
        self.users[user] = msgspec.structs.replace(one, trial=trial)
        self._changed()

    def _give(
        self, user: int, kind: str, source: str, account: str, nano: int, outcome: str = ""
    ) -> None:
        entry = Entry(
            id=f"op{next(self.count)}",
            kind=kind,
            at=self.unix,
            user_id=user,
            outcome=outcome,
            legs=transfer(source, account, nano),
        )
        self.given.append(entry)
        self.loop.run_until_complete(self.ledger.book([entry]))

    def _changed(self) -> None:
        self._configure()
        self.loop.run_until_complete(self.keeper.refresh())

    # What happens to them all.

    @rule()
    def drain(self) -> None:
        self.loop.run_until_complete(self.keeper._try(self.keeper._catch_up))

    @precondition(lambda self: self.guests)
    @rule(data=st.data(), usage=usages, fails=st.booleans())
    def drain_while_one_ends(self, data: st.DataObject, usage: Usage, fails: bool) -> None:
        """``fails``: the tables have it, but nobody learns that."""
        guest = data.draw(st.sampled_from(self.guests))

        def meanwhile() -> None:
            self._end(guest, usage, "ok")
            self.ledger.away |= fails

        self.ledger.meanwhile = meanwhile
        self.drain()
        if self.ledger.meanwhile is meanwhile:  # there was nothing to book
            self.ledger.meanwhile = lambda: None

    @rule(during=st.booleans())
    def lines_come_again(self, during: bool) -> None:
        """After a failed sync, in the midst of a booking or not."""
        self._read_journal()

        def again() -> None:
            self._read_journal()
            self.journal.repeat()
            self.seen = len(self.journal.lines)

        if during:
            self.ledger.meanwhile = again
            self.drain()
            self.ledger.meanwhile = lambda: None
        else:
            again()

    @rule()
    def the_database_goes_or_comes(self) -> None:
        self.ledger.away = not self.ledger.away

    @rule(
        wall=st.sampled_from((-7_200.0, -60.0, 1.0, 60.0, 3_600.0, 86_400.0, 40 * 86_400.0)),
        seconds=st.sampled_from((0.0, 0.5, 30.0, 3_600.0)),
    )
    def time_passes(self, wall: float, seconds: float) -> None:
        """The wall clock goes where it likes, the other one never back."""
        self.unix += wall
        self.last_day = max(self.last_day, self.unix)
        self.now += seconds

    @rule(forgotten=st.integers(0, 4))
    def crash(self, forgotten: int) -> None:
        """Nobody says goodbye, and the journal's bookmark may be some lines behind."""
        self._read_journal()
        gone = max(0, self.journal.gone - forgotten)
        self._live(ListJournal(self.journal.lines, gone=gone))

    # What holds at any time.

    @invariant()
    def nothing_is_booked_twice_and_nothing_lost(self) -> None:
        self._read_journal()
        assert all(times == 1 for times in self.ended.values())
        waiting = {
            entry.id: entry
            for line in self.journal.lines[self.journal.gone :]
            if isinstance(line, Settled)
            for entry in line.entries
        }
        known = self.ledger.entries | waiting
        assert known.keys() == self.written.keys() | {entry.id for entry in self.given}

    @invariant()
    def the_books_add_up(self) -> None:
        assert sum(self.ledger.balances.values()) == 0
        everything = moved(tuple(self.ledger.entries.values()))
        kept = {name: nano for name, nano in self.ledger.balances.items() if nano}
        assert kept == {name: nano for name, nano in everything.items() if nano}

    @invariant()
    def memory_agrees(self) -> None:
        self._read_journal()
        if not self.accounting.balances_known:
            return
        truth = moved((*self.given, *self.written.values()))
        for user_id in USERS:
            party = self.accounting.parties.users[user_id]
            assert party.account.balance == truth.get(credit_of(user_id), 0)
            if party.trial is not None:
                assert party.trial.money.balance == truth.get(trial_of(user_id), 0)
            own = [e for e in self.written.values() if e.user_id == user_id]
            assert party.budgets.spent[3] == self._spent(own)[3]
            key = self.accounting.parties.keys[self.keys[user_id].id]
            assert key.budgets.spent[3] == self._spent(own)[3]

    @invariant()
    def what_is_held_belongs_to_somebody_inside(self) -> None:
        inside = [guest for guest in self.guests if guest.stay.demand.charged]
        assert self.accounting.stats().holds == len(inside)
        parties = self.accounting.parties
        assert parties.gateway.meter.at_once == len(self.guests)
        for user_id in USERS:
            party, key = parties.users[user_id], parties.keys[self.keys[user_id].id]
            stays = [guest.stay for guest in inside if guest.user_id == user_id]
            assert party.account.held == sum(s.nano for s in stays if s.prepaid and not s.trial)
            assert party.budgets.held == key.budgets.held == sum(s.nano for s in stays)
            at_once = sum(guest.user_id == user_id for guest in self.guests)
            assert party.meter.at_once == key.meter.at_once == at_once
            if party.trial is not None:
                on_trial = [s for s in stays if s.trial is party.trial]
                assert party.trial.money.held == sum(s.nano for s in on_trial)
                assert party.trial.tokens_held == sum(s.input_tokens for s in on_trial)
                assert party.trial.requests >= len(on_trial)

    def teardown(self) -> None:
        """In the end the tables have everything, and memory forgets nothing."""
        self.ledger.away = False
        for guest in [*self.guests]:
            self._end(guest, Usage(input=1), "ok")
        self.drain()
        self.nothing_is_booked_twice_and_nothing_lost()
        self.memory_agrees()
        assert self.journal.behind == 0
        assert self.accounting.balances_known
        assert not any(self.accounting.parties.undrained.values())
        self.patch.undo()
        self.loop.close()


TestAccounting = AccountingMachine.TestCase
TestAccounting.settings = settings(
    max_examples=3 * settings.default.max_examples, stateful_step_count=60
)
