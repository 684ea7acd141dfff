"""``server.admin.accounts.Accounts`` on a runtime and its ledger."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from dragoman.governance.ledger import credit_of
from dragoman.governance.standing import Spending, Standing
from dragoman.governance.statements import Bucket, Dimension, Sought
from dragoman.governance.users import User
from dragoman.runtime.refusals import in_words
from dragoman.runtime.runtime import Runtime
from dragoman.runtime.statements import (
    booked_document,
    entry_document,
    statement_document,
    usage_document,
    user_document,
)
from dragoman.runtime.users import UserDesk
from dragoman.server.admin.accounts import Live
from dragoman.server.admin.contract import Actor, Document, NoSuchEntry

Result = TypeVar("Result")


class Do(Protocol):
    """Does a change, and puts it in force."""

    async def __call__(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """What ``work`` gives."""
        ...


class AccountKeeper:
    """Users, credits and the books, for the admin API and the command line."""

    def __init__(self, runtime: Runtime, do: Do) -> None:
        """``do`` is the administration's."""
        self.live: Callable[[int], Live | None] | None = None
        self._runtime = runtime
        self._ledger = runtime.store.ledger()
        self._desk = UserDesk(runtime)
        self._do = do

    async def users(self) -> list[Document]:
        """As Accounts.users."""
        standing = await self._standing()
        return [self._document(user, standing) for user in self._runtime.state.users]

    async def user(self, user_id: int) -> Document:
        """As Accounts.user."""
        return self._document(self._desk.find(user_id), await self._standing())

    async def add_user(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        """As Accounts.add_user."""
        new_id = await self._do(lambda: self._desk.add(fields, actor))
        return await self.user(new_id)

    async def change_user(self, user_id: int, changes: Mapping[str, Any], actor: Actor) -> Document:
        """As Accounts.change_user."""
        await self._do(lambda: self._desk.change(user_id, changes, actor))
        return await self.user(user_id)

    async def book_credit(
        self, user_id: int, fields: Mapping[str, Any], actor: Actor, key: str
    ) -> Document:
        """As Accounts.book_credit."""
        entry = await self._do(lambda: self._desk.book(user_id, fields, actor, key))
        return entry_document(entry)

    async def start_trial(self, user_id: int, fields: Mapping[str, Any], actor: Actor) -> Document:
        """As Accounts.start_trial."""
        await self._do(lambda: self._desk.start_trial(user_id, fields, actor))
        return await self.user(user_id)

    async def end_trial(self, user_id: int, actor: Actor) -> Document:
        """As Accounts.end_trial."""
        await self._do(lambda: self._desk.end_trial(user_id, actor))
        return await self.user(user_id)

    async def statement(
        self,
        user_id: int,
        since: float | None,
        until: float | None,
        limit: int,
        before: int | None,
    ) -> Document:
        """As Accounts.statement."""
        self._desk.find(user_id)
        with in_words():
            found = await self._ledger.statement(
                user_id, since=since, until=until, limit=limit, before=before
            )
        return statement_document(found)

    async def export(self, sought: Sought) -> AsyncIterator[str]:
        """As Accounts.export."""
        if sought.user_id is not None:
            self._desk.find(sought.user_id)
        portions = self._ledger.export(sought)
        with in_words():
            first = await anext(portions)
        return _with_first(first, portions)

    async def entries(self, sought: Sought, limit: int, before: int | None) -> list[Document]:
        """As Accounts.entries."""
        with in_words():
            found = await self._ledger.entries(sought, limit=limit, before=before)
        return [booked_document(one) for one in found]

    async def entry(self, entry_id: str) -> list[Document]:
        """As Accounts.entry."""
        with in_words():
            found = await self._ledger.entry(entry_id)
        if not found:
            raise NoSuchEntry(f"The ledger has no entry {entry_id[:100]!r}.")
        return [entry_document(one) for one in found]

    async def usage(
        self, sought: Sought, bucket: Bucket, by: Dimension | None, *, attempts: bool
    ) -> list[Document]:
        """As Accounts.usage."""
        with in_words():
            rows = await self._ledger.usage(sought, bucket=bucket, by=by, attempts=attempts)
        names = {user.id: user.name for user in self._runtime.state.users}
        key_names = {key.id: key.name for key in self._runtime.keys} if by == "key" else {}
        return [usage_document(row, names, key_names) for row in rows]

    async def _standing(self) -> Standing:
        with in_words():
            return await self._ledger.standing(time.time())

    def _document(self, user: User, standing: Standing) -> Document:
        live = None if self.live is None else self.live(user.id)
        if live is None:
            live = standing.balances.get(credit_of(user.id), 0), 0
        return user_document(user, live, standing.users.get(user.id, Spending()))


async def _with_first(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for portion in rest:
        yield portion
