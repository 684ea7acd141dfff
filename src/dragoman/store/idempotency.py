"""What is kept of requests with an Idempotency-Key: whose key it is, and the answer, sealed.

A row is made before the request is served (``claim``) and completed after (``settle``). One that stays
open tells of a process that ended in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from dragoman.governance.idempotency import Answered, Claim, Earlier
from dragoman.store.sealing import SealedBox
from dragoman.store.tables import idempotency

OPEN = "open"
KEPT = "kept"
DROPPED = "dropped"
MOST_BYTES = 2**30
"""Of answers; beyond them the oldest are dropped, and their requests alone remembered."""
_PORTION = 500

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Answered).decode

Result = TypeVar("Result")


class InTransaction(Protocol):
    """Does work in one transaction. Raises StoreError."""

    async def __call__(self, work: Callable[[Connection], Result]) -> Result: ...


class IdempotentAnswers:
    """Every method raises StoreError when the database cannot be used."""

    def __init__(self, write: InTransaction, box: SealedBox) -> None:
        """``write`` does work in a transaction that writes."""
        self._write = write
        self._box = box

    async def claim(self, claim: Claim, since: float, lost: str = "") -> Earlier | None:
        """Take a key for a request. None if it is taken now; else who has taken it before, unless that
        was before ``since`` (Unix time) or is the open request ``lost``."""
        table = idempotency
        stale = delete(table).where(
            table.c.scope == claim.scope,
            (table.c.at < since) | ((table.c.request_id == lost) & (table.c.state == OPEN)),
        )
        values = {
            "scope": claim.scope,
            "fingerprint": claim.fingerprint,
            "request_id": claim.request_id,
            "at": claim.at,
            "state": OPEN,
            "size": 0,
        }

        def work(connection: Connection) -> Earlier | None:
            connection.execute(stale)
            row = connection.execute(
                select(table).where(table.c.scope == claim.scope)
            ).one_or_none()
            if row is None:
                connection.execute(table.insert().values(**values))
                return None
            answered = None
            if row.sealed is not None:
                answered = _unpack(self._box.open(row.sealed, place(row.scope)))
            return Earlier(
                fingerprint=row.fingerprint,
                request_id=row.request_id,
                is_open=row.state == OPEN,
                answered=answered,
            )

        return await self._write(work)

    async def settle(self, ended: Mapping[bytes, tuple[str, Answered | None]]) -> None:
        """Note how requests (scope → id, answer) have ended; None for an answer that is too much to
        keep. What another request has claimed since is left alone."""

        def work(connection: Connection) -> None:
            for scope, (request_id, answered) in ended.items():
                sealed = None if answered is None else self._seal(scope, answered)
                connection.execute(
                    update(idempotency)
                    .where(idempotency.c.scope == scope, idempotency.c.request_id == request_id)
                    .values(
                        state=DROPPED if sealed is None else KEPT,
                        size=0 if sealed is None else len(sealed),
                        sealed=sealed,
                    )
                )

        await self._write(work)

    async def free(self, scope: bytes, request_id: str) -> None:
        """Forget a request: its key may be used again."""
        gone = delete(idempotency).where(
            idempotency.c.scope == scope, idempotency.c.request_id == request_id
        )
        await self._write(lambda connection: connection.execute(gone).rowcount)

    async def prune(self, before: float) -> bool:
        """Forget a portion of what is from before ``before`` (Unix time), and the oldest answers beyond
        MOST_BYTES; True if there may be more."""
        table = idempotency
        old = select(table.c.scope).where(table.c.at < before).limit(_PORTION)
        largest = select(table.c.scope).where(table.c.size > 0).order_by(table.c.at).limit(_PORTION)
        total = select(func.coalesce(func.sum(table.c.size), 0))

        def work(connection: Connection) -> bool:
            more = connection.execute(delete(table).where(table.c.scope.in_(old))).rowcount
            if connection.execute(total).scalar_one() > MOST_BYTES:
                dropped = update(table).where(table.c.scope.in_(largest))
                connection.execute(dropped.values(state=DROPPED, size=0, sealed=None))
                return True
            return more == _PORTION

        return await self._write(work)

    def _seal(self, scope: bytes, answered: Answered) -> bytes:
        return self._box.seal(_pack(answered), place(scope))


def place(scope: bytes) -> str:
    """What a sealed answer is bound to."""
    return f"idempotency/{scope.hex()}"
