"""The ledger as users may see it: each their own requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dragoman.canonical.errors import Unavailable
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.governance.statements import Sought, Used
from dragoman.server.billing import Charged
from dragoman.store.errors import StoreError
from dragoman.store.ledger import LedgerStore

_CATCH_UP_SECONDS = 2.0
_RETRY_SECONDS = 5.0


class LedgerBills:
    """``server.billing.Bills`` over the tables."""

    def __init__(self, ledger: LedgerStore, bookkeeper: Bookkeeper) -> None:
        self._ledger = ledger
        self._bookkeeper = bookkeeper

    async def used(
        self, user_id: int, *, limit: int, offset: int
    ) -> tuple[Sequence[Charged], Used]:
        """As Bills.used. If the tables do not catch up with the journal within two seconds, what they
        have is shown."""
        await self._bookkeeper.caught_up(_CATCH_UP_SECONDS)
        sought = Sought(user_id=user_id, kind="usage")
        try:
            totals = await self._ledger.totals(Sought(user_id=user_id))
            booked = await self._ledger.entries(sought, limit=limit, offset=offset)
            # Not the entries' own: what a prepaid account could not pay is an entry beside them.
            costs = await self._ledger.costs([one.entry.id for one in booked])
        except StoreError as error:
            raise _closed() from error
        return [Charged(one.entry, costs.get(one.entry.id)) for one in booked], totals

    async def costs(self, user_id: int, request_ids: Sequence[str]) -> Mapping[str, int | None]:
        """As Bills.costs. It waits for nothing: who asks for bills asks again."""
        try:
            return await self._ledger.costs(request_ids, user_id=user_id)
        except StoreError as error:
            raise _closed() from error


def _closed() -> Unavailable:
    return Unavailable(
        "The gateway's books cannot be read just now. Try again in a moment.",
        code="database_unavailable",
        retry_after=_RETRY_SECONDS,
    )
