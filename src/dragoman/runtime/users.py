"""Users, credits and trials: each change, its booking and its audit entry are one step."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dragoman.config.changes import difference
from dragoman.config.problems import Problem, Refusal
from dragoman.config.users import (
    USER_FIELDS,
    Credit,
    changed_user,
    read_credit,
    read_trial,
    read_user,
)
from dragoman.governance.ledger import (
    ADJUSTMENTS,
    CASH,
    GRANTS,
    USAGE,
    Entry,
    Leg,
    credit_of,
    transfer,
    trial_of,
)
from dragoman.governance.money import usd_text
from dragoman.governance.users import User
from dragoman.runtime.database import noted, target
from dragoman.runtime.refusals import really_changed
from dragoman.runtime.runtime import Runtime
from dragoman.runtime.statements import money, user_fields
from dragoman.server.admin.contract import Actor, NoSuchEntry
from dragoman.store.errors import EntryRefused
from dragoman.store.store import Transaction

USER_READ_ONLY = frozenset({"id", "trial", "created_at"})
"""Fields of a user's document that no change can set."""
_MONEY = frozenset({*money("balance", 0), *money("held", 0), *money("available", 0), "spent"})
"""Those that another request may have changed since: sent back they are passed over."""

_FROM = {"topup": CASH, "refund": USAGE, "adjustment": ADJUSTMENTS}
STARTED, ENDED = "started", "ended"
"""What the books say of a trial, as an entry's ``outcome``."""


class UserDesk:
    """Methods raise Refusal, ChangeRefused, NoSuchEntry and StoreError."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def find(self, user_id: int) -> User:
        """The user of that id. Raises NoSuchEntry."""
        for user in self._runtime.state.users:
            if user.id == user_id:
                return user
        raise NoSuchEntry(f"No user has the id {user_id}.")

    async def add(self, fields: Mapping[str, Any], actor: Actor) -> int:
        """Keep a new user, with a trial if it is asked for; the id."""
        now = time.time()
        told = USER_READ_ONLY | _MONEY
        given = {name: value for name, value in fields.items() if name not in told}
        asked = fields.get("trial")
        wanted = User(id=0, created_at=now, **read_user(given))
        if asked is not None:
            wanted = msgspec.structs.replace(wanted, trial=_trial(asked, now))

        def work(step: Transaction) -> int:
            kept = step.add_user(wanted)
            found = difference(None, kept, USER_FIELDS)
            step.note(noted(actor, "user.add", target(kept.name, kept.id), found))
            if kept.trial is not None:
                _grant(step, kept, actor, now)
            return kept.id

        return await self._runtime.store.write(work)

    async def change(self, user_id: int, changes: Mapping[str, Any], actor: Actor) -> None:
        """Change the fields given."""
        user = self.find(user_id)
        given = {name: value for name, value in changes.items() if name not in _MONEY}
        wanted = really_changed(given, user_fields(user), USER_READ_ONLY)
        after = changed_user(user, wanted)
        if after.name != user.name:
            self._refuse_named(user)

        def work(step: Transaction) -> None:
            # What this process knows of the user may be a poll old.
            present = _present(step, user_id)
            changed = changed_user(present, wanted)
            if found := difference(present, changed, USER_FIELDS):
                step.change_user(changed)
                step.note(noted(actor, "user.change", target(present.name, user_id), found))

        if wanted:
            await self._runtime.store.write(work)

    async def book(self, user_id: int, fields: Mapping[str, Any], actor: Actor, key: str) -> Entry:
        """Book a credit, once for each ``key`` that is not empty, and give what stands in the books.
        Refuses a key that stands for another booking."""
        user, credit = self.find(user_id), read_credit(fields)
        entry = _entry(user, credit, actor, key, time.time())

        def work(step: Transaction) -> Entry:
            there = step.booked(entry.id)
            if there is None and credit.request_id:
                _refuse_excess(step.booked(credit.request_id), user_id, credit)
            if there is None and not step.book(entry):  # another process was quicker
                there = step.booked(entry.id)
            if there is not None:
                _refuse_other(there, entry)
                return there
            found: dict[str, list[Any]] = {"credit_usd": [None, usd_text(credit.nano)]}
            if entry.reason:
                found["reason"] = [None, entry.reason]
            found["entry"] = [None, entry.id]
            action = f"credit.{credit.kind}"
            step.note(noted(actor, action, target(user.name, user.id), found))
            return entry

        try:
            return await self._runtime.store.write(work)
        except EntryRefused as error:
            raise Refusal(Problem("amount_usd", str(error))) from None

    async def start_trial(self, user_id: int, fields: Any, actor: Actor) -> None:
        """Begin a trial in place of the one there is."""
        self.find(user_id)
        now = time.time()
        trial = read_trial(fields, now)

        def work(step: Transaction) -> None:
            present = _present(step, user_id)
            if present.trial is not None:
                _take_back(step, present, actor, now)
            changed = msgspec.structs.replace(present, trial=trial)
            step.change_user(changed)
            _grant(step, changed, actor, now)
            found = difference(present, changed, ("trial",))
            step.note(noted(actor, "trial.start", target(present.name, user_id), found))

        await self._runtime.store.write(work)

    async def end_trial(self, user_id: int, actor: Actor) -> None:
        """End the trial, if there is one."""
        self.find(user_id)
        now = time.time()

        def work(step: Transaction) -> None:
            present = _present(step, user_id)
            if present.trial is None:
                return
            changed = msgspec.structs.replace(present, trial=None)
            step.change_user(changed)
            _take_back(step, present, actor, now)
            found = difference(present, changed, ("trial",))
            step.note(noted(actor, "trial.end", target(present.name, user_id), found))

        await self._runtime.store.write(work)

    def _refuse_named(self, user: User) -> None:
        """A token of the configuration file that names a user must go on finding it."""
        for token in self._runtime.tokens:
            if token.user.casefold() == user.name.casefold():
                raise Refusal(
                    Problem(
                        "name",
                        f"the token {token.name!r} in the configuration file names this user: take "
                        "the user out of it first",
                    )
                )


def _trial(asked: Any, now: float) -> Any:
    try:
        return read_trial(asked, now)
    except Refusal as refusal:
        raise Refusal(*(problem.below("trial") for problem in refusal.problems)) from None


def _present(step: Transaction, user_id: int) -> User:
    every: Sequence[User] = step.users()
    for user in every:
        if user.id == user_id:
            return user
    raise NoSuchEntry(f"No user has the id {user_id}.")


def _entry(user: User, credit: Credit, actor: Actor, key: str, now: float) -> Entry:
    """The booking. Its id follows from the request that is given back or else from the key, so that it
    cannot be made twice."""
    if credit.request_id:
        entry_id = f"{credit.request_id}#refund"
    elif key:
        digest = hashlib.sha256(f"{user.id}\n{key}".encode()).hexdigest()
        entry_id = f"credit-{digest[:40]}"
    else:
        entry_id = f"credit-{secrets.token_hex(12)}"
    reason = credit.reason
    if credit.request_id:
        reason = f"request {credit.request_id}" + (f": {reason}" if reason else "")
    return Entry(
        id=entry_id,
        kind=credit.kind,
        at=now,
        user_id=user.id,
        cost=0,
        actor=actor.name,
        reason=reason,
        legs=transfer(_FROM[credit.kind], credit_of(user.id), credit.nano),
    )


def _refuse_other(there: Entry, wanted: Entry) -> None:
    """Refuse unless what is booked already under the id is what is wanted."""
    same = (there.kind, there.user_id, there.legs, there.reason) == (
        wanted.kind,
        wanted.user_id,
        wanted.legs,
        wanted.reason,
    )
    if same:
        return
    if wanted.id.endswith("#refund"):
        raise Refusal(Problem("request_id", "was refunded already, with another amount or reason"))
    raise Refusal(Problem("Idempotency-Key", "was used for another booking: give a new one"))


def _refuse_excess(paid: Entry | None, user_id: int, credit: Credit) -> None:
    """Refuse to give back more than a request cost this user."""
    if paid is None or paid.user_id != user_id or paid.kind != "usage":
        raise Refusal(
            Problem("request_id", "the books have no request of this id that this user paid for")
        )
    charged = -sum(leg.amount for leg in paid.legs if leg.account == credit_of(user_id))
    if credit.nano > charged:
        raise Refusal(
            Problem(
                "amount_usd",
                f"is more than the request took from the account ({usd_text(charged)})",
            )
        )


def _grant(step: Transaction, user: User, actor: Actor, now: float) -> None:
    """Book that a trial begins."""
    assert user.trial is not None
    legs = transfer(GRANTS, trial_of(user.id), user.trial.nano_usd or 0)
    step.book(_of_trial(user, STARTED, legs, actor, now))


def _take_back(step: Transaction, user: User, actor: Actor, now: float) -> None:
    """Book that a trial has ended: what is left of its money goes back. What the gateway has served and
    not yet brought to the tables comes after that, and leaves the account below zero by so much."""
    legs = transfer(trial_of(user.id), GRANTS, step.balance(trial_of(user.id)))
    step.book(_of_trial(user, ENDED, legs, actor, now))


def _of_trial(user: User, outcome: str, legs: tuple[Leg, ...], actor: Actor, now: float) -> Entry:
    return Entry(
        id=f"trial-{secrets.token_hex(12)}",
        kind="trial",
        at=now,
        user_id=user.id,
        outcome=outcome,
        cost=0,
        trial=True,
        actor=actor.name,
        legs=legs,
    )
