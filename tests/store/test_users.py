"""Users and what keys have of them, in both homes."""

from __future__ import annotations

import msgspec
import pytest

from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import CASH, Entry, credit_of, transfer
from dragoman.governance.users import (
    ANONYMOUS_USER_ID,
    DEFAULT_USER,
    DEFAULT_USER_ID,
    Budget,
    Limits,
    Trial,
    User,
)
from dragoman.store.errors import NameTaken, NoSuchRow
from dragoman.store.sql import SQLStore
from dragoman.store.store import Transaction
from tests.store.homes import Home

ALICE = User(
    id=0,
    name="Älice",
    email="a@example.com",
    enabled=False,
    prepaid=True,
    limits=Limits(requests_per_minute=60, concurrent_requests=2),
    budget=Budget(day=2**62, total=1),
    trial=Trial(ends_at=12.5, nano_usd=2**62, tokens=None, requests=5),
    metadata={"team": ["é", {"x": None}]},
    created_at=4.25,
)


def test_a_new_database_knows_the_built_in_users(home: Home) -> None:
    async def work(store: SQLStore) -> None:
        default, anonymous = await store.users()
        assert (default.id, default.name) == (DEFAULT_USER_ID, DEFAULT_USER)
        assert (anonymous.id, anonymous.name) == (ANONYMOUS_USER_ID, "anonymous")
        assert msgspec.structs.replace(default, id=2, name="anonymous") == anonymous
        assert anonymous == User(id=2, name="anonymous")

    home.run(work)


def test_a_user_is_kept_as_given(home: Home) -> None:
    async def work(store: SQLStore) -> None:
        kept = await store.write(lambda step: step.add_user(ALICE))
        assert kept == msgspec.structs.replace(ALICE, id=3)
        changed = User(id=3, name="Bob", created_at=4.25)
        await store.write(lambda step: step.change_user(changed))
        assert (await store.users())[2] == changed

    async def later(store: SQLStore) -> None:
        assert [user.name for user in await store.users()] == ["default", "anonymous", "Bob"]

    home.run(work)
    home.run(later)


@pytest.mark.parametrize("name", ["älice", "ÄLICE", "Älice"])
def test_names_are_unique_in_whatever_case(home: Home, name: str) -> None:
    async def work(store: SQLStore) -> None:
        await store.write(lambda step: step.add_user(ALICE))
        with pytest.raises(NameTaken):
            await store.write(lambda step: step.add_user(User(id=0, name=name)))
        other = await store.write(lambda step: step.add_user(User(id=0, name="other")))
        renamed = msgspec.structs.replace(other, name=name)
        with pytest.raises(NameTaken):
            await store.write(lambda step: step.change_user(renamed))
        same = User(id=3, name=name)
        await store.write(lambda step: step.change_user(same))
        with pytest.raises(NoSuchRow):
            await store.write(lambda step: step.change_user(User(id=99, name="x")))

    home.run(work)


def test_a_key_has_a_user_limits_budget_and_metadata(home: Home) -> None:
    key = VirtualKey(
        id="",
        name="laptop",
        digest=b"d" * 32,
        user_id=3,
        limits=Limits(tokens_per_day=5),
        budget=Budget(week=2**62),
        metadata={"a": 1},
    )

    async def work(store: SQLStore) -> None:
        kept = await store.write(lambda step: step.add_key(key))
        assert kept == msgspec.structs.replace(key, id=kept.id)
        assert await store.keys() == [kept]

    home.run(work)


def test_a_booking_and_what_goes_with_it_are_one_step(home: Home) -> None:
    entry = Entry(
        id="credit-1",
        kind="topup",
        at=1.0,
        user_id=1,
        cost=0,
        legs=transfer(CASH, credit_of(1), 5),
    )

    def book_and_fail(step: Transaction) -> None:
        step.book(entry)
        assert step.balance(credit_of(1)) == 5
        raise InterruptedError

    async def work(store: SQLStore) -> None:
        with pytest.raises(InterruptedError):
            await store.write(book_and_fail)
        assert await store.write(lambda step: step.booked("credit-1")) is None
        assert await store.ledger().balances() == {}
        assert [await store.write(lambda step: step.book(entry)) for _ in range(2)] == [True, False]
        assert await store.write(lambda step: step.booked("credit-1")) == entry
        assert await store.ledger().balances() == {CASH: -5, credit_of(1): 5}

    home.run(work)
