"""Users and books that are kept in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec

from dragoman.config.problems import Refusal
from dragoman.config.users import changed_user, read_credit, read_trial, read_user
from dragoman.governance.ledger import CASH, Entry, credit_of, transfer
from dragoman.governance.standing import Spending
from dragoman.governance.statements import (
    Bucket,
    Dimension,
    Sought,
    Statement,
    StatementLine,
    UsageRow,
    Used,
)
from dragoman.governance.users import User
from dragoman.runtime.statements import (
    entry_document,
    statement_document,
    usage_document,
    user_document,
)
from dragoman.server.admin.accounts import Live
from dragoman.server.admin.contract import Actor, ChangeRefused, Document, NoSuchEntry

BOOKED = Entry(
    id="request-0",
    kind="usage",
    at=5.0,
    user_id=1,
    model="gpt-5",
    cost=7,
    legs=transfer(credit_of(1), "usage", 7),
)


class FakeAccounts:
    """Behaves as ``accounts.Accounts`` says; ``fail`` raises what is to go wrong."""

    def __init__(self, fail: Callable[[], None], done: Callable[[Actor, str, str], None]) -> None:
        self.live: Callable[[int], Live | None] | None = None
        self._fail = fail
        self._done = done
        self.people = {1: User(id=1, name="default"), 2: User(id=2, name="anonymous")}

    async def users(self) -> list[Document]:
        self._fail()
        return [self._document(user) for user in self.people.values()]

    async def user(self, user_id: int) -> Document:
        return self._document(self._find(user_id))

    async def add_user(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        self._fail()
        given = {name: value for name, value in fields.items() if name != "trial"}
        number = len(self.people) + 1
        self.people[number] = User(id=number, **_checked(read_user, given))
        self._done(actor, "user.add", str(number))
        return await self.user(number)

    async def change_user(self, user_id: int, changes: Mapping[str, Any], actor: Actor) -> Document:
        self.people[user_id] = _checked(changed_user, self._find(user_id), changes)
        self._done(actor, "user.change", str(user_id))
        return await self.user(user_id)

    async def book_credit(
        self, user_id: int, fields: Mapping[str, Any], actor: Actor, key: str
    ) -> Document:
        self._find(user_id)
        credit = _checked(read_credit, dict(fields))
        self._done(actor, f"credit.{credit.kind}", str(user_id))
        legs = transfer(CASH, credit_of(user_id), credit.nano)
        entry = Entry(id=key, kind=credit.kind, at=5.0, user_id=user_id, cost=0, legs=legs)
        return entry_document(entry)

    async def start_trial(self, user_id: int, fields: Mapping[str, Any], actor: Actor) -> Document:
        trial = _checked(read_trial, dict(fields), 5.0)
        self.people[user_id] = msgspec.structs.replace(self._find(user_id), trial=trial)
        self._done(actor, "trial.start", str(user_id))
        return await self.user(user_id)

    async def end_trial(self, user_id: int, actor: Actor) -> Document:
        self.people[user_id] = msgspec.structs.replace(self._find(user_id), trial=None)
        self._done(actor, "trial.end", str(user_id))
        return await self.user(user_id)

    async def statement(
        self,
        user_id: int,
        since: float | None,
        until: float | None,
        limit: int,
        before: int | None,
    ) -> Document:
        self._find(user_id)
        line = StatementLine(number=1, entry=BOOKED, amount=-7, balance=-7)
        return statement_document(Statement(user_id=user_id, opening=0, closing=-7, lines=[line]))

    async def export(self, sought: Sought) -> AsyncIterator[str]:
        if sought.user_id is not None:
            self._find(sought.user_id)
        return _portions()

    async def entries(self, sought: Sought, limit: int, before: int | None) -> list[Document]:
        self._fail()
        return [entry_document(BOOKED, 1)]

    async def entry(self, entry_id: str) -> list[Document]:
        self._fail()
        if entry_id != BOOKED.id:
            raise NoSuchEntry(f"There is no entry {entry_id}.")
        return [entry_document(BOOKED)]

    async def usage(
        self, sought: Sought, bucket: Bucket, by: Dimension | None, *, attempts: bool
    ) -> list[Document]:
        self._fail()
        row = UsageRow(start=0, of=1 if by == "user" else None, used=Used(requests=1, cost=7))
        return [usage_document(row, {1: "default"}, {})]

    def _find(self, user_id: int) -> User:
        self._fail()
        if user_id not in self.people:
            raise NoSuchEntry(f"There is no user {user_id}.")
        return self.people[user_id]

    def _document(self, user: User) -> Document:
        live = None if self.live is None else self.live(user.id)
        return user_document(user, live or (0, 0), Spending())


def _checked(read: Callable[..., Any], *values: Any) -> Any:
    try:
        return read(*values)
    except Refusal as refusal:
        raise ChangeRefused(*refusal.problems) from None


async def _portions() -> AsyncIterator[str]:
    yield "number,id\r\n"
    yield "1,request-0\r\n"
