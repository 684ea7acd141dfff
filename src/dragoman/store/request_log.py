"""The request log in the database: records to search, with their transcripts sealed.

A record is written once and never changed; it leaves by pruning. What a record holds stands in
``document`` as JSON without its transcript; a transcript is sealed with the store's secret key and
bound to its request, so that the file alone gives no prompt away.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, select

from dragoman.governance.record import (
    Filter,
    RequestRecord,
    Transcript,
    first_id,
    without_transcript,
)
from dragoman.store.bulk import insert_rows
from dragoman.store.conflicts import insert
from dragoman.store.errors import StoreError
from dragoman.store.sealing import SealedBox
from dragoman.store.tables import requests

logger = logging.getLogger("dragoman.request_log")

_PORTION = 500
"""Rows deleted in one transaction: some 5 ms, for which nothing else is read or written."""
_APART_SECONDS = 900.0
"""How much later than its id a record may say that it began: a slow upload lies between."""
_SEARCHED_LETTERS = 200
"""Names are searched by as many letters as their columns hold; clients choose what they ask for."""

_decode = msgspec.json.Decoder(RequestRecord).decode
_encode = msgspec.json.Encoder().encode
_open_transcript = msgspec.msgpack.Decoder(Transcript).decode
_pack = msgspec.msgpack.Encoder().encode

_COLUMNS = tuple(one.name for one in requests.columns if one.name != "number")
_INTO = f"INSERT INTO requests ({', '.join(_COLUMNS)})"

Result = TypeVar("Result")


class InTransaction(Protocol):
    """Does work in one transaction on the database's thread. Raises StoreError."""

    async def __call__(self, work: Callable[[Connection], Result]) -> Result: ...


class SQLRequestLog:
    """Every method raises StoreError when the database cannot be used."""

    def __init__(self, read: InTransaction, write: InTransaction, box: SealedBox) -> None:
        """Use ``SQLStore.request_log``: one connection serves both."""
        self._read = read
        self._write = write
        self._box = box

    async def add(self, records: Iterable[RequestRecord]) -> None:
        """Keep all of them in one transaction; one that is there already stays as it is. A record
        that cannot be written whatever the database does is logged and left out."""

        def work(connection: Connection) -> None:
            rows = [*self._rows(records)]
            if rows and connection.dialect.name == "sqlite":
                insert_rows(connection, _INTO, rows, then="ON CONFLICT (id) DO NOTHING")
            elif rows:
                statement = insert(connection, requests).on_conflict_do_nothing(
                    index_elements=["id"]
                )
                named = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
                connection.execute(statement, named)

        await self._write(work)

    async def find(self, wanted: Filter) -> list[RequestRecord]:
        """What fits, newest first, without transcripts."""
        query = (
            select(requests.c.id, requests.c.document)
            .where(*_named(wanted), *_between(wanted))
            .order_by(requests.c.id.desc())
            .limit(max(wanted.limit, 0))
        )

        def work(connection: Connection) -> list[RequestRecord]:
            return [*_records(connection.execute(query))]

        return await self._read(work)

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record with its transcript, if it has one. Raises StoreError if it cannot be read."""
        query = select(requests.c.document, requests.c.sealed).where(requests.c.id == request_id)

        def work(connection: Connection) -> RequestRecord | None:
            row = connection.execute(query).one_or_none()
            return None if row is None else self._whole(request_id, row.document, row.sealed)

        return await self._read(work)

    async def prune(self, keep: int, before: float) -> bool:
        """Delete a portion of what exceeds the ``keep`` newest or began before ``before`` (Unix time);
        True if there may be more."""
        newest = select(func.max(requests.c.number)).scalar_subquery()
        too_many = requests.c.number <= newest - keep
        too_old = requests.c.id < first_id(before)

        def work(connection: Connection) -> bool:
            return _delete(connection, too_many, requests.c.number) or _delete(
                connection, too_old, requests.c.id
            )

        return await self._write(work)

    async def ids(self, prefix: str, limit: int) -> list[str]:
        """The ids that begin with ``prefix``, newest first."""
        # "~" sorts behind everything an id is made of.
        query = (
            select(requests.c.id)
            .where(requests.c.id >= prefix, requests.c.id < f"{prefix}~")
            .order_by(requests.c.id.desc())
            .limit(limit)
        )
        return await self._read(lambda connection: [*connection.execute(query).scalars()])

    async def neighbours(self, request_id: str) -> list[str]:
        """The ids just before and just after this one."""
        earlier = select(func.max(requests.c.id)).where(requests.c.id < request_id)
        later = select(func.min(requests.c.id)).where(requests.c.id > request_id)

        def work(connection: Connection) -> list[str]:
            found = (connection.execute(query).scalar_one() for query in (earlier, later))
            return [one for one in found if one is not None]

        return await self._read(work)

    async def reaches_back_to(self) -> float | None:
        """When the oldest request in the log began (Unix time); None if the log is empty."""
        query = select(requests.c.started_at).order_by(requests.c.id).limit(1)
        return await self._read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def position(self) -> int:
        """The end of the log, to go on from with ``written_after``."""
        return await self._read(_position)

    async def written_after(self, position: int) -> tuple[int, list[RequestRecord]]:
        """The new end of the log, and what was written since ``position``, in order of writing."""
        query = (
            select(requests.c.id, requests.c.document)
            .where(requests.c.number > position)
            .order_by(requests.c.number)
        )

        def work(connection: Connection) -> tuple[int, list[RequestRecord]]:
            return _position(connection), [*_records(connection.execute(query))]

        return await self._read(work)

    def _rows(self, records: Iterable[RequestRecord]) -> Iterable[tuple[Any, ...]]:
        for record in records:
            try:
                yield self._row(record)
            except ValueError as error:
                logger.error("request %r cannot be logged: %s", record.id, error)

    def _row(self, record: RequestRecord) -> tuple[Any, ...]:
        """In the order of _COLUMNS. Raises ValueError for text or numbers that JSON cannot hold."""
        if not (math.isfinite(record.started_at) and math.isfinite(record.duration_ms)):
            raise ValueError("its times are no numbers")
        sealed = None
        if record.transcript is not None:
            sealed = self._box.seal(_pack(record.transcript), place(record.id))
        return (
            record.id,
            record.started_at,
            record.key_id,
            record.key_name,
            record.channel,
            _searched(record.model),
            record.outcome,
            record.status,
            record.duration_ms,
            _encode(without_transcript(record)).decode(),
            sealed,
        )

    def _whole(self, request_id: str, document: str, sealed: bytes | None) -> RequestRecord:
        try:
            record = _decode(document)
            if sealed is None:
                return record
            transcript = _open_transcript(self._box.open(sealed, place(request_id)))
        except msgspec.MsgspecError as error:
            raise StoreError(f"The record of {request_id} is damaged: {error}.") from None
        return msgspec.structs.replace(record, transcript=transcript)


def _searched(name: str) -> str:
    """A name as its column holds it; PostgreSQL's text knows no NUL."""
    return name.replace("\0", "\ufffd")[:_SEARCHED_LETTERS]


def place(request_id: str) -> str:
    """What a sealed transcript is bound to."""
    return f"requests/{request_id}"


def _named(wanted: Filter) -> Iterable[ColumnElement[bool]]:
    """The conditions on names and outcome."""
    if wanted.channel is not None:
        yield requests.c.channel == wanted.channel
    if wanted.key is not None:
        yield requests.c.key_name == wanted.key
    if wanted.model is not None:
        yield requests.c.model == _searched(wanted.model)
    if wanted.outcome is not None:
        yield requests.c.outcome == wanted.outcome


def _between(wanted: Filter) -> Iterable[ColumnElement[bool]]:
    """The conditions on time. Those on ``started_at`` are exact; those on ``id`` beside them, which
    every index ends in, keep the search from walking through the whole log."""
    if wanted.before is not None:
        yield requests.c.id < wanted.before
    if wanted.since is not None:
        yield requests.c.started_at >= wanted.since
        yield requests.c.id >= first_id(wanted.since - _APART_SECONDS)
    if wanted.until is not None:
        yield requests.c.started_at < wanted.until
        yield requests.c.id < first_id(wanted.until + _APART_SECONDS)


def _records(rows: Iterable[Any]) -> Iterable[RequestRecord]:
    """What the rows hold; a damaged one does not hide the others."""
    for request_id, document in rows:
        try:
            yield _decode(document)
        except msgspec.MsgspecError as error:
            logger.warning("the record of %s is damaged: %s", request_id, error)


def _position(connection: Connection) -> int:
    query = select(func.coalesce(func.max(requests.c.number), 0))
    position: int = connection.execute(query).scalar_one()
    return position


def _delete(
    connection: Connection, condition: ColumnElement[bool], order: ColumnElement[Any]
) -> bool:
    """Delete the first of what meets the condition; whether that was a whole portion."""
    portion = select(requests.c.number).where(condition).order_by(order).limit(_PORTION)
    done = connection.execute(delete(requests).where(requests.c.number.in_(portion)))
    return done.rowcount == _PORTION
