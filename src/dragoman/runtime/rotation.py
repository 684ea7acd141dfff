"""Keeping refresh tokens that their endpoints have rotated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from dragoman.canonical.secret import Secret
from dragoman.config.checks import MASK
from dragoman.config.problems import ConfigurationRefused
from dragoman.config.schema import ChannelEntry
from dragoman.engine.tasks import spawn
from dragoman.server.admin.contract import (
    Actor,
    ChangeRefused,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
)
from dragoman.store.errors import StoreError

logger = logging.getLogger("dragoman.credentials")

GATEWAY = Actor(name="gateway", via="refresh")
"""Who the audit says has made these changes."""

_AGAIN_SECONDS = 10.0
_REFUSALS = (
    ChangeRefused,
    ConfigurationRefused,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
    StoreError,
)


def rotation_of(entry: ChannelEntry, old: Secret, new: Secret) -> dict[str, Any]:
    """The change that puts ``new`` where a channel has ``old``; empty if it has not."""
    changes: dict[str, Any] = {}
    if entry.oauth is None:
        return changes
    if entry.api_key == old:
        changes["api_key"] = new.reveal()
    if old in entry.api_keys:
        changes["api_keys"] = [new.reveal() if one == old else MASK for one in entry.api_keys]
    return changes


class Rotation:
    """Keeps rotated refresh tokens, and tries again where that fails: the old ones are worth nothing
    any more."""

    def __init__(
        self,
        rotate: Callable[[Secret, Secret], Awaitable[bool]],
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        """``rotate`` is Administrator.rotate_credential."""
        self._rotate = rotate
        self._again_seconds = again_seconds

    async def keep(self, channel: str, old: Secret, new: Secret) -> None:
        """Keep ``new`` in place of ``old``. Never raises: the token is good, and requests wait for
        it."""
        if not await self._kept(channel, old, new):
            spawn(self._keep_on(channel, old, new), "keep-refresh-token")

    async def _keep_on(self, channel: str, old: Secret, new: Secret) -> None:
        while True:
            await asyncio.sleep(self._again_seconds)
            if await self._kept(channel, old, new):
                return

    async def _kept(self, channel: str, old: Secret, new: Secret) -> bool:
        """False if it has failed and may yet succeed."""
        try:
            is_kept = await self._rotate(old, new)
        except _REFUSALS as error:
            logger.error(
                "channel %s: its new refresh token is in memory only and would be lost with this "
                "process; it could not be kept: %s",
                channel,
                error,
            )
            return False
        if is_kept:
            logger.info(
                "channel %s: its refresh token was rotated, and the new one is kept", channel
            )
        else:
            logger.warning(
                "channel %s: its refresh token was rotated, but no channel that can be changed has the "
                "old one: the new one is in memory only and is lost with this process",
                channel,
            )
        return True
