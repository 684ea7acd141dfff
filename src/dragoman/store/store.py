"""What every home of the tables offers: SQLite, which is embedded, and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import Entry
from dragoman.governance.users import User

Result = TypeVar("Result")


class StoredChannel(msgspec.Struct, kw_only=True, frozen=True):
    """A channel as the operator wrote it: ``document`` in the clear, ``secrets`` sealed at rest.

    The store does not read either; their fields are those of the configuration file.
    """

    id: int
    name: str
    document: Mapping[str, Any]
    secrets: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"StoredChannel(id={self.id}, name={self.name!r})"


class Batch(msgspec.Struct, kw_only=True, frozen=True):
    """A configuration to be taken over as one step: all of it or nothing.

    Rows of the same name are replaced, others are left. Ids are given by the store.
    """

    settings: Mapping[str, Any] = {}
    channels: Sequence[StoredChannel] = ()
    keys: Sequence[VirtualKey] = ()


class AuditEntry(msgspec.Struct, kw_only=True, frozen=True):
    """Who (``actor``, come ``via`` what, from ``address``) did what (``action``) to whom (``target``)
    when (``at``, seconds since 1970). ``changes`` maps fields to [before, after], without secrets.
    The store gives the id."""

    at: float
    actor: str
    via: str
    action: str
    target: str = ""
    address: str = ""
    changes: Mapping[str, Any] = {}
    id: int = 0


class Transaction(Protocol):
    """What can be read and written as one step. Nobody else writes meanwhile, and if an exception
    leaves the step, nothing of it was done."""

    def keys(self) -> list[VirtualKey]:
        """Every key, oldest first; revoked ones too, because the ledger names them."""
        ...

    def add_key(self, key: VirtualKey) -> VirtualKey:
        """Keep a new key and return it with its id. Raises NameTaken."""
        ...

    def change_key(self, key: VirtualKey) -> None:
        """Replace the live key of the same id. Raises NoSuchRow or NameTaken."""
        ...

    def revoke_key(self, name_or_id: str, now: float) -> VirtualKey:
        """End a live key for good. Raises NoSuchRow."""
        ...

    def users(self) -> list[User]:
        """Every user, oldest first."""
        ...

    def add_user(self, user: User) -> User:
        """Keep a new user and return it with its id, never one used before. Raises NameTaken if another
        has the name, in whatever case."""
        ...

    def change_user(self, user: User) -> None:
        """Replace the user of the same id. Raises NoSuchRow or NameTaken. There is no removing: the
        ledger names users for good."""
        ...

    def book(self, entry: Entry) -> bool:
        """Add an entry to the ledger; False, and nothing is moved, if its id is there already. Raises
        EntryRefused."""
        ...

    def booked(self, entry_id: str) -> Entry | None:
        """The ledger's entry of that id, if there is one."""
        ...

    def balance(self, account: str) -> int:
        """What an account of the ledger holds, in nano-USD."""
        ...

    def channels(self) -> list[StoredChannel]:
        """Every channel, oldest first."""
        ...

    def add_channel(self, channel: StoredChannel, now: float) -> StoredChannel:
        """Keep a new channel and return it with its id, never one used before. Raises NameTaken."""
        ...

    def update_channel(self, channel: StoredChannel, now: float) -> None:
        """Replace the channel of the same id. Raises NoSuchRow or NameTaken."""
        ...

    def remove_channel(self, name_or_id: str) -> StoredChannel:
        """Forget a channel and return what it was, without its secrets. Raises NoSuchRow."""
        ...

    def settings(self) -> dict[str, Any]:
        """The settings that were changed from their defaults."""
        ...

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Keep these settings beside the present ones; None forgets one."""
        ...

    def take_over(self, batch: Batch, now: float) -> None:
        """Take a whole configuration over."""
        ...

    def note(self, entry: AuditEntry) -> AuditEntry:
        """Add to the audit, which nothing is ever taken from, and return the entry with its id."""
        ...


class Store(Protocol):
    """The gateway's memory. Every method raises StoreError when the database cannot be used,
    DatabaseAway if that may pass."""

    async def write(self, work: Callable[[Transaction], Result]) -> Result:
        """Do ``work``, on the store's own thread, as one step: all of it or nothing."""
        ...

    async def pepper(self) -> bytes:
        """What the digests of virtual keys are made with."""
        ...

    async def keys(self) -> list[VirtualKey]:
        """As Transaction.keys."""
        ...

    async def users(self) -> list[User]:
        """As Transaction.users."""
        ...

    async def touch_keys(self, used: Mapping[str, float]) -> None:
        """Note when keys (by id) were last used."""
        ...

    async def channels(self) -> list[StoredChannel]:
        """As Transaction.channels."""
        ...

    async def settings(self) -> dict[str, Any]:
        """As Transaction.settings."""
        ...

    async def audit(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """The newest entries, newest first; those older than the id ``before`` if it is given."""
        ...

    async def version(self) -> int:
        """A number that differs after another process has changed something."""
        ...

    async def claim(self) -> None:
        """Be the one process that serves this database, until it is closed or this process ends.
        Raises StoreError if another one is."""
        ...

    async def close(self) -> None:
        """Let the database go. Further calls fail."""
        ...
