"""Channels: what is configured, how they are, trying them out."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Response

from dragoman.engine.probe import probe_channel
from dragoman.engine.tasks import spawn
from dragoman.routing.channel import Channel as RoutableChannel
from dragoman.routing.fleet import Credential, Lane
from dragoman.server.admin.documents.channel import (
    Channel,
    ChannelChange,
    ChannelNew,
    Channels,
    ChannelState,
    Trial,
    TrialResults,
)
from dragoman.server.admin.documents.common import Described
from dragoman.server.admin.problems import REFUSED, Problem
from dragoman.server.admin.routes.desk import (
    AtDesk,
    By,
    ChannelId,
    Document,
    no_such_channel,
)
from dragoman.server.gateway import Gateway

logger = logging.getLogger("dragoman.admin")

router = APIRouter(tags=["channels"])
_TRIALS_AT_ONCE = 8

NewBody = Annotated[dict[str, Any], Described(ChannelNew), Body()]
ChangeBody = Annotated[dict[str, Any], Described(ChannelChange), Body()]


@router.get("/channels", response_model=Channels)
async def list_channels(desk: AtDesk) -> Document:
    """Every channel in force, wherever it comes from, with its live state."""
    documents = await desk.administration.channels()
    return {"channels": [_with_state(one, desk.gateway) for one in documents]}


@router.post("/channels", response_model=Channel, status_code=201)
async def add_channel(body: NewBody, by: By, desk: AtDesk, response: Response) -> Document:
    """Make a channel. The next request may already use it."""
    document = await desk.administration.add_channel(_without_state(body), by)
    response.headers["location"] = f"/admin/api/channels/{document['id']}"
    return _with_state(document, desk.gateway)


@router.get("/channels/{channel_id}", response_model=Channel)
async def show_channel(channel_id: ChannelId, desk: AtDesk) -> Document:
    """One channel."""
    return _with_state(await desk.administration.channel(channel_id), desk.gateway)


@router.patch("/channels/{channel_id}", response_model=Channel)
async def change_channel(channel_id: ChannelId, body: ChangeBody, by: By, desk: AtDesk) -> Document:
    """Change some fields of a channel. Requests under way are not touched."""
    document = await desk.administration.change_channel(channel_id, _without_state(body), by)
    return _with_state(document, desk.gateway)


@router.delete("/channels/{channel_id}", status_code=204)
async def remove_channel(channel_id: ChannelId, by: By, desk: AtDesk) -> None:
    """Forget a channel and its credentials. Requests under way are finished."""
    await desk.administration.remove_channel(channel_id, by)


@router.get("/channels/{channel_id}/state", response_model=ChannelState)
async def show_state(channel_id: ChannelId, desk: AtDesk) -> Document:
    """What a channel does at this moment."""
    return _state(desk.gateway, channel_id)


@router.post("/channels/{channel_id}/reset", response_model=ChannelState)
async def reset_channel(channel_id: ChannelId, by: By, desk: AtDesk) -> Document:
    """End a channel's cooldowns and close its circuits: the next request may use it again."""
    lane = _lane(desk.gateway, channel_id)
    lane.reset()
    logger.info("channel %s: cooldowns and circuits were reset by %s", lane.channel.name, by.name)
    return _state(desk.gateway, channel_id)


@router.post("/channels/{channel_id}/test", response_model=TrialResults)
async def try_channel(
    channel_id: ChannelId, desk: AtDesk, body: Annotated[Trial | None, Body()] = None
) -> Document:
    """Send a small real request with each credential, past cooldowns and circuits, and say what is
    wrong, if anything is. It takes up to twenty seconds."""
    trial = body or Trial.model_validate({})
    lane = _lane(desk.gateway, channel_id)
    credentials = lane.credentials
    if trial.credential is not None:
        credentials = [one for one in credentials if one.number == trial.credential]
        if not credentials:
            problem = ("credential", f"the channel has no credential {trial.credential}")
            raise Problem(REFUSED, "There is no such credential.", problems=[problem])
    places = asyncio.Semaphore(_TRIALS_AT_ONCE)
    trials = [
        spawn(_try(desk.gateway, lane.channel, one, trial.model, places), "channel-test")
        for one in credentials
    ]
    results = await asyncio.gather(*trials)
    return {"ok": all(result["ok"] for result in results), "results": results}


async def _try(
    gateway: Gateway,
    channel: RoutableChannel,
    credential: Credential,
    model: str | None,
    places: asyncio.Semaphore,
) -> Document:
    pipeline = gateway.pipeline
    async with places:
        result = await probe_channel(
            channel,
            pipeline.protocols[channel.endpoints[0].protocol],
            pipeline.openings,
            model=model,
            profile_of=pipeline.profile_of,
            credential=credential.secret,
        )
    return {"credential": credential.number, **msgspec.structs.asdict(result)}


def _lane(gateway: Gateway, channel_id: int) -> Lane:
    try:
        return gateway.fleet.lane(channel_id)
    except KeyError:
        raise no_such_channel(channel_id) from None


def _state(gateway: Gateway, channel_id: int) -> Document:
    state = _lane(gateway, channel_id).snapshot(gateway.dispatcher.clock())
    document: Document = msgspec.to_builtins(state)
    return {**document, "healthy": state.healthy}


def _without_state(body: Document) -> Document:
    """A document as this API showed it may come back whole."""
    return {name: value for name, value in body.items() if name != "state"}


def _with_state(document: Document, gateway: Gateway) -> Document:
    try:
        return {**document, "state": _state(gateway, document["id"])}
    except Problem:  # a channel that was taken away meanwhile
        return document
