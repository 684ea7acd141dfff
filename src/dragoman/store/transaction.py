"""The statements of one step, on an open connection, in the SQL that SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, select

from dragoman.governance.keys import VirtualKey
from dragoman.governance.ledger import Entry
from dragoman.governance.users import User
from dragoman.store import ledger_booking, ledger_reading, rows, tables
from dragoman.store.conflicts import insert
from dragoman.store.errors import NameTaken, NoSuchRow, StoreError
from dragoman.store.sealing import SealedBox
from dragoman.store.store import AuditEntry, Batch, StoredChannel


class SQLTransaction:
    """``store.Transaction`` on a connection whose transaction has begun."""

    __slots__ = ("_box", "_connection")

    def __init__(self, connection: Connection, box: SealedBox) -> None:
        self._connection = connection
        self._box = box

    def keys(self) -> list[VirtualKey]:
        """As Transaction.keys."""
        found = self._connection.execute(select(tables.keys).order_by(tables.keys.c.id))
        return [rows.key_from_row(row) for row in found]

    def add_key(self, key: VirtualKey) -> VirtualKey:
        """As Transaction.add_key."""
        table = tables.keys
        self._refuse_taken(table, key.name)
        same = select(table.c.id).where(table.c.digest == key.digest)
        if self._connection.execute(same).first():
            raise NameTaken("That very key is or was in use: give another.")
        row = self._connection.execute(
            table.insert().values(**rows.key_values(key)).returning(*table.c)
        ).one()
        return rows.key_from_row(row)

    def change_key(self, key: VirtualKey) -> None:
        """As Transaction.change_key."""
        table = tables.keys
        self._refuse_taken(table, key.name, but=int(key.id))
        changed = self._connection.execute(
            table.update()
            .where(table.c.id == int(key.id), tables.live_name)
            .values(**rows.key_values(key))
        )
        if changed.rowcount == 0:
            raise NoSuchRow(f"No live key has the id {key.id}.")

    def revoke_key(self, name_or_id: str, now: float) -> VirtualKey:
        """As Transaction.revoke_key."""
        table = tables.keys
        row = self._connection.execute(
            table.update()
            .where(rows.named(table, name_or_id), tables.live_name)
            .values(revoked_at=now)
            .returning(*table.c)
        ).one_or_none()
        if row is None:
            raise NoSuchRow(f"No live key has the name or id {name_or_id!r}.")
        return rows.key_from_row(row)

    def users(self) -> list[User]:
        """As Transaction.users."""
        found = self._connection.execute(select(tables.users).order_by(tables.users.c.id))
        return [rows.user_from_row(row) for row in found]

    def add_user(self, user: User) -> User:
        """As Transaction.add_user."""
        self._refuse_same_user(user.name)
        table = tables.users
        row = self._connection.execute(
            table.insert().values(**rows.user_values(user)).returning(*table.c)
        ).one()
        return rows.user_from_row(row)

    def change_user(self, user: User) -> None:
        """As Transaction.change_user."""
        self._refuse_same_user(user.name, but=user.id)
        table = tables.users
        changed = self._connection.execute(
            table.update().where(table.c.id == user.id).values(**rows.user_values(user))
        )
        if changed.rowcount == 0:
            raise NoSuchRow(f"No user has the id {user.id}.")

    def touch_keys(self, used: Mapping[str, float]) -> None:
        """As Store.touch_keys."""
        table = tables.keys
        for key_id, moment in used.items():
            self._connection.execute(
                table.update().where(table.c.id == int(key_id)).values(last_used_at=moment)
            )

    def book(self, entry: Entry) -> bool:
        """As Transaction.book."""
        return ledger_booking.book(self._connection, (entry,)).new == 1

    def booked(self, entry_id: str) -> Entry | None:
        """As Transaction.booked."""
        return ledger_reading.exactly(self._connection, entry_id)

    def balance(self, account: str) -> int:
        """As Transaction.balance."""
        return ledger_booking.balance(self._connection, account)

    def channels(self) -> list[StoredChannel]:
        """As Transaction.channels. Raises SecretKeyError if a sealed value cannot be read."""
        found = self._connection.execute(select(tables.channels).order_by(tables.channels.c.id))
        return [rows.channel_from_row(row, self._box) for row in found]

    def add_channel(self, channel: StoredChannel, now: float) -> StoredChannel:
        """As Transaction.add_channel."""
        table = tables.channels
        self._refuse_taken(table, channel.name)
        # In two steps, because a sealed value is bound to the id, which only the insert gives.
        new_id = self._connection.execute(
            table.insert().values(
                name=channel.name, document=channel.document, created_at=now, updated_at=now
            )
        ).inserted_primary_key
        assert new_id is not None
        kept = msgspec.structs.replace(channel, id=new_id[0])
        self._connection.execute(
            table.update()
            .where(table.c.id == kept.id)
            .values(**rows.channel_values(kept, self._box))
        )
        return kept

    def update_channel(self, channel: StoredChannel, now: float) -> None:
        """As Transaction.update_channel."""
        table = tables.channels
        self._refuse_taken(table, channel.name, but=channel.id)
        changed = self._connection.execute(
            table.update()
            .where(table.c.id == channel.id)
            .values(updated_at=now, **rows.channel_values(channel, self._box))
        )
        if changed.rowcount == 0:
            raise NoSuchRow(f"No channel has the id {channel.id}.")

    def remove_channel(self, name_or_id: str) -> StoredChannel:
        """As Transaction.remove_channel."""
        table = tables.channels
        row = self._connection.execute(
            table.delete().where(rows.named(table, name_or_id)).returning(*table.c)
        ).one_or_none()
        if row is None:
            raise NoSuchRow(f"No channel in the database has the name or id {name_or_id!r}.")
        return StoredChannel(id=row.id, name=row.name, document=row.document)

    def settings(self) -> dict[str, Any]:
        """As Transaction.settings."""
        return {row.name: row.value for row in self._connection.execute(select(tables.settings))}

    def change_settings(self, changes: Mapping[str, Any]) -> None:
        """As Transaction.change_settings."""
        table = tables.settings
        for name, value in changes.items():
            if value is None:
                self._connection.execute(table.delete().where(table.c.name == name))
            else:
                self._connection.execute(
                    insert(self._connection, table)
                    .values(name=name, value=value)
                    .on_conflict_do_update(index_elements=["name"], set_={"value": value})
                )

    def take_over(self, batch: Batch, now: float) -> None:
        """As Transaction.take_over."""
        self.change_settings(batch.settings)
        for channel in batch.channels:
            self._replace_channel(channel, now)
        for key in batch.keys:
            self._replace_key(key, now)

    def note(self, entry: AuditEntry) -> AuditEntry:
        """As Transaction.note."""
        new_id = self._connection.execute(
            tables.audit.insert().values(**rows.audit_values(entry))
        ).inserted_primary_key
        assert new_id is not None
        return msgspec.structs.replace(entry, id=new_id[0])

    def audit(self, limit: int, before: int | None = None) -> list[AuditEntry]:
        """As Store.audit."""
        table = tables.audit
        wanted = select(table).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(table.c.id < before)
        return [rows.audit_from_row(row) for row in self._connection.execute(wanted)]

    def _refuse_same_user(self, name: str, but: int | None = None) -> None:
        table = tables.users
        same = select(table.c.id).where(
            table.c.folded_name == name.casefold(), table.c.id.is_distinct_from(but)
        )
        if self._connection.execute(same).first():
            raise NameTaken(f"The name {name!r} is taken already.")

    def _refuse_taken(self, table: Table, name: str, but: int | None = None) -> None:
        taken = select(table.c.id).where(table.c.name == name, table.c.id.is_distinct_from(but))
        if table is tables.keys:
            taken = taken.where(tables.live_name)
        if self._connection.execute(taken).first():
            raise NameTaken(f"The name {name!r} is taken already.")

    def _replace_channel(self, channel: StoredChannel, now: float) -> None:
        table = tables.channels
        found = self._connection.execute(
            select(table.c.id).where(table.c.name == channel.name)
        ).scalar_one_or_none()
        if found is None:
            self.add_channel(channel, now)
        else:
            self.update_channel(msgspec.structs.replace(channel, id=found), now)

    def _replace_key(self, key: VirtualKey, now: float) -> None:
        """Put ``key`` in the place of the live one of its name, or of the one with its digest."""
        table = tables.keys
        same = self._connection.execute(
            select(table).where(table.c.digest == key.digest)
        ).one_or_none()
        if same is not None and same.revoked_at is not None:
            raise StoreError(
                f"The key given for {key.name!r} was revoked and stays so: give another."
            )
        self._connection.execute(
            table.update()
            .where(table.c.name == key.name, tables.live_name, table.c.digest != key.digest)
            .values(revoked_at=now)
        )
        if same is None:
            self.add_key(key)
            return
        kept = {
            "digest": same.digest,
            "created_at": same.created_at,
            "last_used_at": same.last_used_at,
        }
        self._connection.execute(
            table.update().where(table.c.id == same.id).values(**rows.key_values(key) | kept)
        )
