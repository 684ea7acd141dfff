"""The text of ``/metrics``. Imports prometheus_client: import this module when it is needed."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dragoman import __version__
from dragoman.engine.accounting_stats import AccountingStats
from dragoman.engine.bookkeeper import BooksState
from dragoman.engine.metrics import request_families
from dragoman.engine.telemetry import Telemetry
from dragoman.governance.money import NANO
from dragoman.routing.state import LaneState
from dragoman.server.metrics import Gathered

_CHANNEL = ("channel", "provider")
_CIRCUITS = ("closed", "open", "half-open")


def render(telemetry: Telemetry, gathered: Gathered, accept: str) -> tuple[bytes, str]:
    """The page and its media type, as ``accept`` wants it. Not on the event loop."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(telemetry, gathered))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Families(Collector):
    def __init__(self, telemetry: Telemetry, gathered: Gathered) -> None:
        self._telemetry = telemetry
        self._gathered = gathered

    def collect(self) -> Iterable[Metric]:
        gathered = self._gathered
        yield from request_families(self._telemetry)
        yield from _process(gathered)
        yield from _channels(gathered)
        yield from _providers(gathered)
        yield from _accounts(gathered.stats)
        if gathered.books is not None:
            yield from _books(gathered.books)


def _process(gathered: Gathered) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "dragoman_build_info", "Always 1; the labels tell.", labels=("version", "python")
    )
    info.add_metric((__version__, platform.python_version()), 1)
    yield info
    yield _gauge("dragoman_uptime_seconds", "Since the start.", gathered.uptime)
    yield _gauge("dragoman_draining", "1 while it stops and takes no more.", gathered.draining)
    yield _gauge(
        "http_server_active_requests", "Requests of every kind under way.", gathered.active
    )
    yield _gauge("dragoman_models", "Model names that are listed.", gathered.models)
    yield _gauge(
        "dragoman_queue_limit", "So many requests may wait per channel.", gathered.queue_limit
    )
    if gathered.log_waiting is not None:
        yield _gauge(
            "dragoman_request_log_waiting",
            "Requests that wait to be written to the request log.",
            gathered.log_waiting,
        )
    if gathered.log_dropped is not None:
        yield CounterMetricFamily(
            "dragoman_request_log_dropped",
            "Requests that were lost to the log because the database was away.",
            gathered.log_dropped,
        )


def _channels(gathered: Gathered) -> Iterator[Metric]:
    lanes = [
        ((lane.name, gathered.providers.get(lane.channel_id, "")), lane) for lane in gathered.lanes
    ]
    figures: tuple[tuple[str, str, Callable[[LaneState], float]], ...] = (
        ("up", "1 if it is enabled and one of its credentials is well.", _up),
        ("enabled", "1 if the operator has not switched it off.", lambda lane: lane.enabled),
        ("in_flight", "Requests under way.", lambda lane: lane.in_flight),
        ("limit", "So many requests it takes at once now.", lambda lane: lane.current_limit),
        ("waiting", "Requests that wait for a place.", lambda lane: lane.waiting),
        ("error_ratio", "Failed calls, of its last ones.", lambda lane: lane.error_rate),
        ("response_seconds", "Mean of its last calls.", lambda lane: lane.avg_response_time),
    )
    for name, help, value in figures:
        family = GaugeMetricFamily(f"dragoman_channel_{name}", help, labels=_CHANNEL)
        for labels, lane in lanes:
            family.add_metric(labels, float(value(lane)))
        yield family
    circuits = GaugeMetricFamily(
        "dragoman_channel_circuit",
        "1 for the state that a credential's circuit is in; credentials count from 1, 0 for none.",
        labels=(*_CHANNEL, "credential", "state"),
    )
    benches = GaugeMetricFamily(
        "dragoman_channel_benches",
        "Models, or whole credentials, that are left alone for a while.",
        labels=_CHANNEL,
    )
    for labels, lane in lanes:
        for one in lane.credentials:
            for state in dict.fromkeys((*_CIRCUITS, one.circuit)):
                circuits.add_metric((*labels, str(one.number), state), float(state == one.circuit))
        benches.add_metric(labels, sum(len(one.benches) for one in lane.credentials))
    yield circuits
    yield benches


def _up(lane: LaneState) -> bool:
    return lane.enabled and lane.healthy


def _providers(gathered: Gathered) -> Iterator[Metric]:
    up: Counter[str] = Counter()
    enabled: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for lane in gathered.lanes:
        provider = gathered.providers.get(lane.channel_id, "")
        every[provider] += 1
        enabled[provider] += lane.enabled
        up[provider] += _up(lane)
    available = GaugeMetricFamily(
        "dragoman_provider_up",
        "1 if one of its channels can be used.",
        labels=("provider",),
    )
    channels = GaugeMetricFamily(
        "dragoman_provider_channels",
        "Its channels, by what can be said of them.",
        labels=("provider", "state"),
    )
    for provider in every:
        available.add_metric((provider,), float(up[provider] > 0))
        for state, counts in (("configured", every), ("enabled", enabled), ("up", up)):
            channels.add_metric((provider, state), counts[provider])
    yield available
    yield channels


def _accounts(stats: AccountingStats) -> Iterator[Metric]:
    refused = CounterMetricFamily(
        "dragoman_requests_refused",
        "Requests that were not let in, by what they lacked.",
        labels=("reason",),
    )
    for reason, count in stats.refused.items():
        refused.add_metric((reason,), count)
    yield refused
    for name, help, amount in (
        ("dragoman_credit_balance_usd", "Credit of all users together.", stats.balances),
        ("dragoman_credit_held_usd", "Money that is held for requests under way.", stats.held),
    ):
        if amount is not None:
            yield _gauge(name, help, amount / NANO)
    for name, help, value in (
        ("dragoman_holds", "Requests under way that money is held for.", stats.holds),
        ("dragoman_accounts_exhausted", "Accounts without any credit left.", stats.exhausted),
        ("dragoman_journal_lines", "Lines that are not in the tables yet.", stats.journal_lines),
        ("dragoman_journal_bytes", "Bytes of them.", stats.journal_bytes),
        ("dragoman_journal_room", "1 while the journal takes more.", stats.journal_room),
        ("dragoman_books_known", "1 if the accounts could be read.", stats.books_known),
    ):
        if value is not None:
            yield _gauge(name, help, value)
    if stats.absorbed is not None:
        yield CounterMetricFamily(
            "dragoman_cost_absorbed_usd",
            "What failed attempts cost the operator, whom nobody pays for them.",
            stats.absorbed / NANO,
        )
    if stats.unpriced is not None:
        yield CounterMetricFamily(
            "dragoman_attempts_unpriced", "Served, and nobody says what it costs.", stats.unpriced
        )


def _books(books: BooksState) -> Iterator[Metric]:
    yield _gauge(
        "dragoman_books_away_seconds",
        "For so long the ledger's tables could not be written; 0 if they can.",
        books.away_seconds,
    )
    if books.discrepancies is not None:
        yield _gauge(
            "dragoman_ledger_discrepancies",
            "What the last check of the ledger found wrong; anything but 0 is a defect.",
            books.discrepancies,
        )


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, float(value))
