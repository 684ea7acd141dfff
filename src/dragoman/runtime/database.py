"""Channels and settings whose home is the database. Each change and its audit entry are one step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dragoman.config.changes import (
    Difference,
    changed_settings,
    checked_channel,
    difference,
    merged,
)
from dragoman.config.channels import Catalog
from dragoman.config.load import Configuration
from dragoman.config.roster import Roster
from dragoman.config.stored import entry_of, stored_channel, to_store
from dragoman.server.admin.contract import Actor, NameIsTaken
from dragoman.store.errors import NoSuchRow
from dragoman.store.store import AuditEntry, Store, StoredChannel, Transaction

SETTINGS_TARGET = "settings"


def noted(actor: Actor, action: str, target: str, changes: Difference) -> AuditEntry:
    """The audit's entry for a change made now."""
    return AuditEntry(
        at=time.time(),
        actor=actor.name,
        via=actor.via,
        address=actor.address,
        action=action,
        target=target,
        changes=changes,
    )


def target(name: str, entry_id: int | str) -> str:
    """A channel or key as the audit names it."""
    return f"{name} (id {entry_id})"


def refuse_taken(name: str, others: Iterable[str]) -> None:
    """Raise NameIsTaken if one of the ``others`` has the name, in whatever case."""
    if name.casefold() in {other.casefold() for other in others}:
        raise NameIsTaken(f"The name {name!r} is taken already.")


def carry_name(step: Transaction, old: str, new: str) -> None:
    """Let the keys that are limited to a channel stay so when its name changes."""
    every = step.keys()
    for key in every:
        if key.revoked_at is None and old in key.allowed_channels:
            names = tuple(new if name == old else name for name in key.allowed_channels)
            step.change_key(msgspec.structs.replace(key, allowed_channels=names))


class DatabaseHome:
    """Channels and settings in the store. Methods raise Refusal, NameIsTaken and StoreError."""

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog

    async def add_channel(self, fields: Mapping[str, Any], actor: Actor) -> int:
        """Keep a new channel; its id."""
        entry = checked_channel(dict(fields), self._catalog)

        def work(step: Transaction) -> int:
            refuse_taken(entry.name, (row.name for row in step.channels()))
            kept = step.add_channel(stored_channel(entry), time.time())
            step.note(
                noted(actor, "channel.add", target(kept.name, kept.id), difference(None, entry))
            )
            return kept.id

        return await self._store.write(work)

    async def change_channel(
        self, channel_id: int, changes: Mapping[str, Any], actor: Actor
    ) -> None:
        """Change the fields given."""

        def work(step: Transaction) -> None:
            rows = step.channels()
            row = _row(rows, channel_id)
            before = entry_of(row)
            raw = {**row.document, **row.secrets, "id": row.id, "name": row.name}
            after = checked_channel(merged(raw, changes), self._catalog)
            found = difference(before, after)
            if not found:
                return
            refuse_taken(after.name, (other.name for other in rows if other is not row))
            step.update_channel(stored_channel(after), time.time())
            if after.name != before.name:
                carry_name(step, before.name, after.name)
            step.note(noted(actor, "channel.change", target(before.name, row.id), found))

        await self._store.write(work)

    async def remove_channel(self, channel_id: int, actor: Actor) -> None:
        """Forget a channel, also one that this version cannot use."""

        def work(step: Transaction) -> None:
            row = _row(step.channels(), channel_id)
            step.remove_channel(str(channel_id))
            found: Difference = {"name": [row.name, None], "type": [row.document.get("type"), None]}
            step.note(noted(actor, "channel.remove", target(row.name, row.id), found))

        await self._store.write(work)

    async def change_settings(self, values: Mapping[str, Any], actor: Actor) -> None:
        """Keep these settings, which were checked; None forgets one."""

        def work(step: Transaction) -> None:
            if found := changed_settings(step.settings(), values):
                step.change_settings({name: values[name] for name in found})
                step.note(noted(actor, "settings.change", SETTINGS_TARGET, found))

        await self._store.write(work)


async def take_over(
    store: Store, configuration: Configuration, source: str, pepper: bytes, actor: Actor
) -> None:
    """Take a whole configuration over into the database. Raises Refusal, StoreError."""
    now = time.time()
    batch = to_store(configuration, pepper, now, Roster(await store.users()))
    found: Difference = {
        "settings": [None, sorted(n for n, value in batch.settings.items() if value is not None)],
        "channels": [None, [channel.name for channel in batch.channels]],
        "tokens": [None, [key.name for key in batch.keys]],
    }

    def work(step: Transaction) -> None:
        step.take_over(batch, now)
        step.note(noted(actor, "configuration.import", source, found))

    await store.write(work)


def _row(rows: Iterable[StoredChannel], channel_id: int) -> StoredChannel:
    for row in rows:
        if row.id == channel_id:
            return row
    raise NoSuchRow(f"No channel has the id {channel_id}.")
