"""Prometheus families of what ``engine.telemetry`` has counted.

Names and labels that OpenTelemetry's GenAI conventions have are theirs, in Prometheus' spelling
(dots become underscores, seconds a suffix); ours begin with ``dragoman_``. Imports prometheus_client:
import this module when it is needed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.samples import Sample

from dragoman.engine.semantics import operation_name, provider_name
from dragoman.engine.telemetry import (
    FIRST_TOKEN_SECONDS,
    OTHER,
    SECONDS,
    TOKEN_SECONDS,
    TOKENS,
    Attempts,
    Histogram,
    Recent,
    Series,
    Sketch,
    Telemetry,
    quantiles,
)
from dragoman.governance.money import NANO
from dragoman.governance.price import BUCKETS

QUANTILES = (0.5, 0.95, 0.99)
MOST_HISTOGRAMS = 200
"""Label sets of a histogram, each some twenty lines; the rest is added up under ``other``."""

_BREATH_SAMPLES = 32
_BREATH_SECONDS = 0.0001

_WHO = ("model", "channel", "provider")
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_Key = tuple[str, ...]


def request_families(telemetry: Telemetry) -> Iterator[Metric]:
    """Every family that comes of requests. May be used in another thread than ``note``."""
    series = list(telemetry.series.values())
    attempts = list(telemetry.attempts.values())
    recent = dict(telemetry.recent)
    for families in (
        _counters(series),
        _quantiles(series, recent),
        _gen_ai(series, attempts),
        _attempts(attempts),
    ):
        for family in families:
            family.samples = _Breathing(family.samples)
            yield family


class _Breathing(list[Sample]):
    """Lets other threads run while it is gone through. Python makes the event loop wait five
    milliseconds for a thread that computes; of a large page it would wait for most of the time."""

    def __iter__(self) -> Iterator[Sample]:
        for number, sample in enumerate(super().__iter__()):
            if number % _BREATH_SAMPLES == 0:
                time.sleep(_BREATH_SECONDS)
            yield sample


def _counters(series: Sequence[Series]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "dragoman_requests",
        "Requests that have ended, by how (ok, error, broken, left) and the status the client got.",
        labels=("operation", "protocol", *_WHO, "outcome", "status"),
    )
    for one in series:
        requests.add_metric(one.labels, one.requests)
    yield requests
    tokens = CounterMetricFamily(
        "dragoman_tokens",
        "Tokens by bucket; no token is in two of them.",
        labels=("bucket", *_WHO),
    )
    for place, bucket in enumerate(BUCKETS):
        for who, count in _sums(series, _tokens_at(place)):
            tokens.add_metric((bucket, *who), count)
    yield tokens
    cost = _sums(series, lambda one: one.cost)
    yield _counter("dragoman_cost_nano_usd", "What requests have cost, in nano-USD.", cost)
    yield _counter(
        "dragoman_cost_usd",
        "The same in USD.",
        [(who, nano / NANO) for who, nano in cost],
    )
    yield _counter(
        "dragoman_requests_unpriced",
        "Requests that used tokens and have no price.",
        _sums(series, lambda one: one.unpriced),
    )
    yield _counter(
        "dragoman_requests_estimated",
        "Requests whose tokens no upstream has reported.",
        _sums(series, lambda one: one.estimated),
    )
    yield _counter(
        "dragoman_request_queue_seconds",
        "Time that requests waited for a free place.",
        _sums(series, lambda one: one.queued),
    )


def _tokens_at(place: int) -> Callable[[Series], int]:
    return lambda one: one.tokens[place]


def _counter(name: str, help: str, values: Iterable[tuple[_Key, float]]) -> Metric:
    family = CounterMetricFamily(name, help, labels=_WHO)
    for who, value in values:
        family.add_metric(who, value)
    return family


def _sums(series: Iterable[Series], value: Callable[[Series], float]) -> list[tuple[_Key, float]]:
    """The sum per model, channel and provider of those that have any."""
    sums: dict[_Key, float] = {}
    for one in series:
        if amount := value(one):
            who = one.labels[2:5]
            sums[who] = sums.get(who, 0) + amount
    return list(sums.items())


def _quantiles(series: Sequence[Series], recent: dict[tuple[str, str], Recent]) -> Iterator[Metric]:
    yield _summary(
        "dragoman_request_duration_seconds",
        "From a request's first byte to its answer's last. Quantiles are of the last 5 to 10 "
        "minutes and within 5 %.",
        recent,
        lambda one: (one.now.seconds, one.before.seconds),
        [(one, one.seconds) for one in series],
    )
    yield _summary(
        "dragoman_time_to_first_token_seconds",
        "Until the first content of a streamed answer left for the client. Quantiles as above.",
        recent,
        lambda one: (one.now.first_content, one.before.first_content),
        [(one, one.first_content) for one in series],
    )
    errors = GaugeMetricFamily(
        "dragoman_request_error_ratio",
        "Requests of the last 5 to 10 minutes that were refused or failed, of all.",
        labels=("operation", "model"),
    )
    for about, one in recent.items():
        if one.requests:
            errors.add_metric(about, one.errors / one.requests)
    yield errors


def _summary(
    name: str,
    help: str,
    recent: dict[tuple[str, str], Recent],
    sketches: Callable[[Recent], tuple[Sketch, Sketch]],
    histograms: Iterable[tuple[Series, Histogram]],
) -> Metric:
    """Quantiles per operation and model; count and sum are of all time."""
    counts: dict[tuple[str, str], int] = {}
    sums: dict[tuple[str, str], float] = {}
    for one, histogram in histograms:
        about = (one.labels[0], one.labels[2])
        counts[about] = counts.get(about, 0) + sum(histogram.counts)
        sums[about] = sums.get(about, 0.0) + histogram.sum
    family = Metric(name, help, "summary")
    for about, count in counts.items():
        if not count:
            continue
        labels = {"operation": about[0], "model": about[1]}
        copies = [dict(sketch) for sketch in sketches(recent[about])] if about in recent else []
        for fraction, value in zip(QUANTILES, quantiles(copies, QUANTILES), strict=True):
            family.add_sample(name, {**labels, "quantile": str(fraction)}, value)
        family.add_sample(f"{name}_count", labels, count)
        family.add_sample(f"{name}_sum", labels, sums[about])
    return family


def _gen_ai(series: Sequence[Series], attempts: Sequence[Attempts]) -> Iterator[Metric]:
    with_error = (*_GEN_AI, "error_type")
    yield _histogram(
        "gen_ai_server_request_duration_seconds",
        "From a request's first byte to its answer's last.",
        with_error,
        SECONDS,
        [((*_about(one), _error(one)), one.seconds) for one in series],
    )
    yield _histogram(
        "gen_ai_server_time_to_first_token_seconds",
        "Until the first content of a streamed answer left for the client.",
        _GEN_AI,
        FIRST_TOKEN_SECONDS,
        [(_about(one), one.first_content) for one in series if not _error(one)],
    )
    yield _histogram(
        "gen_ai_server_time_per_output_token_seconds",
        "Time per token after the first of a streamed answer.",
        _GEN_AI,
        TOKEN_SECONDS,
        [(_about(one), one.per_token) for one in series],
    )
    used = [((*_about(one), "input"), one.input_tokens) for one in series]
    used += [((*_about(one), "output"), one.output_tokens) for one in series]
    yield _histogram(
        "gen_ai_client_token_usage",
        "Tokens of a request, as the upstream reported them.",
        (*_GEN_AI, "gen_ai_token_type"),
        TOKENS,
        used,
    )
    calls = []
    for one in attempts:
        operation, _, provider, model, _, error = one.labels
        about = (operation_name(operation), provider_name(provider), model, error)
        calls.append((about, one.seconds))
    yield _histogram(
        "gen_ai_client_operation_duration_seconds",
        "Calls to upstreams; a request that falls back makes several.",
        with_error,
        SECONDS,
        calls,
    )


def _about(one: Series) -> _Key:
    operation, protocol, model, _, provider, _, _ = one.labels
    return operation_name(operation, protocol), provider_name(provider), model


def _error(one: Series) -> str:
    """``error.type``: the status if the client got one that says so; empty if nothing went wrong."""
    outcome, status = one.labels[5:]
    match outcome:
        case "ok":
            return ""
        case "error":
            return status
    return outcome


def _histogram(
    name: str,
    help: str,
    labels: Sequence[str],
    bounds: Sequence[float],
    parts: Iterable[tuple[_Key, Histogram]],
) -> Metric:
    """The histograms with the same labels, added up."""
    sums: dict[_Key, tuple[list[int], float]] = {}
    for wanted, histogram in parts:
        counts = list(histogram.counts)
        if not any(counts):
            continue
        full = wanted not in sums and len(sums) >= MOST_HISTOGRAMS
        key = (wanted[0], *(OTHER for _ in wanted[1:])) if full else wanted
        if (before := sums.get(key)) is not None:
            counts = [a + b for a, b in zip(before[0], counts, strict=True)]
        sums[key] = (counts, histogram.sum + (before[1] if before else 0.0))
    family = HistogramMetricFamily(name, help, labels=labels)
    names = [repr(float(bound)) for bound in bounds]
    for key, (counts, total) in sums.items():
        buckets, below = [], 0
        for bound, count in zip([*names, "+Inf"], counts, strict=True):
            below += count
            buckets.append((bound, float(below)))
        family.add_metric(key, buckets, total)
    return family


def _attempts(attempts: Sequence[Attempts]) -> Iterator[Metric]:
    family = CounterMetricFamily(
        "dragoman_upstream_attempts",
        "Calls to upstreams, by what they said of the channel, and the error if there was one.",
        labels=("operation", "channel", "provider", "model", "verdict", "error"),
    )
    for one in attempts:
        family.add_metric(one.labels, sum(one.seconds.counts))
    yield family
