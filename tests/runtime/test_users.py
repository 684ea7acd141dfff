"""Users, credits and trials through the administration, with the configuration in either place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dragoman.canonical.errors import Unauthorized
from dragoman.config.problems import ConfigurationRefused
from dragoman.governance.ledger import CASH, GRANTS, Entry, credit_of, transfer, trial_of
from dragoman.governance.statements import Sought
from dragoman.governance.users import Budget, Limits
from dragoman.runtime import Runtime
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import ChangeRefused, NameIsTaken, NoSuchEntry
from tests.config.support import sample
from tests.runtime.support import ALICE, Home, entries

HUGE = 10**400
INFINITE = float("inf")


def paid(user_id: int, request_id: str, nano: int) -> Entry:
    """A request that was served and charged to the account."""
    return Entry(
        id=request_id,
        kind="usage",
        at=time.time(),
        user_id=user_id,
        model="gpt-5",
        cost=nano,
        legs=transfer(credit_of(user_id), "usage", nano),
    )


async def refused(change: Awaitable[Any]) -> dict[str, str]:
    with pytest.raises(ChangeRefused) as refusal:
        await change
    return dict(refusal.value.problems)


def test_a_user_is_made_changed_and_noted(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        made = await admin.accounts.add_user(
            {
                "name": "bob",
                "email": "bob@example.com",
                "prepaid": True,
                "limits": {"requests_per_minute": 60},
                "budget": {"day": 0.1, "month": "100.000000001"},
                "metadata": {"team": "red"},
            },
            ALICE,
        )
        assert (made["id"], made["name"], made["prepaid"]) == (3, "bob", True)
        assert made["budget"] == {"day": "0.1", "month": "100.000000001"}
        assert (made["balance_nano_usd"], made["balance_usd"]) == (0, "0")
        (user,) = [one for one in runtime.state.users if one.id == 3]
        assert user.limits == Limits(requests_per_minute=60)
        assert user.budget == Budget(day=100_000_000, month=100_000_000_001)

        changed = await admin.accounts.change_user(
            3, {**made, "name": "robert", "limits": None, "prepaid": False}, ALICE
        )
        assert (changed["name"], changed["limits"], changed["prepaid"]) == ("robert", {}, False)
        assert changed["budget"] == made["budget"]
        added, noted = (await entries(admin))[-2:]
        assert (added["action"], added["target"]) == ("user.add", "bob (id 3)")
        assert (noted["action"], noted["actor"]) == ("user.change", "alice")
        assert noted["changes"] == {
            "name": ["bob", "robert"],
            "limits": [{"requests_per_minute": 60}, {}],
            "prepaid": [True, False],
        }
        before = len(await entries(admin))
        assert await admin.accounts.change_user(3, changed, ALICE) == changed
        assert len(await entries(admin)) == before, "nothing changed, nothing is noted"

    async def later(runtime: Runtime, admin: Administrator) -> None:
        assert [one["name"] for one in await admin.accounts.users()] == [
            "default",
            "anonymous",
            "robert",
        ]

    home.run(work)
    home.run(later)


BAD_USERS: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "4711"}, "name"),
    ({"name": "x", "email": "nobody"}, "email"),
    ({"name": "x", "email": None}, "email"),
    ({"name": "x", "prepaid": 1}, "prepaid"),
    ({"name": "x", "limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
    ({"name": "x", "limits": {"requests_per_minute": 0}}, "limits.requests_per_minute"),
    ({"name": "x", "limits": {"requests_per_minute": 1.5}}, "limits.requests_per_minute"),
    ({"name": "x", "limits": {"requests_per_minute": True}}, "limits.requests_per_minute"),
    ({"name": "x", "limits": {"tokens_per_day": None}}, "limits.tokens_per_day"),
    ({"name": "x", "limits": {"tokens_per_day": HUGE}}, "limits.tokens_per_day"),
    ({"name": "x", "limits": {"tokens_per_day": INFINITE}}, "limits.tokens_per_day"),
    ({"name": "x", "limits": {"tokens_per_week": 1}}, "limits.tokens_per_week"),
    ({"name": "x", "limits": [60]}, "limits"),
    ({"name": "x", "budget": {"day": -1}}, "budget.day"),
    ({"name": "x", "budget": {"day": "-0.000000001"}}, "budget.day"),
    ({"name": "x", "budget": {"day": "1e400"}}, "budget.day"),
    ({"name": "x", "budget": {"day": HUGE}}, "budget.day"),
    ({"name": "x", "budget": {"day": INFINITE}}, "budget.day"),
    ({"name": "x", "budget": {"day": "nan"}}, "budget.day"),
    ({"name": "x", "budget": {"day": None}}, "budget.day"),
    ({"name": "x", "budget": {"year": 1}}, "budget.year"),
    ({"name": "x", "metadata": "red"}, "metadata"),
    ({"name": "x", "credit": 5}, "credit"),
    ({"name": "x", "trial": {"days": 0}}, "trial.days"),
    ({"name": "x", "trial": {"usd": -1}}, "trial.usd"),
    ({"name": "x", "trial": {"tokens": 1.5}}, "trial.tokens"),
    ({"name": "x", "trial": {"until": 1}}, "trial.until"),
    ({"name": "x", "trial": True}, "trial"),
]


def test_a_user_that_cannot_be_is_refused_by_the_field_s_name(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        for fields, path in BAD_USERS:
            assert list(await refused(admin.accounts.add_user(fields, ALICE))) == [path], fields
        for fields, path in BAD_USERS[1:-5]:
            if path == "email" and fields["email"] is None:
                continue  # of a change null resets
            changes = {name: value for name, value in fields.items() if value != "x"}
            assert list(await refused(admin.accounts.change_user(2, changes, ALICE))) == [path]
        with pytest.raises(NameIsTaken):
            await admin.accounts.add_user({"name": "DEFAULT"}, ALICE)
        with pytest.raises(NoSuchEntry):
            await admin.accounts.change_user(99, {"prepaid": True}, ALICE)
        assert [user.id for user in runtime.state.users] == [1, 2]
        assert await entries(admin) == []

    database.run(work)


def test_the_built_in_users_keep_their_names(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        for user_id in (1, 2):
            change = admin.accounts.change_user(user_id, {"name": "x"}, ALICE)
            assert list(await refused(change)) == ["name"]
            limited = {"limits": {"concurrent_requests": 1}}
            assert (await admin.accounts.change_user(user_id, limited, ALICE))["limits"]
        change = admin.accounts.change_user(1, {"enabled": False}, ALICE)
        assert "disable the keys" in (await refused(change))["enabled"]
        assert not (await admin.accounts.change_user(2, {"enabled": False}, ALICE))["enabled"]

    home.run(work)


def test_a_disabled_user_s_keys_are_refused(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.accounts.add_user({"name": "bob"}, ALICE)
        text, document = await admin.add_key({"name": "laptop", "user": "BOB"}, ALICE)
        assert document["user"] == "bob"
        assert runtime.state.keyring.authenticate(text, 1.0).user_id == 3
        usable = runtime.state.keyring.usable(1.0)
        await admin.accounts.change_user(3, {"enabled": False}, ALICE)
        with pytest.raises(Unauthorized, match="user whom this API key belongs to is disabled"):
            runtime.state.keyring.authenticate(text, 1.0)
        assert runtime.state.keyring.usable(1.0) == usable - 1
        await admin.accounts.change_user(3, {"enabled": True}, ALICE)
        assert runtime.state.keyring.authenticate(text, 1.0).user_id == 3

    home.run(work)


def test_a_key_s_limits_are_its_own(home: Home) -> None:
    fields = {
        "user": "anonymous",
        "limits": {"concurrent_requests": 3},
        "budget": {"week": "7"},
        "metadata": {"a": [1]},
    }

    async def work(runtime: Runtime, admin: Administrator) -> None:
        _, made = await admin.add_key({"name": "laptop", **fields}, ALICE)
        assert {name: made[name] for name in fields} == fields
        reset = dict.fromkeys(fields)
        changed = await admin.change_key(made["id"], reset, ALICE)
        plain = {"user": "default", "limits": {}, "budget": {}, "metadata": {}}
        assert {name: changed[name] for name in fields} == plain
        for name, bad, path in (
            ("user", "anonymus", "user"),
            ("limits", {"tokens_per_day": -1}, "limits.tokens_per_day"),
            ("budget", {"day": "1e400"}, "budget.day"),
            ("metadata", 5, "metadata"),
        ):
            assert list(await refused(admin.change_key(made["id"], {name: bad}, ALICE))) == [path]
            new = admin.add_key({"name": "other", name: bad}, ALICE)
            assert list(await refused(new)) == [path]
        assert (await entries(admin))[-1]["changes"]["user"] == ["anonymous", "default"]

    home.run(work)


def test_a_token_names_its_user(file: Home) -> None:
    document = sample()
    token = document["tokens"][0]
    token |= {"user": "bob", "limits": {"tokens_per_day": 5}, "budget": {"day": 0.5}}
    file.write(document)
    with pytest.raises(ConfigurationRefused, match=r"tokens\.0\.user: the user 'bob' is unknown"):
        asyncio.run(Runtime.open(file.options()))
    file.flags = {"lenient": True}

    async def make(runtime: Runtime, admin: Administrator) -> None:
        assert any("'bob' is unknown" in one for one in runtime.assembly.warnings)
        assert not [key for key in runtime.keys if key.name == token["name"]]
        await admin.accounts.add_user({"name": "bob"}, ALICE)

    file.run(make)
    file.flags = {}

    async def use(runtime: Runtime, admin: Administrator) -> None:
        principal = runtime.state.keyring.authenticate(token["key"], 1.0)
        assert principal.user_id == 3
        key = next(one for one in await admin.keys() if one["name"] == token["name"])
        assert (key["user"], key["limits"], key["budget"]) == (
            "bob",
            {"tokens_per_day": 5},
            {"day": "0.5"},
        )
        rename = admin.accounts.change_user(3, {"name": "robert"}, ALICE)
        assert token["name"] in (await refused(rename))["name"]
        await admin.change_key(key["id"], {"user": None, "budget": {"day": "1"}}, ALICE)
        written = file.read()["tokens"][0]
        assert "user" not in written
        assert written["budget"] == {"day": "1"}
        await admin.accounts.change_user(3, {"name": "robert"}, ALICE)

    file.run(use)


def test_credit_is_booked_with_its_audit_entry(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        book = admin.accounts.book_credit
        entry = await book(
            1, {"kind": "topup", "amount_usd": "25", "reason": "invoice 4711"}, ALICE, ""
        )
        assert entry["legs"] == [
            {"account": CASH, "amount_nano_usd": -25 * 10**9, "amount_usd": "-25"},
            {"account": "credit:1", "amount_nano_usd": 25 * 10**9, "amount_usd": "25"},
        ]
        await book(1, {"kind": "refund", "amount_nano_usd": 1}, ALICE, "")
        await book(1, {"kind": "adjustment", "amount_usd": -5.000000001}, ALICE, "")
        user = await admin.accounts.user(1)
        assert (user["balance_nano_usd"], user["balance_usd"]) == (20 * 10**9, "20")
        page = await admin.accounts.statement(1, None, None, 2, None)
        assert [line["amount_usd"] for line in page["lines"]] == ["-5.000000001", "0.000000001"]
        assert page["closing_usd"] == "20"
        rest = await admin.accounts.statement(1, None, None, 2, page["next"])
        assert [line["balance_usd"] for line in rest["lines"]] == ["25"]
        assert rest["next"] is None
        noted = [one for one in await entries(admin) if one["action"].startswith("credit.")]
        assert [one["action"] for one in noted] == [
            "credit.topup",
            "credit.refund",
            "credit.adjustment",
        ]
        assert noted[0]["changes"] == {
            "credit_usd": [None, "25"],
            "reason": [None, "invoice 4711"],
            "entry": [None, entry["id"]],
        }
        listed = await admin.accounts.entries(Sought(kind="topup"), 10, None)
        assert [one["id"] for one in listed] == [entry["id"]]
        assert (await admin.accounts.entry(entry["id"]))[0]["actor"] == "alice"
        text = "".join([part async for part in await admin.accounts.export(Sought(user_id=1))])
        assert len(text.splitlines()) == 4
        with pytest.raises(NoSuchEntry):
            await admin.accounts.export(Sought(user_id=9))

    home.run(work)


BAD_CREDITS: list[tuple[dict[str, Any], str]] = [
    ({"amount_usd": 1}, "kind"),
    ({"kind": "gift", "amount_usd": 1}, "kind"),
    ({"kind": "topup"}, "amount_usd"),
    ({"kind": "topup", "amount_usd": None}, "amount_usd"),
    ({"kind": "topup", "amount_usd": 0}, "amount_usd"),
    ({"kind": "topup", "amount_usd": -5}, "amount_usd"),
    ({"kind": "refund", "amount_usd": "-5"}, "amount_usd"),
    ({"kind": "topup", "amount_usd": "1e400"}, "amount_usd"),
    ({"kind": "topup", "amount_usd": HUGE}, "amount_usd"),
    ({"kind": "topup", "amount_usd": INFINITE}, "amount_usd"),
    ({"kind": "topup", "amount_usd": "lots"}, "amount_usd"),
    ({"kind": "topup", "amount_usd": True}, "amount_usd"),
    ({"kind": "topup", "amount_nano_usd": 0.5}, "amount_nano_usd"),
    ({"kind": "topup", "amount_nano_usd": 2**62 + 1}, "amount_nano_usd"),
    ({"kind": "topup", "amount_usd": 1, "amount_nano_usd": 1}, "amount_nano_usd"),
    ({"kind": "topup", "amount_usd": 1, "reason": "a\nb"}, "reason"),
    ({"kind": "topup", "amount_usd": 1, "request_id": "x"}, "request_id"),
    ({"kind": "refund", "amount_usd": 1, "request_id": "unknown"}, "request_id"),
    ({"kind": "topup", "amount_usd": 1, "note": "x"}, "note"),
]


def test_credit_that_cannot_be_is_refused_by_the_field_s_name(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        book = admin.accounts.book_credit
        for fields, path in BAD_CREDITS:
            assert list(await refused(book(1, fields, ALICE, ""))) == [path], fields
        with pytest.raises(NoSuchEntry):
            await book(9, {"kind": "topup", "amount_usd": 1}, ALICE, "")
        most = {"kind": "topup", "amount_nano_usd": 2**62}
        before = len(await entries(admin))
        assert before == 0
        await book(1, most, ALICE, "")
        assert "amount_usd" in await refused(book(1, most, ALICE, ""))
        assert await runtime.store.ledger().balance("credit:1") == 2**62
        assert len(await entries(admin)) == 1

    database.run(work)


def test_a_booking_with_a_key_is_made_once(database: Home) -> None:
    topup = {"kind": "topup", "amount_usd": 5}

    async def work(runtime: Runtime, admin: Administrator) -> None:
        book = admin.accounts.book_credit
        many = await asyncio.gather(*(book(1, topup, ALICE, "key-1") for _ in range(8)))
        assert len({entry["id"] for entry in many}) == 1
        assert all(entry == many[0] for entry in many)
        assert await runtime.store.ledger().balance("credit:1") == 5 * 10**9
        assert len(await entries(admin)) == 1
        for other in ({**topup, "amount_usd": 6}, {**topup, "reason": "x"}):
            assert list(await refused(book(1, other, ALICE, "key-1"))) == ["Idempotency-Key"]
        await book(1, topup, ALICE, "key-2")
        await book(2, topup, ALICE, "key-1")  # another user's key is another
        assert await runtime.store.ledger().balance("credit:1") == 10 * 10**9
        assert await runtime.store.ledger().balance("credit:2") == 5 * 10**9

    database.run(work)


def test_a_request_is_refunded_once_and_no_more_than_it_took(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        book = admin.accounts.book_credit
        await runtime.store.ledger().book([paid(1, "request-1", 700)])
        refund = {"kind": "refund", "amount_nano_usd": 700, "request_id": "request-1"}
        too_much = {**refund, "amount_nano_usd": 701}
        assert "amount_usd" in await refused(book(1, too_much, ALICE, ""))
        assert "request_id" in await refused(book(2, refund, ALICE, ""))  # another's request
        first = await book(1, refund, ALICE, "")
        assert await book(1, refund, ALICE, "some-key") == first
        assert "request_id" in await refused(book(1, {**refund, "reason": "x"}, ALICE, ""))
        assert await runtime.store.ledger().balance("credit:1") == 0
        both = await admin.accounts.entry("request-1")
        assert [entry["kind"] for entry in both] == ["usage", "refund"]

    database.run(work)


def test_a_trial_is_granted_and_taken_back(home: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        balance = runtime.store.ledger().balance
        user = await admin.accounts.add_user({"name": "guest", "trial": {}}, ALICE)
        trial = user["trial"]
        assert (trial["usd"], trial["tokens"], trial["requests"]) == ("10", 100_000, 1_000)
        (kept,) = [one.trial for one in runtime.state.users if one.id == 3]
        assert kept is not None
        assert 3 * 86_400 - 60 < kept.ends_at - time.time() <= 3 * 86_400
        assert await balance(trial_of(3)) == 10 * 10**9

        used = Entry(
            id="r",
            kind="usage",
            at=time.time(),
            user_id=3,
            cost=10**9,
            trial=True,
            legs=transfer(trial_of(3), "usage", 10**9),
        )
        await runtime.store.ledger().book([used])
        begun = await admin.accounts.start_trial(
            3, {"days": 1, "usd": None, "tokens": 7, "requests": None}, ALICE
        )
        assert begun["trial"] == {**begun["trial"], "usd": None, "tokens": 7, "requests": None}
        assert await balance(trial_of(3)) == 0
        assert await balance(GRANTS) == -(10**9)
        standing = await runtime.store.ledger().standing(time.time())
        consumed = standing.trials[3]
        assert (consumed.requests, consumed.tokens) == (0, 0), "a new trial begins at nothing"

        ended = await admin.accounts.end_trial(3, ALICE)
        assert ended["trial"] is None
        assert await admin.accounts.end_trial(3, ALICE) == ended
        assert await balance(trial_of(3)) == 0
        actions = [one["action"] for one in await entries(admin)]
        assert actions == ["user.add", "trial.start", "trial.end"]
        assert (await runtime.store.ledger().verify()).ok

    home.run(work)


BAD_TRIALS: list[tuple[Any, str]] = [
    ({"days": -1}, "days"),
    ({"days": INFINITE}, "days"),
    ({"days": None}, "days"),
    ({"usd": 0}, "usd"),
    ({"usd": "1e400"}, "usd"),
    ({"tokens": 0}, "tokens"),
    ({"requests": 2.5}, "requests"),
    ({"dollars": 1}, "dollars"),
]


@pytest.mark.parametrize(("fields", "path"), BAD_TRIALS)
def test_a_trial_that_cannot_be_is_refused(database: Home, fields: Any, path: str) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        assert list(await refused(admin.accounts.start_trial(1, fields, ALICE))) == [path]
        assert await entries(admin) == []

    database.run(work)


def test_usage_is_summed_by_whom_one_asks(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.accounts.add_user({"name": "bob"}, ALICE)
        await runtime.store.ledger().book([paid(1, "a", 5), paid(3, "b", 7), paid(3, "c", 1)])
        ask: Callable[..., Awaitable[list[dict[str, Any]]]] = admin.accounts.usage
        rows = await ask(Sought(), "day", "user", attempts=False)
        assert {row["name"]: (row["requests"], row["cost_nano_usd"]) for row in rows} == {
            "default": (1, 5),
            "bob": (2, 8),
        }
        (month,) = await ask(Sought(user_id=3), "month", None, attempts=False)
        assert (month["of"], month["cost_usd"]) == (None, "0.000000008")
        assert await ask(Sought(), "hour", None, attempts=True) == []
        assert (await admin.accounts.user(3))["spent"] == dict.fromkeys(
            ("day", "week", "month", "total"), "0.000000008"
        )

    database.run(work)


def test_a_running_gateway_knows_better_than_the_tables(database: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        admin.accounts.live = {1: (5, 2)}.get
        first, second = await admin.accounts.users()
        assert (first["balance_nano_usd"], first["held_usd"]) == (5, "0.000000002")
        assert first["available_nano_usd"] == 3
        assert second["balance_nano_usd"] == 0

    database.run(work)
