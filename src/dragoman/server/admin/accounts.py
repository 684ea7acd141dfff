"""What the admin API asks of whoever keeps users and the books (``runtime``).

Documents are plain JSON objects. Money is shown twice: in ``…_nano_usd`` as an integer, and in ``…_usd``
as decimal text, which is as exact. What is changed is booked, audited and in force before the call
returns.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from typing import Protocol as Interface

from dragoman.governance.statements import Bucket, Dimension, Sought
from dragoman.server.admin.contract import Actor, Document

Live = tuple[int, int]
"""The balance of a user's credit account and what is held of it, in nano-USD, as the running gateway
knows them before the tables do."""


class Accounts(Interface):
    """Every method may raise Storage. Users are never removed: the books name them for good."""

    live: Callable[[int], Live | None] | None
    """The running gateway's knowledge of a user, by id; None where no gateway runs, and then the tables
    are shown, which are up to a second late."""

    async def users(self) -> list[Document]:
        """Every user: ``id``, ``name``, ``email``, ``enabled``, ``prepaid``, ``limits``, ``budget``,
        ``trial``, ``metadata``, ``created_at``, the credit account's balance, what is held of it and
        what is available, and what was ``spent`` this day, week and month and in all."""
        ...

    async def user(self, user_id: int) -> Document:
        """One of them. Raises NoSuchEntry."""
        ...

    async def add_user(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        """Make a user; ``name`` is needed, and ``trial`` (an object as for ``start_trial``) begins one.
        Raises ChangeRefused, NameIsTaken."""
        ...

    async def change_user(self, user_id: int, changes: Mapping[str, Any], actor: Actor) -> Document:
        """Change the given fields; null resets one. Raises NoSuchEntry, ChangeRefused, NameIsTaken."""
        ...

    async def book_credit(
        self, user_id: int, fields: Mapping[str, Any], actor: Actor, key: str
    ) -> Document:
        """Book a ``topup``, ``refund`` or ``adjustment`` and give the entry. The same ``key`` (if it is
        not empty) for the same user books once. Raises NoSuchEntry, and ChangeRefused also if the key
        stands for another booking."""
        ...

    async def start_trial(self, user_id: int, fields: Mapping[str, Any], actor: Actor) -> Document:
        """Begin a trial, in place of the one there may be, and give the user. Raises NoSuchEntry,
        ChangeRefused."""
        ...

    async def end_trial(self, user_id: int, actor: Actor) -> Document:
        """End the trial, if there is one, and give the user. Raises NoSuchEntry."""
        ...

    async def statement(
        self,
        user_id: int,
        since: float | None,
        until: float | None,
        limit: int,
        before: int | None,
    ) -> Document:
        """A user's credit account, newest line first. Raises NoSuchEntry."""
        ...

    async def export(self, sought: Sought) -> AsyncIterator[str]:
        """Entries as CSV, oldest first, in portions. Raises NoSuchEntry for a user that is unknown."""
        ...

    async def entries(self, sought: Sought, limit: int, before: int | None) -> list[Document]:
        """The books, newest first; those older than the number ``before`` if it is given."""
        ...

    async def entry(self, entry_id: str) -> list[Document]:
        """The entry of that id and what else was booked for the same request. Raises NoSuchEntry."""
        ...

    async def usage(
        self, sought: Sought, bucket: Bucket, by: Dimension | None, *, attempts: bool
    ) -> list[Document]:
        """Sums of requests, tokens and cost per hour, day or month, oldest first: of what users used,
        or of ``attempts`` that failed on the way and cost the operator."""
        ...
