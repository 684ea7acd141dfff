"""Rows of the tables ⇄ the values that the store speaks in."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Table

from dragoman.governance.keys import VirtualKey
from dragoman.governance.users import Budget, Limits, Trial, User
from dragoman.store.sealing import SealedBox
from dragoman.store.store import AuditEntry, StoredChannel

_MAX_ID = 2**31 - 1
"""The highest id there can be: PostgreSQL's integers end there."""


def named(table: Table, name_or_id: str) -> ColumnElement[bool]:
    """The condition that a row has this name or id; a number is always an id."""
    if name_or_id.isascii() and name_or_id.isdigit():
        return table.c.id == min(int(name_or_id), _MAX_ID)
    return table.c.name == name_or_id


def key_from_row(row: Row[Any]) -> VirtualKey:
    """A row of ``keys``."""
    return VirtualKey(
        id=str(row.id),
        name=row.name,
        digest=row.digest,
        hint=row.hint,
        allowed_channels=tuple(row.allowed_channels),
        allowed_models=tuple(row.allowed_models),
        strict=row.strict,
        admin=row.admin,
        enabled=row.enabled,
        user_id=row.user_id,
        limits=msgspec.convert(row.limits, Limits),
        budget=msgspec.convert(row.budget, Budget),
        metadata=row.metadata,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


def key_values(key: VirtualKey) -> dict[str, Any]:
    """Everything of a key but its id, which the table gives."""
    values = msgspec.structs.asdict(key)
    del values["id"]
    return values | {
        "allowed_channels": list(key.allowed_channels),
        "allowed_models": list(key.allowed_models),
        "limits": msgspec.to_builtins(key.limits),
        "budget": msgspec.to_builtins(key.budget),
        "metadata": dict(key.metadata),
    }


def user_from_row(row: Row[Any]) -> User:
    """A row of ``users``."""
    return User(
        id=row.id,
        name=row.name,
        email=row.email,
        enabled=row.enabled,
        prepaid=row.prepaid,
        limits=msgspec.convert(row.limits, Limits),
        budget=msgspec.convert(row.budget, Budget),
        trial=None if row.trial is None else msgspec.convert(row.trial, Trial),
        metadata=row.metadata,
        created_at=row.created_at,
    )


def user_values(user: User) -> dict[str, Any]:
    """Everything of a user but the id, which the table gives."""
    values = msgspec.structs.asdict(user)
    del values["id"]
    return values | {
        "folded_name": user.name.casefold(),
        "limits": msgspec.to_builtins(user.limits),
        "budget": msgspec.to_builtins(user.budget),
        "trial": None if user.trial is None else msgspec.to_builtins(user.trial),
        "metadata": dict(user.metadata),
    }


def channel_from_row(row: Row[Any], box: SealedBox) -> StoredChannel:
    """A row of ``channels``, unsealed. Raises SecretKeyError."""
    secrets = {}
    if row.sealed is not None:
        secrets = msgspec.json.decode(
            box.open(row.sealed, channel_place(row.id)), type=dict[str, Any]
        )
    return StoredChannel(id=row.id, name=row.name, document=row.document, secrets=secrets)


def channel_values(channel: StoredChannel, box: SealedBox) -> dict[str, Any]:
    """Name, document and sealed secrets of a channel whose id is known."""
    sealed = (
        box.seal(msgspec.json.encode(channel.secrets), channel_place(channel.id))
        if channel.secrets
        else None
    )
    return {"name": channel.name, "document": channel.document, "sealed": sealed}


def audit_from_row(row: Row[Any]) -> AuditEntry:
    """A row of ``audit``."""
    return AuditEntry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        via=row.via,
        address=row.address,
        action=row.action,
        target=row.target,
        changes=row.changes,
    )


def audit_values(entry: AuditEntry) -> dict[str, Any]:
    """Everything of an entry but its id; what is longer than its column is cut."""
    lengths = {"actor": 200, "via": 20, "address": 100, "action": 50, "target": 300}
    cut = {name: getattr(entry, name)[:length] for name, length in lengths.items()}
    return {"at": entry.at, "changes": dict(entry.changes), **cut}


def channel_place(channel_id: int) -> str:
    """What a channel's sealed secrets are bound to."""
    return f"channels/{channel_id}"
