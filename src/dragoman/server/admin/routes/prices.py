"""What models cost, and who says so."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from dragoman.routing.channel import Channel
from dragoman.server.admin.documents.prices import Prices, PricesPage
from dragoman.server.admin.routes.desk import AtDesk, Document

router = APIRouter(tags=["prices"])

_AT_ONCE = 20
"""So many prices are looked up before requests have their turn again."""


@router.get("/prices", response_model=Prices)
async def list_prices(page: Annotated[PricesPage, Query()], desk: AtDesk) -> Document:
    """What the models of the enabled channels cost: every model that a channel names, or its provider
    lists. A model that is named whole is shown wherever it may go. The operator's own prices are the
    field `prices` of the channel."""
    wanted = _wanted(page, desk)
    if page.unpriced is not None:
        found = await _documents(wanted, desk)
        found = [one for one in found if one["priced"] is not page.unpriced]
        shown, total = found[page.offset : page.offset + page.limit], len(found)
    else:
        shown = await _documents(wanted[page.offset : page.offset + page.limit], desk)
        total = len(wanted)
    return {
        "prices": shown,
        "total": total,
        "unpriced": sum(not one["priced"] for one in shown),
    }


def _wanted(page: PricesPage, desk: AtDesk) -> list[tuple[Channel, str]]:
    gateway = desk.gateway
    found = []
    for channel in gateway.routing.channels:
        if not channel.enabled or page.channel not in (None, channel.name, str(channel.id)):
            continue
        names = gateway.names_of(channel)
        if page.model is not None:
            part = page.model.casefold()
            matching = [name for name in names if part in name.casefold()]
            names = tuple(matching) or ((page.model,) if channel.serves(page.model) else ())
        found += [(channel, name) for name in names]
    return found


async def _documents(wanted: list[tuple[Channel, str]], desk: AtDesk) -> list[Document]:
    found: list[Document] = []
    for number, (channel, name) in enumerate(wanted, start=1):
        found.append(desk.gateway.prices.document(channel, name))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
