"""Who is told of every request that is over: the request log, the metrics, and OpenTelemetry if it is
set up."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from dragoman.canonical.secret import Secret
from dragoman.engine import tracing
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.engine.recorder import Recorder
from dragoman.engine.telemetry import Telemetry
from dragoman.governance.record import RequestRecord
from dragoman.server.gateway import Gateway
from dragoman.server.metrics import Access, MetricsPage


class Observing:
    """Attaches the observers to a gateway. ``start`` when there is an event loop, ``close`` at the
    end."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        recorder: Recorder | None = None,
        bookkeeper: Bookkeeper | None = None,
        token: Secret | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``token`` opens ``/metrics`` and nothing else. ``environ`` holds the OTEL_* variables."""
        self.telemetry = Telemetry(
            clock=time.monotonic,
            provider_of=lambda channel_id: _provider_of(gateway, channel_id),
            listed=lambda model: model in gateway.routing.models(),
        )
        self.tracing = tracing.from_environment(
            environ, endpoint_of=lambda channel_id: _endpoint_of(gateway, channel_id)
        )
        self._page = MetricsPage(
            gateway, self.telemetry, recorder=recorder, bookkeeper=bookkeeper, token=token
        )
        self._recorder = recorder
        gateway.metrics = self._page
        gateway.tracing = self.tracing
        gateway.record = self._teller()

    def configure(self, access: Access) -> None:
        """Take the setting ``metrics`` over."""
        self._page.access = access

    def start(self) -> None:
        """Begin to write what must be written."""
        if self._recorder is not None:
            self._recorder.start()
        if self.tracing is not None:
            self.tracing.start()

    async def close(self) -> None:
        """Write the rest, for some seconds at most."""
        if self._recorder is not None:  # first: a collector that is away takes its five seconds
            await self._recorder.close()
        if self.tracing is not None:
            await self.tracing.close()

    def _teller(self) -> Callable[[RequestRecord], None]:
        tell = [self.telemetry.note]
        if self._recorder is not None:
            tell.append(self._recorder.note)
        if self.tracing is not None:
            tell.append(self.tracing.note)

        def record(record: RequestRecord) -> None:
            for note in tell:
                note(record)

        return record


def _provider_of(gateway: Gateway, channel_id: int | None) -> str:
    if channel_id is None:
        return ""
    try:
        return gateway.fleet.lane(channel_id).channel.provider
    except KeyError:  # it was deleted while the request was under way
        return ""


def _endpoint_of(gateway: Gateway, channel_id: int) -> tracing.Place:
    try:
        channel = gateway.fleet.lane(channel_id).channel
    except KeyError:
        return tracing.NOWHERE
    return tracing.place_of(channel)
