"""Requests that ask nothing of a model: they count, and cost nothing."""

from __future__ import annotations

import pytest

from dragoman.canonical.errors import Forbidden, RateLimited
from dragoman.engine.accounting import Accounting
from dragoman.governance.keys import VirtualKey
from dragoman.governance.money import MILLION
from dragoman.governance.price import Price, Rates
from dragoman.governance.principal import Principal
from dragoman.governance.users import Limits, Trial, User
from dragoman.routing.channel import Channel
from tests.routing.support import channel
from tests.support.books import ListJournal

ANN = Principal(key_id="7", name="ann's", user_id=5)
PRICE = Price(rates=Rates(input=MILLION), source="operator")


def accounting(
    limits: Limits, user: User | None = None, **settings: object
) -> tuple[Accounting, ListJournal]:
    """An accounting for ``ANN``, whose key has ``limits``."""
    journal = ListJournal()

    def price_of(channel: Channel, upstream: str, public: str) -> Price | None:
        return PRICE if (upstream, public) == ("upstream", "m") else None

    one = Accounting(
        clock=lambda: 1_000.0, wall=lambda: 1_790_000_000.0, journal=journal, price_of=price_of
    )
    key = VirtualKey(id="7", name="ann's", digest=b"7", user_id=5, limits=limits)
    one.configure([user or User(id=5, name="ann", prepaid=True)], [key], **settings)  # type: ignore[arg-type]
    return one, journal


def test_they_count_as_requests_and_are_not_in_the_books() -> None:
    desk, journal = accounting(Limits(requests_per_minute=2))
    for _ in range(2):
        with desk.visit(ANN):
            pass
    with pytest.raises(RateLimited) as caught, desk.visit(ANN):
        pass
    assert caught.value.retry_after == pytest.approx(30)
    assert journal.lines == []
    assert desk.stats().refused == {"requests": 1}


def test_they_are_under_way_until_they_end_however_they_do() -> None:
    desk, _ = accounting(Limits(concurrent_requests=1))

    def fail() -> None:
        with desk.visit(ANN):
            with pytest.raises(RateLimited), desk.visit(ANN):
                pass
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()


def test_a_trial_that_is_over_and_an_empty_account_stop_none() -> None:
    trial = Trial(ends_at=2)
    desk, _ = accounting(Limits(), User(id=5, name="ann", prepaid=True, trial=trial))
    with pytest.raises(Forbidden):
        desk._trial(desk.parties.users[5], 1_790_000_000.0)
    with desk.visit(ANN):
        pass


def test_the_price_is_what_would_be_charged() -> None:
    known = channel(aliases={"m": "upstream"})
    desk, _ = accounting(Limits())
    assert desk.price(known, "m") == PRICE
    assert desk.price(known, "other") is None
    stated = Rates(input=2 * MILLION)
    desk, _ = accounting(Limits(), unpriced="estimate", unpriced_price=stated)
    assert desk.price(known, "m") == PRICE
    found = desk.price(known, "other")
    assert found is not None
    assert (found.rates, found.source) == (stated, "stated")
