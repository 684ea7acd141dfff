"""What every reply of an upstream is put through, whatever was asked for: deadlines, rate-limit headers,
status."""

from __future__ import annotations

import time
from collections.abc import Mapping

from dragoman.canonical.errors import UpstreamBroken
from dragoman.engine.journey import Attempt
from dragoman.engine.reply import Deadlines, UpstreamReply
from dragoman.protocols.base import Protocol
from dragoman.routing.channel import Channel
from dragoman.routing.ratelimits import exhausted_for
from dragoman.wire.http import retry_after_seconds


def deadlines_for(channel: Channel, general: Deadlines) -> Deadlines:
    """The limits of an attempt at ``channel``: its timeout bounds the silence before and between
    bytes."""
    return Deadlines(
        first=channel.timeout, idle=min(general.idle, channel.timeout), total=general.total
    )


def learn(attempt: Attempt, reply: UpstreamReply, now: float) -> None:
    """Take the status, and what the headers say about the rate limit, off an answer."""
    attempt.status = reply.status
    seconds = exhausted_for(reply.headers, time.time())
    if seconds is not None:
        slot = attempt.slot
        slot.lane.exhausted(slot.credential, slot.option.model, seconds, now)


async def check_status(upstream: Protocol, reply: UpstreamReply) -> None:
    """Raise the upstream's own error for anything but 2xx; redirects are never followed."""
    if 200 <= reply.status < 300:
        return
    if 300 <= reply.status < 400:
        raise UpstreamBroken(
            f"The upstream redirects (HTTP {reply.status}); mend the channel's base URL.",
            upstream_status=reply.status,
        )
    raise upstream.decode_error(reply.status, _timed(reply.headers), await reply.read())


def _timed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """``headers`` with a Retry-After that is a date (RFC 9110 §10.2.3) turned into seconds: codecs have
    no clock."""
    told = headers.get("retry-after", "")
    if not told or told[0].isdigit():
        return headers
    seconds = retry_after_seconds(headers, time.time())
    return {**headers, "retry-after": "" if seconds is None else f"{seconds:.3f}"}
