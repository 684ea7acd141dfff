"""``/metrics``: what Prometheus reads.

Model names and spend are nobody's business but the operator's, so the page wants an admin key or the
token that is for it alone, unless the setting ``metrics`` opens it. What is read on the event loop takes
well under a millisecond; the text is made in a thread.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from dragoman.canonical.errors import Forbidden, Unauthorized
from dragoman.canonical.secret import Secret
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.engine.recorder import Recorder
from dragoman.engine.telemetry import Telemetry
from dragoman.governance.keys import find_key
from dragoman.server.answer import AsgiAnswer, RawHeaders, Scope
from dragoman.server.body import header

if TYPE_CHECKING:
    from dragoman.server.gateway import Gateway

PATH = "/metrics"
Access = Literal["admin", "open", "off"]
_CARRIERS = (b"authorization", b"x-api-key")
"""Not the query, which ends up in logs."""


class MetricsPage:
    """Answers for ``/metrics``. ``access`` may be changed at any time: ``open`` to everyone, ``admin``
    keys only, or ``off``. ``token`` opens it beside the keys and opens nothing else."""

    def __init__(
        self,
        gateway: Gateway,
        telemetry: Telemetry,
        *,
        recorder: Recorder | None = None,
        bookkeeper: Bookkeeper | None = None,
        token: Secret | None = None,
    ) -> None:
        self.access: Access = "admin"
        self.telemetry = telemetry
        self._bookkeeper = bookkeeper
        self._gateway = gateway
        self._recorder = recorder
        self._token = token
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, scope: Scope, answer: AsgiAnswer) -> bool:
        """Answer a scrape; False if the page is off. Raises Unauthorized, or Forbidden for a key that is
        no admin key."""
        headers: RawHeaders = scope["headers"]
        if self.access == "off":
            return False
        if self.access == "admin":
            self._admit(headers)
        async with self._one_at_a_time:
            body, content_type = await self.page(header(headers, b"accept") or "")
        about = {"content-type": content_type, "cache-control": "no-store"}
        await answer.whole(200, about, body)
        return True

    async def page(self, accept: str) -> tuple[bytes, str]:
        """The text and its media type: OpenMetrics for who accepts it, else Prometheus' own."""
        self.telemetry.turn()
        render = await asyncio.to_thread(_renderer)
        gathered = Gathered(self._gateway, self._recorder, self._bookkeeper)
        return await asyncio.to_thread(render, self.telemetry, gathered, accept)

    def _admit(self, headers: RawHeaders) -> None:
        key = find_key(pair for pair in headers if pair[0] in _CARRIERS)
        if key is not None and self._is_token(key):
            return
        if key is None:
            raise Unauthorized(
                "Send an admin key or the metrics token as 'Authorization: Bearer …'. "
                "(DRAGOMAN_METRICS_TOKEN sets the token; the setting 'metrics' opens or closes the page.)"
            )
        if not self._gateway.recognise(key).admin:
            raise Forbidden(
                "This key is no admin key, and /metrics shows what everyone spends.",
                code="admin_key_needed",
            )

    def _is_token(self, key: str) -> bool:
        if self._token is None:
            return False
        # As bytes: compare_digest refuses text outside ASCII, and this comes from outside.
        return hmac.compare_digest(key.encode(), self._token.reveal().encode())


class Gathered:
    """What the event loop knows at the moment of a scrape; plain values, for another thread."""

    def __init__(
        self,
        gateway: Gateway,
        recorder: Recorder | None,
        bookkeeper: Bookkeeper | None,
    ) -> None:
        """On the event loop."""
        self.lanes = gateway.fleet.snapshot(gateway.dispatcher.clock())
        self.providers = {lane.channel.id: lane.channel.provider for lane in gateway.fleet.lanes()}
        self.active = gateway.active - 1  # not this one
        self.draining = gateway.draining
        self.models = len(gateway.routing.models())
        self.uptime = time.monotonic() - gateway.started
        self.queue_limit = gateway.policy.queue_limit
        self.log_waiting = None if recorder is None else recorder.waiting
        self.log_dropped = None if recorder is None else recorder.dropped
        self.stats = gateway.accounting.stats()
        self.books = None if bookkeeper is None else bookkeeper.state


Render = Callable[[Telemetry, Gathered, str], tuple[bytes, str]]


def _renderer() -> Render:
    """The function that writes the page. Imports what it needs, which takes a moment the first time."""
    from dragoman.server.metrics_text import render  # noqa: PLC0415 - brings prometheus_client

    return render
