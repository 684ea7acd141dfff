"""The optional background check: finds out that a channel is well again before a client has to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from dragoman.canonical.errors import GatewayError
from dragoman.engine import local
from dragoman.engine.opening import Openings
from dragoman.engine.probe import check_credential
from dragoman.protocols.base import Protocol
from dragoman.routing.fleet import Credential, Fleet, Lane

logger = logging.getLogger("dragoman.health")

_IDLE_SECONDS = 1.0


class Prober:
    """Lists the models of every channel that is not well, again and again."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        protocols: Mapping[str, Protocol],
        openings: Openings,
        clock: Callable[[], float],
    ) -> None:
        """``clock`` gives monotonic seconds. Nothing is checked while ``seconds`` is 0."""
        self.seconds = 0.0
        self._fleet = fleet
        self._protocols = protocols
        self._openings = openings
        self._clock = clock

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(self.seconds or _IDLE_SECONDS)
            if self.seconds:
                await self.round()

    async def round(self) -> None:
        """Check every credential that is not well, all at once: one that hangs must not keep the
        others waiting."""
        now = self._clock()
        ill = [
            (lane, credential)
            for lane in self._fleet.lanes()
            if lane.channel.enabled
            for credential in lane.credentials
            if not credential.well(now)
        ]
        await asyncio.gather(*(self._check(lane, credential) for lane, credential in ill))

    async def _check(self, lane: Lane, credential: Credential) -> None:
        channel = lane.channel
        endpoint = channel.endpoints[0]
        protocol = self._protocols[endpoint.protocol]
        if not protocol.models_path or endpoint.base_url.startswith(local.SCHEME):
            return
        failure: GatewayError | None = None
        try:
            await check_credential(channel, protocol, self._openings, credential.secret)
        except GatewayError as error:
            failure = error
            logger.info("channel %r is still not well: %s", channel.name, error.message)
        lane.probed(credential, failure, self._clock())
