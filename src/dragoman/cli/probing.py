"""One real request through a channel, outside a running gateway."""

from __future__ import annotations

from dragoman.cli.wiring import profile_of
from dragoman.engine.opening import Keep, Openings
from dragoman.engine.probe import ProbeResult, probe_channel
from dragoman.engine.transport import Transport
from dragoman.protocols.registry import protocol
from dragoman.routing.channel import Channel


async def probe(channel: Channel, model: str | None, keep: Keep) -> ProbeResult:
    """Try the channel in the protocol it prefers; ``keep`` keeps a refresh token that this rotates."""
    transport = Transport()
    try:
        return await probe_channel(
            channel,
            protocol(channel.endpoints[0].protocol),
            Openings(transport, keep),
            model=model,
            profile_of=profile_of,
            credential=channel.first_credential,
        )
    finally:
        await transport.close()
