"""Giving a database another secret key, in one transaction: all of it is sealed anew, or nothing is.

The digests of virtual keys depend on a pepper. It is derived from the secret key until that is changed
for the first time; from then on it is kept, sealed, so that every virtual key goes on working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, select, update

from dragoman.store import idempotency, request_log, rows, tables
from dragoman.store.errors import SecretKeyError
from dragoman.store.sealing import KEY_CHECK, SealedBox, check_value, derive

_PEPPER = "pepper"
_PEPPER_PLACE = "meta/pepper"
_PORTION = 200
"""Values sealed anew between two reads; a transcript may take half a megabyte."""


class Sealed(msgspec.Struct, frozen=True):
    """Where sealed values are: a column, the one that tells its rows apart, and what a value is bound
    to, by that."""

    column: Column[Any]
    key: Column[Any]
    place: Callable[[Any], str]

    @property
    def table(self) -> Table:
        """The table it is in."""
        return self.column.table


SEALED = (
    Sealed(tables.channels.c.sealed, tables.channels.c.id, rows.channel_place),
    Sealed(tables.requests.c.sealed, tables.requests.c.id, request_log.place),
    Sealed(tables.idempotency.c.sealed, tables.idempotency.c.scope, idempotency.place),
)
"""Every column that holds sealed values, beside the pepper."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How many sealed values open, by table, and the places of those that do not."""

    opened: Mapping[str, int]
    damaged: tuple[str, ...]


def pepper_of(connection: Connection, secret_key: bytes) -> bytes:
    """What the digests of virtual keys are made with. Raises SecretKeyError if it cannot be opened."""
    kept = connection.execute(
        select(tables.meta.c.value).where(tables.meta.c.name == _PEPPER)
    ).scalar_one_or_none()
    if kept is None:
        return derive(secret_key, "virtual keys")
    return SealedBox(secret_key).open(kept, _PEPPER_PLACE)


def reseal(connection: Connection, old: bytes, new: bytes) -> int:
    """Seal with the secret key ``new`` whatever is sealed with ``old``; how many values that were. The
    transaction is the caller's. Raises SecretKeyError for a value that does not open."""
    before, after = SealedBox(old), SealedBox(new)
    pepper = pepper_of(connection, old)
    number = 0
    for where in SEALED:
        for key, sealed in _values(connection, where):
            place = where.place(key)
            connection.execute(
                update(where.table)
                .where(where.key == key)
                .values({where.column.name: after.seal(before.open(sealed, place), place)})
            )
            number += 1
    _put(connection, _PEPPER, after.seal(pepper, _PEPPER_PLACE))
    _put(connection, KEY_CHECK, check_value(new))
    return number


def examine(connection: Connection, secret_key: bytes) -> Health:
    """Try to open every sealed value."""
    box = SealedBox(secret_key)
    opened: dict[str, int] = {}
    damaged = []
    for where in SEALED:
        opened[where.table.name] = 0
        for key, sealed in _values(connection, where):
            try:
                box.open(sealed, where.place(key))
                opened[where.table.name] += 1
            except SecretKeyError:
                damaged.append(where.place(key))
    try:
        pepper_of(connection, secret_key)
    except SecretKeyError:
        damaged.append(_PEPPER_PLACE)
    return Health(opened=opened, damaged=tuple(damaged))


def _values(connection: Connection, where: Sealed) -> Iterator[tuple[Any, bytes]]:
    """Every sealed value with its row's key, a portion at a time."""
    query = (
        select(where.key, where.column)
        .where(where.column.is_not(None))
        .order_by(where.key)
        .limit(_PORTION)
    )
    portion = connection.execute(query).all()
    while portion:
        yield from ((key, sealed) for key, sealed in portion)
        portion = connection.execute(query.where(where.key > portion[-1][0])).all()


def _put(connection: Connection, name: str, value: bytes) -> None:
    meta = tables.meta
    if (
        connection.execute(update(meta).where(meta.c.name == name).values(value=value)).rowcount
        == 0
    ):
        connection.execute(meta.insert().values(name=name, value=value))
