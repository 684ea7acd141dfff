"""What every home of the tables offers; SQLite is the embedded one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from dragoman.governance.keys import VirtualKey


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


class Store(Protocol):
    """The gateway's memory. Every method raises StoreError when the database cannot be used."""

    async def keys(self) -> list[VirtualKey]:
        """Every key, oldest first; revoked ones too, because the ledger names them."""
        ...

    async def add_key(self, key: VirtualKey) -> VirtualKey:
        """Keep a new key and return it with its id. Raises NameTaken."""
        ...

    async def revoke_key(self, name_or_id: str, now: float) -> VirtualKey:
        """End a live key for good. Raises NoSuchRow."""
        ...

    async def touch_keys(self, used: Mapping[str, float]) -> None:
        """Note when keys (by id) were last used."""
        ...

    async def channels(self) -> list[StoredChannel]:
        """Every channel, oldest first."""
        ...

    async def add_channel(self, channel: StoredChannel, now: float) -> StoredChannel:
        """Keep a new channel and return it with its id, never one used before. Raises NameTaken."""
        ...

    async def update_channel(self, channel: StoredChannel, now: float) -> None:
        """Replace the channel of the same id. Raises NoSuchRow or NameTaken."""
        ...

    async def remove_channel(self, name_or_id: str) -> StoredChannel:
        """Forget a channel and return what it was. Raises NoSuchRow."""
        ...

    async def settings(self) -> dict[str, Any]:
        """The settings that were changed from their defaults."""
        ...

    async def change_settings(self, changes: Mapping[str, Any]) -> None:
        """Keep these settings beside the present ones; None forgets one."""
        ...

    async def take_over(self, batch: Batch, now: float) -> None:
        """Take a whole configuration over in one transaction."""
        ...

    async def version(self) -> int:
        """A number that differs after another process has changed something."""
        ...

    async def close(self) -> None:
        """Let the database go. Further calls fail."""
        ...
