"""A page of ``/metrics`` without a gateway in front of it."""

from __future__ import annotations

import time

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dragoman.engine.accounting_stats import AccountingStats
from dragoman.engine.bookkeeper import BooksState
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.opening import Openings
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.telemetry import Telemetry
from dragoman.engine.transport import Transport
from dragoman.governance.keys import KeyRing
from dragoman.protocols.registry import protocols
from dragoman.routing.channel import Channel, Endpoint
from dragoman.server.gateway import Gateway, Policy
from dragoman.server.metrics import Gathered
from dragoman.server.metrics_text import render

STATS = AccountingStats(
    refused={"requests": 3, "budget": 1, "credit": 2, "trial": 4},
    holds=2,
    held=500_000_000,
    balances=12_500_000_000,
    exhausted=1,
    unpriced=6,
    absorbed=250_000_000,
    journal_lines=7,
    journal_bytes=800,
    journal_room=True,
    books_known=False,
)
_ENDPOINT = (Endpoint("openai_chat", "http://127.0.0.1:9"),)
CHANNELS = (
    Channel(id=1, name='quo"ted\nname', provider="openai", endpoints=_ENDPOINT, models=("m",)),
    Channel(id=2, name="off", provider="openai", endpoints=_ENDPOINT, enabled=False),
)


async def page(
    telemetry: Telemetry | None = None,
    stats: AccountingStats = STATS,
    books: BooksState | None = None,
) -> list[Sample]:
    """Every sample of a page. Needs an event loop, as a gateway does."""
    transport = Transport()
    pipeline = Pipeline(
        protocols=protocols(),
        profile_of=lambda channel, model, protocol: None,  # type: ignore[arg-type, return-value]
        transport=transport,
        dispatcher=Dispatcher(clock=time.monotonic, random=lambda: 0.5),
        openings=Openings(transport),
    )
    gateway = Gateway(pipeline)
    gateway.configure(CHANNELS, KeyRing((), b""), Policy(queue_limit=9))
    gathered = Gathered(gateway, None, None)
    gathered.stats, gathered.books = stats, books
    gathered.log_waiting = gathered.log_dropped = 0
    body, content_type = render(telemetry or Telemetry(clock=time.monotonic), gathered, "")
    assert content_type.startswith("text/plain")
    return [
        sample
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    ]
