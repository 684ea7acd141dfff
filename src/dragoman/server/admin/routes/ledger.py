"""The books, and sums of what was used."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from dragoman.governance.statements import Sought
from dragoman.server.admin.documents.ledger import (
    Booked,
    Entries,
    EntryPage,
    UsagePage,
    UsageRows,
)
from dragoman.server.admin.routes.desk import AtDesk, Desk, Document

router = APIRouter(tags=["ledger"])

EntryId = Annotated[str, Path(max_length=200, description="The entry's id, or a request's.")]


@router.get("/ledger", response_model=Entries)
async def list_entries(page: Annotated[EntryPage, Query()], desk: AtDesk) -> Document | Response:
    """Every booking. Nothing ever changes or leaves the books. What was served within the last second
    may not stand in them yet."""
    sought = sought_by(page, page.kind)
    if page.format == "csv":
        return await as_csv(desk, sought, "ledger")
    found = await desk.administration.accounts.entries(sought, page.limit, page.before)
    full = len(found) == page.limit
    return {"entries": found, "next": found[-1]["number"] if full else None}


@router.get("/ledger/{entry_id}", response_model=Booked)
async def show_entry(entry_id: EntryId, desk: AtDesk) -> Document:
    """An entry by its id, with everything that was booked for the same request. The id of a request's
    entry is the response header `x-request-id`."""
    return {"entries": await desk.administration.accounts.entry(entry_id)}


@router.get("/usage", response_model=UsageRows)
async def show_usage(page: Annotated[UsagePage, Query()], desk: AtDesk) -> Document:
    """Requests, tokens and cost per hour, day or month, by user, key, model, channel or provider."""
    rows = await desk.administration.accounts.usage(
        sought_by(page, None), page.bucket, page.by, attempts=page.attempts
    )
    return {"rows": rows}


def sought_by(page: EntryPage | UsagePage, kind: str | None) -> Sought:
    """What a page asks for."""
    return Sought(
        user_id=page.user,
        key_id=page.key,
        kind=kind,
        model=page.model,
        channel=page.channel,
        provider=page.provider,
        since=unix(page.since),
        until=unix(page.until),
    )


async def as_csv(desk: Desk, sought: Sought, name: str) -> Response:
    """Entries as a CSV file to be kept. Raises NoSuchEntry."""
    portions = await desk.administration.accounts.export(sought)
    return StreamingResponse(
        portions,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


def unix(when: datetime.datetime | None) -> float | None:
    """A moment as Unix time; without a zone it is UTC."""
    if when is None:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
