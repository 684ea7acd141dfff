"""Money: exact, rounded up once, never a float."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dragoman.canonical.usage import Usage
from dragoman.governance.ledger import Entry, Hold, Leg, balanced, moved, orphan, transfer
from dragoman.governance.money import MILLION, dollars, nano_of, usd_of, usd_text
from dragoman.governance.price import BUCKETS, Price, Rates, Tier, at_most, breakdown, cost
from dragoman.governance.purse import Account, Budgets, TrialUse, periods
from dragoman.governance.users import Budget, Trial

RATES = st.builds(
    Rates,
    **{bucket: st.integers(0, 10**12) for bucket in ("input", "output")},
    **{
        bucket: st.none() | st.integers(0, 10**12)
        for bucket in BUCKETS
        if bucket not in ("input", "output")
    },
    request=st.integers(0, 10**9),
)
USAGES = st.builds(Usage, **{bucket: st.integers(0, 10**7) for bucket in BUCKETS})


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        ("1", 1_000_000_000),
        (0.1, 100_000_000),
        ("0.0000000001", 1),
        ("-0.5", -500_000_000),
        (Decimal("0.000125"), 125_000),
        (10, 10_000_000_000),
        ("0E+900", 0),
    ],
)
def test_dollars_become_nano_dollars_rounded_up(usd: str | float, nano: int) -> None:
    assert nano_of(usd) == nano


@pytest.mark.parametrize(
    "usd", ["1e400", "nan", "inf", "-inf", "", "ten", "1,5", 1e300, "5e9999999"]
)
def test_what_is_no_amount_is_refused(usd: str | float) -> None:
    with pytest.raises(ValueError, match=r"amount of money|account can hold"):
        nano_of(usd)


@given(st.integers(-(2**62), 2**62))
def test_text_says_the_amount_exactly(nano: int) -> None:
    assert Decimal(usd_text(nano)) == usd_of(nano)
    assert "E" not in usd_text(nano)


def test_dollars_for_people() -> None:
    assert dollars(1_234_500_000_000) == "$1,234.50"
    assert dollars(-125_000) == "-$0.000125"
    assert dollars(0) == "$0.00"


@pytest.mark.row("S4-22")
def test_the_documented_example_costs_125_000_nano_dollars() -> None:
    """100 tokens in, 50 out at $0.50 and $1.50 a million; the documents' own sums contradict each
    other (docs/requirements.md)."""
    price = Price(rates=Rates(input=nano_of("0.50"), output=nano_of("1.50")), source="operator")
    assert cost(Usage(input=100, output=50), price) == 125_000


@pytest.mark.row("S4-22")
@given(usage=USAGES, rates=RATES)
def test_cost_is_the_exact_sum_rounded_up_once(usage: Usage, rates: Rates) -> None:
    exact = sum(Fraction(getattr(usage, b) * rates.of(b), MILLION) for b in BUCKETS)
    assert cost(usage, Price(rates=rates, source="t")) == -(-exact // 1) + rates.request


@given(usage=USAGES, rates=RATES, dearer=RATES, above=st.integers(0, 10**7))
def test_no_usage_of_the_size_costs_more_than_at_most(
    usage: Usage, rates: Rates, dearer: Rates, above: int
) -> None:
    price = Price(rates=rates, tiers=(Tier(above, dearer),), source="t")
    assert cost(usage, price) <= at_most(usage.total_input, usage.total_output, price)


def test_a_tier_is_for_all_tokens_of_a_request_that_exceeds_it() -> None:
    price = Price(
        rates=Rates(input=1 * MILLION),
        tiers=(Tier(200, Rates(input=2 * MILLION)),),
        source="t",
    )
    assert cost(Usage(input=200), price) == 200
    assert cost(Usage(input=150, cache_read=51), price) == 402


def test_the_breakdown_adds_up() -> None:
    price = Price(rates=Rates(input=3 * MILLION, output=5 * MILLION, cache_read=7), source="t")
    usage = Usage(input=10, cache_read=1_000_000, reasoning=2)
    parts = breakdown(usage, price)
    assert parts == {
        "input": (10, 3 * MILLION),
        "cache_read": (1_000_000, 7),
        "reasoning": (2, 5 * MILLION),
    }
    total = sum(tokens * rate for tokens, rate in parts.values())
    assert cost(usage, price) == -(-total // MILLION)


def test_a_price_of_nothing_is_free_and_any_rate_ends_that() -> None:
    assert Price(rates=Rates(), source="local").free
    assert not Price(rates=Rates(cache_write_1h=1), source="t").free
    assert not Price(rates=Rates(), tiers=(Tier(5, Rates(request=1)),), source="t").free


def test_transfers_balance_and_an_orphan_moves_nothing() -> None:
    assert transfer("a", "b", 0) == ()
    entry = Entry(id="x", kind="usage", at=0.0, user_id=1, legs=transfer("a", "b", 5))
    assert balanced(entry)
    assert moved((entry, entry)) == {"a": -10, "b": 10}
    assert not balanced(Entry(id="x", kind="usage", at=0.0, user_id=1, legs=(Leg("a", 1),)))
    assert moved((orphan(Hold("r", 1.0, 1, "k", "credit:1", 7), 2.0),)) == {}


@given(st.dates(min_value=datetime.date(1970, 1, 1), max_value=datetime.date(2199, 12, 31)))
def test_periods_are_those_of_the_calendar(date: datetime.date) -> None:
    noon = datetime.datetime(date.year, date.month, date.day, 12, tzinfo=datetime.UTC)
    found = periods(noon.timestamp())
    assert found.day == (date - datetime.date(1970, 1, 1)).days
    assert found.month == (date.year - 1970) * 12 + date.month - 1
    monday = date - datetime.timedelta(days=date.weekday())
    first = datetime.date(1969, 12, 29)
    assert found.week == (monday - first).days // 7


def test_a_budget_opens_anew_with_its_period_and_not_when_a_clock_jumps_back() -> None:
    day = 86_400.0
    budgets = Budgets(Budget(day=100, total=150))
    budgets.spend(100, now=11 * day)
    assert budgets.refusal(1, now=11 * day + 5) == ("day", 100)
    assert budgets.refusal(50, now=12 * day) is None
    assert budgets.refusal(51, now=12 * day) == ("total", 150)
    budgets.spend(50, now=12 * day)
    assert budgets.refusal(1, now=10 * day) is not None
    assert budgets.spent == (50, 150, 150, 150)


def test_what_is_held_counts_against_a_budget() -> None:
    budgets = Budgets(Budget(month=100))
    budgets.hold(60)
    assert budgets.refusal(41, now=1.0) == ("month", 100)
    budgets.release(60)
    assert budgets.refusal(41, now=1.0) is None


def test_an_account_pays_no_more_than_is_there_and_not_held_by_others() -> None:
    account = Account(100)
    account.hold(30)
    assert account.payable(200) == 70
    account.balance = -5
    assert account.payable(1) == 0


def test_a_trial_is_exceeded_by_the_bound_that_is_reached() -> None:
    use = TrialUse(Trial(ends_at=100.0, nano_usd=50, tokens=10, requests=2))
    use.money.balance = 50
    assert use.exceeded(50, 10) is None
    assert use.exceeded(51, 10) == "credits"
    assert use.exceeded(50, 11) == "tokens"
    use.enter(50, 10)
    assert use.exceeded(0, 1) == "tokens"
    use.leave(50, 10, 0, served=False)
    use.enter(0, 0)
    use.enter(0, 0)
    assert use.exceeded(0, 0) == "requests"
    assert not use.ended(99.9)
    assert use.ended(100.0)
