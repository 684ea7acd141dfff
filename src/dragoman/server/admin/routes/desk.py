"""What every route has at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from dragoman.server.admin.access import Caller, Gatekeeper
from dragoman.server.admin.contract import Actor, Administration
from dragoman.server.admin.mount import CALLER
from dragoman.server.admin.problems import NOT_FOUND, Problem
from dragoman.server.gateway import Gateway

MAX_ID = 2**53


@dataclasses.dataclass(frozen=True)
class Desk:
    """The gateway, who keeps its configuration, and who guards the door; ``admin_active`` counts the
    requests to this API that are under way."""

    gateway: Gateway
    administration: Administration
    gatekeeper: Gatekeeper
    admin_active: Callable[[], int]


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


def _actor(request: Request) -> Actor:
    return _caller(request).actor


AtDesk = Annotated[Desk, Depends(_desk)]
Who = Annotated[Caller, Depends(_caller)]
By = Annotated[Actor, Depends(_actor)]
ChannelId = Annotated[int, Path(ge=1, le=MAX_ID, description="The channel's number.")]
UserId = Annotated[int, Path(ge=1, le=MAX_ID, description="The user's number.")]
KeyId = Annotated[str, Path(max_length=200, description="The key's id.")]
RequestId = Annotated[str, Path(max_length=100, description="The request's id.")]

Document = dict[str, Any]


def no_such_channel(channel_id: int) -> Problem:
    """404 for a channel that is not in force."""
    return Problem(NOT_FOUND, f"There is no channel {channel_id}.")
