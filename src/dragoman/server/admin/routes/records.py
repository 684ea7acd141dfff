"""The audit, and the request log."""

from __future__ import annotations

import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query

from dragoman.governance.record import RequestRecord
from dragoman.server.admin.contract import Filter
from dragoman.server.admin.documents.records import (
    Audit,
    AuditPage,
    Request,
    RequestPage,
    Requests,
)
from dragoman.server.admin.routes.desk import AtDesk, Document, RequestId

router = APIRouter()


@router.get("/audit", response_model=Audit, tags=["audit"])
async def list_changes(page: Annotated[AuditPage, Query()], desk: AtDesk) -> Document:
    """What was changed, by whom and from where; sign-ins as well."""
    entries = await desk.administration.audit(page.limit, page.before)
    full = len(entries) == page.limit
    return {"entries": entries, "next": entries[-1]["id"] if full else None}


@router.get("/requests", response_model=Requests, tags=["requests"])
async def list_requests(page: Annotated[RequestPage, Query()], desk: AtDesk) -> Document:
    """The request log, without prompts."""
    wanted = Filter(
        limit=page.limit,
        before=page.before,
        since=_unix(page.since),
        until=_unix(page.until),
        channel=page.channel,
        key=page.key,
        model=page.model,
        outcome=page.outcome,
    )
    records = await desk.administration.requests(wanted)
    full = len(records) == page.limit
    return {
        "requests": [{**_shown(record), "transcript": None} for record in records],
        "next": records[-1].id if full else None,
    }


@router.get("/requests/{request_id}", response_model=Request, tags=["requests"])
async def explain_request(request_id: RequestId, desk: AtDesk) -> Document:
    """Why a request went as it went: who was tried or passed over and why, how long it took, what
    was lost in translation, what it cost. `request_id` is the response header `x-request-id`."""
    return _shown(await desk.administration.request(request_id))


def _shown(record: RequestRecord) -> Document:
    document: Document = msgspec.to_builtins(record)
    document["started_at"] = _iso(record.started_at)
    document["status"] = record.status
    document["outcome"] = record.outcome
    if (transcript := record.transcript) is not None:
        document["transcript"] = {
            "request": transcript.request.decode("utf-8", "replace"),
            "answer": transcript.answer.decode("utf-8", "replace"),
        }
    return document


def _iso(when: float) -> str:
    moment = datetime.datetime.fromtimestamp(when, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _unix(when: datetime.datetime | None) -> float | None:
    if when is None:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
