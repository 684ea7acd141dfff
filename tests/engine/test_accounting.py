"""Admission and settlement: exact under concurrency, and every nano-dollar in the books."""

from __future__ import annotations

import msgspec
import pytest

from dragoman.canonical.errors import (
    CreditExhausted,
    Forbidden,
    GatewayError,
    NotConfigured,
    RateLimited,
    Unavailable,
    UpstreamBroken,
    UpstreamRateLimited,
)
from dragoman.canonical.usage import Usage
from dragoman.engine.accounting import OUTPUT_HELD, Accounting
from dragoman.engine.bill import Bill
from dragoman.engine.journey import Attempt, Journey
from dragoman.engine.records import Trace
from dragoman.engine.stay import Demand
from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import Hold, Line, Released, balanced, moved
from dragoman.governance.money import MILLION, NANO
from dragoman.governance.price import Price, Rates
from dragoman.governance.principal import Principal
from dragoman.governance.standing import Consumption, Spending, Standing
from dragoman.governance.users import Budget, Limits, Trial, User
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable
from tests.support.books import ListJournal

CHEAP = Price(rates=Rates(input=1_000 * MILLION, output=1_000 * MILLION), source="operator")
DEAR = Price(rates=Rates(input=3_000 * MILLION, output=3_000 * MILLION), source="operator")
ANN = Principal(key_id="7", name="ann's", user_id=5)


def channel(number: int) -> Channel:
    return Channel(
        id=number,
        name=f"c{number}",
        provider="p",
        endpoints=(Endpoint("openai_chat", "http://x/v1"),),
        max_concurrency=1000,
    )


class Desk:
    """An accounting with one user, one key and two channels, the second of which is dearer."""

    def __init__(
        self,
        *,
        user: User | None = None,
        key: VirtualKey | None = None,
        balance: int = 0,
        prices: dict[int, Price | None] | None = None,
        **settings: object,
    ) -> None:
        self.now = 1_000.0
        self.unix = 1_790_000_000.0
        self.prices = {1: CHEAP, 2: DEAR} if prices is None else prices
        self.journal = ListJournal()
        self.accounting = Accounting(
            clock=lambda: self.now,
            wall=lambda: self.unix,
            journal=self.journal,
            price_of=lambda channel, upstream, public: self.prices.get(channel.id),
        )
        self.user = user or User(id=5, name="ann", prepaid=True)
        self.key = key or VirtualKey(id="7", name="ann's", digest=b"7", user_id=5)
        self.settings = settings
        self.configure()
        self.accounting.restore(Standing(balances={"credit:5": balance}), first=True)
        self.table = RoutingTable((channel(1), channel(2)))
        self.count = 0

    def configure(self, **user: object) -> None:
        self.user = msgspec.structs.replace(self.user, **user)
        self.accounting.configure([self.user], [self.key], **self.settings)

    def plan(self) -> Plan:
        return Plan(self.table.order("m", self.now))

    def admit(self, *, tokens: int = 100, most: int | None = 100, charged: bool = True) -> Bill:
        self.count += 1
        trace = Trace(Journey(id=f"r{self.count}", protocol="openai_chat", started=self.now), "g")
        trace.model = "m"
        trace.journey.plan = plan = self.plan()
        demand = Demand(trace.journey.id, "generate", lambda: tokens, most, charged=charged)
        bill = Bill(self.accounting, self.accounting.admit(demand, ANN, plan), trace)
        trace.bill = bill
        self.trace = trace
        return bill

    def attempt(self, bill: Bill, trace: Trace | None = None) -> Attempt:
        trace = trace or self.trace
        assert trace.journey.plan is not None
        slot = trace.journey.plan.pick(self.now)
        assert slot is not None
        attempt = Attempt(slot, "openai_chat")
        trace.journey.attempts.append(attempt)
        bill.began(attempt)
        return attempt

    def serve(self, usage: Usage, **wanted: int) -> Bill:
        bill = self.admit(**wanted)
        self.attempt(bill)
        self.trace.usage = usage
        bill.settle()
        return bill

    @property
    def balance(self) -> int:
        return self.accounting.parties.users[5].account.balance

    @property
    def held(self) -> int:
        return self.accounting.parties.users[5].account.held


def test_of_200_requests_at_once_exactly_the_ten_that_can_be_paid_for_are_served() -> None:
    worst = 200 * 3_000  # 100 tokens in and 100 out at the dearer channel
    desk = Desk(balance=10 * worst + worst - 1)
    admitted: list[tuple[Bill, Trace]] = []
    refused: list[CreditExhausted] = []
    for _ in range(200):
        try:
            admitted.append((desk.admit(), desk.trace))
        except CreditExhausted as error:
            refused.append(error)
    assert (len(admitted), len(refused)) == (10, 190)
    assert {(error.status, error.retryable) for error in refused} == {(402, False)}
    assert desk.held == 10 * worst
    for bill, trace in admitted:
        desk.attempt(bill, trace)
        trace.usage = Usage(input=100, output=100)
        bill.settle()
    assert desk.held == 0
    assert desk.balance >= 0
    assert sum(e.cost or 0 for e in desk.journal.entries()) == 11 * worst - 1 - desk.balance


def test_the_hold_is_the_dearest_candidates_price_and_the_settlement_the_actual_one() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(tokens=10, most=20)
    (hold,) = desk.journal.lines
    assert isinstance(hold, Hold)
    assert (hold.account, hold.nano) == ("credit:5", 30 * 3_000)
    desk.attempt(bill)
    desk.trace.usage = Usage(input=9, output=1)
    bill.settle()
    assert bill.cost == 10 * 1_000
    assert desk.balance == NANO - 10_000
    (entry,) = desk.journal.entries()
    assert balanced(entry)
    assert moved((entry,)) == {"credit:5": -10_000, "usage": 10_000}
    assert (entry.price_source, entry.channel, entry.user_id) == ("operator", "c1", 5)


def test_a_request_without_a_bound_is_held_for_the_usual_output() -> None:
    desk = Desk(balance=NANO)
    desk.admit(tokens=0, most=None)
    assert desk.held == OUTPUT_HELD * 3_000


def test_every_answer_that_is_wanted_is_held_for_and_no_wish_overflows() -> None:
    assert Demand("r", "generate", lambda: 0, 10, answers=3).output(7) == 30
    assert Demand("r", "generate", lambda: 0, None, answers=3).output(7) == 21
    huge = Demand("r", "generate", lambda: 0, 10**30, answers=10**30).output(7)
    assert 10**9 < huge < 10**12


def test_what_goes_beyond_hold_and_credit_is_an_overrun_and_the_account_ends_at_zero() -> None:
    desk = Desk(balance=100_000)
    bill = desk.serve(Usage(input=10, output=1_000), tokens=10, most=10)
    assert bill.cost == 1_010_000
    assert desk.balance == 0
    served, overrun = desk.journal.entries()
    assert moved((served, overrun)) == {
        "credit:5": -100_000,
        "usage": 1_010_000,
        "overrun:5": -910_000,
    }
    assert overrun.id == f"{served.id}#overrun"
    with pytest.raises(CreditExhausted):
        desk.admit()


def test_an_overrun_does_not_take_what_others_hold() -> None:
    desk = Desk(balance=100 * 3_000 + 60_000)
    desk.admit(tokens=50, most=50)
    desk.serve(Usage(input=1_000), tokens=10, most=10)
    assert desk.accounting.parties.users[5].account.available == 0
    assert desk.balance == 100 * 3_000


def test_a_user_who_is_not_prepaid_runs_up_a_bill() -> None:
    desk = Desk(user=User(id=5, name="ann"))
    desk.serve(Usage(input=5))
    assert desk.balance == -5_000


def test_nothing_delivered_costs_the_client_nothing() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit()
    bill.close(left=True)
    assert (desk.balance, desk.held) == (NANO, 0)
    assert isinstance(desk.journal.lines[-1], Released)
    bill.close(left=True)
    assert len(desk.journal.lines) == 2


def test_a_failed_attempt_is_the_operators_expense() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(tokens=40)
    first = desk.attempt(bill)
    desk.trace.usage = Usage(input=30, output=2)
    first.error = UpstreamBroken("cut off")
    bill.failed(first)
    desk.trace.journey.plan.failed(first.slot, first.error, "x")  # type: ignore[union-attr,arg-type]
    desk.attempt(bill)
    desk.trace.usage = Usage(input=30, output=5)
    bill.settle()
    failed, served = desk.journal.entries()
    assert (failed.kind, failed.id, failed.channel) == ("attempt", "r1#1", "c1")
    assert moved((failed,)) == {"operator": -32_000, "usage": 32_000}
    assert moved((served,)) == {"credit:5": -35 * 3_000, "usage": 35 * 3_000}
    assert desk.balance == NANO - 35 * 3_000


def test_a_failure_that_may_have_been_billed_is_estimated_and_a_refusal_is_not() -> None:
    for error, kinds in ((UpstreamBroken("x"), ["attempt"]), (UpstreamRateLimited("x"), [])):
        desk = Desk(balance=NANO)
        bill = desk.admit(tokens=40)
        attempt = desk.attempt(bill)
        attempt.error = error
        bill.failed(attempt)
        bill.close(left=False)
        assert [entry.kind for entry in desk.journal.entries()] == kinds
        assert desk.balance == NANO
        for entry in desk.journal.entries():
            assert entry.usage == Usage(input=40, estimated=True)


def test_a_client_that_leaves_pays_for_what_was_read_marked_estimated() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(tokens=40)
    desk.attempt(bill)
    bill.close(left=True)
    (entry,) = desk.journal.entries()
    assert entry.outcome == "left"
    assert entry.usage is not None
    assert entry.usage.estimated
    assert desk.balance == NANO - 40_000


def test_an_answer_that_breaks_off_is_paid_as_far_as_it_went() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit()
    desk.attempt(bill)
    desk.trace.usage = Usage(input=3, output=4)
    desk.trace.journey.committed = True
    bill.close(left=False)
    (entry,) = desk.journal.entries()
    assert (entry.outcome, entry.cost) == ("broken", 7_000)


def test_a_price_that_changes_meanwhile_is_the_next_requests() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit()
    desk.attempt(bill)
    desk.prices = {1: DEAR, 2: DEAR}
    desk.trace.usage = Usage(input=1)
    bill.settle()
    assert bill.cost == 1_000
    assert desk.serve(Usage(input=1)).cost == 3_000


def test_a_cent_of_the_budget_is_not_spent_twice_at_once() -> None:
    worst = 200 * 3_000
    user = User(id=5, name="ann", budget=Budget(day=3 * worst))
    desk = Desk(user=user)
    for _ in range(3):
        desk.admit()
    with pytest.raises(CreditExhausted, match="a day"):
        desk.admit()


def test_a_keys_budget_counts_beside_its_users_and_what_the_books_say_was_spent() -> None:
    key = VirtualKey(id="7", name="ann's", digest=b"7", user_id=5, budget=Budget(month=1_000_000))
    desk = Desk(user=User(id=5, name="ann"), key=key)
    spent = Spending(day=0, week=0, month=500_000, total=900_000)
    desk.accounting.restore(Standing(keys={"7": spent}), first=True)
    with pytest.raises(CreditExhausted, match="key"):
        desk.admit()
    desk.unix += 32 * 86_400
    desk.admit()


def test_a_negative_bound_is_none_and_holds_no_negative_money() -> None:
    desk = Desk(balance=NANO)
    desk.admit(tokens=0, most=-(10**9))
    assert desk.held == OUTPUT_HELD * 3_000


def test_an_account_that_becomes_prepaid_meanwhile_is_not_overdrawn() -> None:
    desk = Desk(user=User(id=5, name="ann"), balance=2_000)
    bill = desk.admit()
    desk.configure(prepaid=True)
    desk.attempt(bill)
    desk.trace.usage = Usage(input=5)
    bill.settle()
    assert desk.balance == 0
    assert [entry.kind for entry in desk.journal.entries()] == ["usage", "overrun"]


def test_free_models_are_served_to_an_account_below_zero() -> None:
    free = Price(rates=Rates(), source="local")
    desk = Desk(balance=-5, prices={1: free, 2: free})
    assert desk.serve(Usage(input=10)).cost == 0
    assert desk.balance == -5


def test_who_leaves_after_the_last_word_pays_what_the_upstream_told() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(tokens=1_000)
    desk.attempt(bill)
    desk.trace.journey.committed = True
    desk.trace.usage, desk.trace.finish = Usage(input=3, output=4), "stop"
    bill.close(left=True)
    (entry,) = desk.journal.entries()
    assert (entry.outcome, entry.usage) == ("left", Usage(input=3, output=4))


def test_a_count_that_its_client_leaves_books_nothing() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(charged=False)
    desk.attempt(bill)
    bill.close(left=True)
    assert desk.journal.lines == []
    assert desk.accounting.parties.gateway.meter.at_once == 0


def test_a_defect_at_the_end_leaves_nothing_held(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit()
    desk.attempt(bill)
    del desk.trace.model  # whatever it is
    with pytest.raises(AttributeError):
        bill.settle()
    bill.close(left=True)
    assert (desk.balance, desk.held) == (NANO, 0)
    assert desk.accounting.stats().holds == 0
    assert isinstance(desk.journal.lines[-1], Released)
    assert "cannot be settled" in caplog.text


def test_a_defect_before_an_answer_is_the_operators_expense() -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit(tokens=40)
    desk.attempt(bill)
    bill.close(left=False)
    (entry,) = desk.journal.entries()
    assert (entry.kind, entry.usage) == ("attempt", Usage(input=40, estimated=True))
    assert desk.balance == NANO


def test_what_no_account_can_hold_is_not_charged(caplog: pytest.LogCaptureFixture) -> None:
    absurd = Price(rates=Rates(input=2**60), source="operator")
    desk = Desk(user=User(id=5, name="ann"), prices={1: absurd, 2: absurd})
    assert desk.serve(Usage(input=10**12)).cost is None
    (entry,) = desk.journal.entries()
    assert (entry.cost, entry.legs) == (None, ())
    assert "no account can hold so much" in caplog.text


def test_a_settlement_that_cannot_be_written_becomes_a_note_and_stops_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(balance=NANO)
    bill = desk.admit()
    desk.attempt(bill)
    append = desk.journal.append

    def refuse(line: Line) -> None:
        monkeypatch.setattr(desk.journal, "append", append)
        raise ValueError("it is too long")

    monkeypatch.setattr(desk.journal, "append", refuse)
    desk.trace.usage = Usage(input=5)
    bill.settle()
    (note,) = desk.journal.entries()
    assert (note.kind, note.id, note.legs) == ("refused", "r1", ())
    assert (desk.balance, desk.held) == (NANO, 0)
    assert "cannot be booked" in caplog.text


def test_free_models_need_no_money() -> None:
    free = Price(rates=Rates(), source="local")
    desk = Desk(balance=0, prices={1: free, 2: free})
    assert desk.serve(Usage(input=10)).cost == 0
    assert [entry.legs for entry in desk.journal.entries()] == [()]


NOBODY: dict[int, Price | None] = {1: None, 2: None}


class TestUnpriced:
    def test_where_no_money_is_limited_it_is_served_and_counted(self) -> None:
        desk = Desk(user=User(id=5, name="ann"), prices=NOBODY)
        assert desk.serve(Usage(input=10)).cost is None
        (entry,) = desk.journal.entries()
        assert (entry.cost, entry.legs) == (None, ())
        assert desk.accounting.unpriced == 1

    @pytest.mark.parametrize(
        ("user", "unpriced"),
        [
            (User(id=5, name="ann", prepaid=True), "auto"),
            (User(id=5, name="ann", budget=Budget(day=NANO)), "auto"),
            (User(id=5, name="ann"), "block"),
        ],
    )
    def test_where_it_would_have_to_be_paid_it_is_refused(self, user: User, unpriced: str) -> None:
        desk = Desk(user=user, balance=NANO, prices=NOBODY, unpriced=unpriced)
        with pytest.raises(NotConfigured, match="'m' has no price"):
            desk.admit()

    def test_a_candidate_with_a_price_is_used_instead(self) -> None:
        desk = Desk(balance=NANO, prices={2: CHEAP})
        bill = desk.admit()
        assert desk.attempt(bill).channel.id == 2

    def test_a_stated_price_counts_where_nobody_else_says(self) -> None:
        stated = Rates(input=7 * MILLION)
        desk = Desk(balance=NANO, prices={2: CHEAP}, unpriced="estimate", unpriced_price=stated)
        desk.serve(Usage(input=10))
        (entry,) = desk.journal.entries()
        assert (entry.cost, entry.price_source) == (70, "stated")


class TestTrials:
    def desk(self, prepaid: bool = False, balance: int = 0, **bounds: int) -> Desk:
        trial = Trial(ends_at=1_790_000_500.0, **bounds)
        desk = Desk(user=User(id=5, name="ann", prepaid=prepaid, trial=trial), balance=balance)
        standing = Standing(balances={"trial:5": 10_000_000, "credit:5": balance})
        desk.accounting.restore(standing, first=True)
        return desk

    @pytest.mark.row("S3-24")
    def test_it_pays_and_the_account_does_not(self) -> None:
        desk = self.desk(nano_usd=10_000_000, tokens=100_000)
        desk.serve(Usage(input=10))
        (entry,) = desk.journal.entries()
        assert entry.trial
        assert moved((entry,)) == {"trial:5": -10_000, "usage": 10_000}
        assert desk.balance == 0

    @pytest.mark.row("S3-24")
    def test_used_up_tokens_are_429_and_say_what_is_left(self) -> None:
        desk = self.desk(tokens=50, requests=10)
        desk.serve(Usage(input=30), tokens=30)
        with pytest.raises(RateLimited) as caught:
            desk.admit(tokens=30)
        assert not caught.value.retryable
        assert caught.value.headers["x-trial-remaining-tokens"] == "20"
        assert caught.value.headers["x-trial-remaining-requests"] == "9"

    def test_requests_at_once_cannot_overdraw_it(self) -> None:
        desk = self.desk(tokens=50, requests=100)
        desk.admit(tokens=30)
        with pytest.raises(RateLimited):
            desk.admit(tokens=30)

    def test_another_one_begins_with_nothing_used(self) -> None:
        desk = self.desk(tokens=50)
        under_way = desk.admit(tokens=30)
        desk.configure(trial=Trial(ends_at=1_790_000_900.0, tokens=50))
        desk.admit(tokens=50)
        under_way.close(left=False)
        with pytest.raises(RateLimited):
            desk.admit(tokens=1)

    def test_what_was_used_before_a_restart_counts(self) -> None:
        desk = self.desk(tokens=50)
        desk.accounting.restore(
            Standing(trials={5: Consumption(tokens=45, requests=1)}), first=True
        )
        with pytest.raises(RateLimited):
            desk.admit(tokens=30)

    @pytest.mark.row("S3-24")
    def test_its_end_is_403_with_the_date(self) -> None:
        desk = self.desk(tokens=50)
        desk.unix += 501
        with pytest.raises(Forbidden) as caught:
            desk.admit()
        assert caught.value.headers["x-trial-expired"] == "true"
        assert caught.value.headers["x-trial-end-date"].startswith("2026-")

    def test_after_it_a_prepaid_account_pays(self) -> None:
        desk = self.desk(prepaid=True, balance=NANO, tokens=50)
        desk.unix += 501
        desk.serve(Usage(input=10))
        assert desk.balance == NANO - 10_000


class TestRates:
    def test_limits_of_key_user_and_gateway_all_count(self) -> None:
        for where in ("key", "user", "gateway"):
            one = Limits(requests_per_minute=1)
            key = VirtualKey(
                id="7", name="k", digest=b"7", user_id=5, limits=one if where == "key" else Limits()
            )
            user = User(id=5, name="ann", limits=one if where == "user" else Limits())
            limits = one if where == "gateway" else Limits()
            desk = Desk(user=user, key=key, limits=limits)
            desk.serve(Usage(input=1))
            with pytest.raises(RateLimited) as caught:
                desk.admit()
            assert caught.value.retry_after == 60.0
            desk.now += 60
            desk.admit()

    def test_tokens_are_reserved_and_corrected(self) -> None:
        desk = Desk(user=User(id=5, name="ann", limits=Limits(tokens_per_minute=1_000)))
        bill = desk.admit(tokens=100, most=800)
        with pytest.raises(RateLimited):
            desk.admit(tokens=100, most=100)
        desk.attempt(bill)
        desk.trace.usage = Usage(input=100, output=50)
        bill.settle()
        desk.admit(tokens=100, most=700)

    def test_a_request_that_no_wait_would_let_through_does_not_look_retryable(self) -> None:
        desk = Desk(user=User(id=5, name="ann", limits=Limits(tokens_per_minute=50)))
        with pytest.raises(RateLimited) as caught:
            desk.admit(tokens=51)
        assert caught.value.headers["x-should-retry"] == "false"
        desk.admit(tokens=50, most=4_000)

    def test_a_token_count_is_a_request_that_costs_nothing(self) -> None:
        desk = Desk(user=User(id=5, name="ann", limits=Limits(requests_per_minute=1)))
        bill = desk.admit(charged=False)
        bill.close(left=False)
        assert desk.journal.lines == []
        with pytest.raises(RateLimited):
            desk.admit(charged=False)

    def test_requests_at_once(self) -> None:
        desk = Desk(user=User(id=5, name="ann", limits=Limits(concurrent_requests=1)))
        bill = desk.admit()
        with pytest.raises(RateLimited, match="requests at once"):
            desk.admit()
        bill.close(left=False)
        desk.admit()

    def test_headers_tell_the_tightest_limit_in_every_family(self) -> None:
        key = VirtualKey(
            id="7", name="k", digest=b"7", user_id=5, limits=Limits(tokens_per_hour=10_000)
        )
        user = User(id=5, name="ann", limits=Limits(requests_per_minute=10))
        desk = Desk(user=user, key=key)
        desk.serve(Usage(input=1))
        headers = desk.accounting.headers(ANN, anthropic=True)
        assert headers["x-ratelimit-limit"] == "10"
        assert headers["x-ratelimit-remaining"] == "9"
        assert headers["x-ratelimit-reset"] == str(1_790_000_000 + 6)
        assert headers["x-ratelimit-remaining-requests"] == "9"
        assert headers["x-ratelimit-reset-requests"] == "6s"
        assert headers["x-ratelimit-remaining-tokens"] == "9999"
        assert headers["anthropic-ratelimit-requests-reset"] == "2026-09-21T14:13:26Z"
        assert "anthropic-ratelimit-tokens-limit" not in desk.accounting.headers(
            ANN, anthropic=False
        )


def test_a_full_journal_admits_nobody_and_takes_nothing() -> None:
    desk = Desk(balance=NANO)
    under_way = desk.admit()
    trace = desk.trace
    desk.journal.full = True
    with pytest.raises(Unavailable) as caught:
        desk.admit()
    assert caught.value.status == 503
    assert desk.held == 200 * 3_000
    desk.attempt(under_way, trace)
    trace.usage = Usage(input=1)
    under_way.settle()
    assert desk.held == 0
    desk.journal.full = False
    desk.admit()


def test_unknown_balances_refuse_who_must_pay_and_nobody_else() -> None:
    desk = Desk(balance=NANO)
    desk.accounting.balances_known = False
    with pytest.raises(Unavailable):
        desk.admit()
    desk.configure(prepaid=False)
    desk.admit()


def test_a_refusal_takes_nothing_at_all() -> None:
    key = VirtualKey(id="7", name="k", digest=b"7", user_id=5, limits=Limits(requests_per_minute=5))
    desk = Desk(key=key, balance=0)
    for _ in range(20):
        with pytest.raises(GatewayError) as caught:
            desk.admit()
        assert isinstance(caught.value, CreditExhausted)
    assert desk.accounting.stats().refused == {"credit": 20}
