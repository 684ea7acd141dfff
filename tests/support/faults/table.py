"""The faults, and what a client is promised when its only channel has one.

With a healthy channel behind it, the promise is the same for all: whatever breaks before the first
content costs nothing but time, and what breaks after it raises.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

Promise = frozenset[int]
"""The HTTP statuses the SDK may see; with RAISED_IN_STREAM it raises under 200."""

ANSWERED: Promise = frozenset({200})
RAISED_IN_STREAM: Promise = frozenset()
BAD_GATEWAY: Promise = frozenset({502})
OVERLOADED: Promise = frozenset({503})
TIMED_OUT: Promise = frozenset({504})
LIMITED: Promise = frozenset({429})

SHORT = 2.0
"""The timeout, in seconds, of channels that are too slow: long enough for a busy machine."""


@dataclass(frozen=True)
class Fault:
    """One row. ``door`` is where the channel points if not at the scripted upstream itself;
    ``waits`` says that a deadline of the gateway's ends it, of ``timeout`` seconds if that is the
    channel's."""

    name: str
    title: str
    plain: Promise
    streamed: Promise
    door: str = ""
    timeout: float = 20.0
    waits: bool = False

    def promise(self, mode: str) -> Promise:
        """What is promised in one mode."""
        return self.plain if mode == "plain" else self.streamed


def _before(name: str, title: str, promise: Promise = BAD_GATEWAY, door: str = "") -> Fault:
    return Fault(name, title, promise, promise, door)


def _late(name: str, title: str) -> Fault:
    """Streams break after their first content; a whole answer has not begun to leave even then."""
    return Fault(name, title, BAD_GATEWAY, RAISED_IN_STREAM)


def _slow(name: str, title: str, streamed: Promise = TIMED_OUT) -> Fault:
    return Fault(name, title, TIMED_OUT, streamed, timeout=SHORT, waits=True)


def _no_connection(name: str, title: str) -> Fault:
    """The gateway's own limit for connecting (5 s) ends it, well before the channel's timeout."""
    return Fault(name, title, BAD_GATEWAY, BAD_GATEWAY, door=name, waits=True)


FAULTS: tuple[Fault, ...] = (
    _no_connection("connect-hang", "connect hangs"),
    _no_connection("tls-silent", "TLS handshake hangs"),
    _slow("no-first-byte", "no first byte in time"),
    _slow("stall-before", "stall before the first content"),
    _slow("stall-midway", "stall mid-stream", RAISED_IN_STREAM),
    _before("refused", "connection refused", door="refused"),
    _before("tls-self-signed", "TLS: self-signed certificate", door="tls-self-signed"),
    _before("tls-plain", "TLS: plain text on the port", door="tls-plain"),
    _before("status-401", "401"),
    _before("status-403", "403"),
    _before("status-429-after", "429 with Retry-After", LIMITED),
    _before("status-429", "429 without", LIMITED),
    _before("status-500", "500"),
    _before("status-502-page", "502 with an HTML page"),
    _before("status-503", "503", OVERLOADED),
    _before("status-529", "529", OVERLOADED),
    _before("redirect-302", "redirect, 302"),
    _before("redirect-308", "redirect, 308"),
    _before("ok-error", "200 with an error body", frozenset({502, 503})),
    _before("ok-empty", "200 with an empty body"),
    _before("ok-page", "200 with an HTML page"),
    _before("error-first", "error event before content", frozenset({502, 503})),
    _before("json-broken", "invalid JSON"),
    _before("sse-broken", "invalid SSE"),
    _before("not-http", "no HTTP at all"),
    _before("gzip-broken", "gzip that is none"),
    _before("oversize", "body over 32 MiB"),
    _before("gzip-bomb", "gzip bomb"),
    _before("headers-flood", "headers over 256 KiB"),
    _before("reset-before", "reset before headers"),
    _before("closed-before", "closed before headers"),
    _before("cut-before", "cut before content"),
    _late("cut-midway", "cut mid-stream"),
    _late("cut-http10", "HTTP/1.0 body cut mid-stream"),
    _late("reset-midway", "reset mid-stream"),
    _late("no-marker", "no terminal marker"),
    _late("json-broken-midway", "invalid JSON mid-stream"),
    replace(
        _late("chunks-broken-midway", "invalid chunk framing mid-stream"), timeout=SHORT
    ),  # not that it should be needed
    Fault("error-midway", "error event after content", frozenset({502, 503}), RAISED_IN_STREAM),
    _before("http10", "HTTP/1.0, ended by close", ANSWERED),
    _before("gzip", "gzip", ANSWERED),
    _before("brotli", "brotli", ANSWERED),
    _before("early-hints", "interim answers (100, 103)", ANSWERED),
    _before("keep-alives", "keep-alives before the answer", ANSWERED),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
