"""What ``/metrics`` tells of requests, counted as they end.

``note`` is on every request's path, so it only adds to plain numbers; the families that Prometheus
reads are made of them when it asks (``engine.metrics``). Clients choose model names, and every new name
would be a new time series for ever: only names that are listed or were answered are kept, and no more
than a fixed number of series; the rest counts as ``other``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from dragoman.canonical.usage import Usage
from dragoman.governance.price import BUCKETS
from dragoman.governance.record import RequestRecord, TriedCandidate

OTHER = "other"
MOST_SERIES = 1_000
"""Label sets that are told apart; what comes later counts under ``other``."""
MOST_MODELS = 500
MOST_ERRORS = 100
WINDOW_SECONDS = 300.0
"""Quantiles and error ratios are of the last one to two of these."""

# The boundaries that OpenTelemetry's conventions ask for (semantic-conventions-genai,
# docs/gen-ai/gen-ai-metrics.md, read 2026-11-21); answers may take longer than theirs end.
SECONDS = (*(0.01 * 2**power for power in range(14)), 163.84, 327.68, 655.36)
FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(30.0, 60.0, 120.0),
)
TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = tuple(4**power for power in range(14))

_LOG_GAMMA = math.log(1.1)
_SHORTEST = 1e-6
_INDEX_LIMIT = 4 * MOST_SERIES
_T = TypeVar("_T")

Sketch = dict[int, int]
"""Observations by the whole number of times that 1.1 goes into them as a factor, so that a quantile is
within 5 % of the truth (as in DDSketch, https://arxiv.org/abs/1908.10693)."""


class Histogram:
    """Counts per bucket, the last for what is above every bound, and the sum of all values."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Period:
    """Requests of one operation and model in one window."""

    __slots__ = ("errors", "first_content", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.seconds: Sketch = {}
        self.first_content: Sketch = {}


class Recent:
    """The present window of one operation and model, and the one before it."""

    __slots__ = ("before", "now")

    def __init__(self) -> None:
        self.now = Period()
        self.before = Period()

    def turn(self, windows: int) -> None:
        """So many windows have passed."""
        self.before = self.now if windows == 1 else Period()
        self.now = Period()

    @property
    def requests(self) -> int:
        """Requests in both."""
        return self.now.requests + self.before.requests

    @property
    def errors(self) -> int:
        """Those of them that failed or were refused."""
        return self.now.errors + self.before.errors


class Labels(tuple[str, str, str, str, str, str, str]):
    """operation, protocol, model, channel, provider, outcome, status."""

    __slots__ = ()

    def rest(self) -> Labels:
        """The series that stands in for this one when there are too many."""
        operation, _, _, _, _, outcome, status = self
        return Labels((operation, OTHER, OTHER, OTHER, OTHER, outcome, status))


class Series:
    """Everything counted of the requests with the same labels. ``tokens`` are in the order of
    ``governance.price.BUCKETS``, ``cost`` is nano-USD."""

    __slots__ = (
        "cost",
        "estimated",
        "first_content",
        "input_tokens",
        "labels",
        "output_tokens",
        "per_token",
        "queued",
        "recent",
        "requests",
        "seconds",
        "tokens",
        "unpriced",
    )

    def __init__(self, labels: Labels, recent: Recent) -> None:
        self.labels = labels
        self.recent = recent
        self.requests = 0
        self.queued = 0.0
        self.seconds = Histogram(SECONDS)
        self.first_content = Histogram(FIRST_TOKEN_SECONDS)
        self.per_token = Histogram(TOKEN_SECONDS)
        self.input_tokens = Histogram(TOKENS)
        self.output_tokens = Histogram(TOKENS)
        self.tokens = [0] * len(BUCKETS)
        self.estimated = 0
        self.cost = 0
        self.unpriced = 0


class Attempts:
    """Calls to upstreams with the same labels: operation, channel, provider, model, verdict, error."""

    __slots__ = ("labels", "seconds")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.seconds = Histogram(SECONDS)


class Telemetry:
    """Used on one event loop; another thread may read ``series``, ``attempts`` and ``recent``, each
    copied by ``list`` or ``dict`` first."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        provider_of: Callable[[int | None], str] = lambda channel_id: "",
        listed: Callable[[str], bool] = lambda model: False,
    ) -> None:
        """``clock`` gives monotonic seconds. ``provider_of`` tells the provider of a channel by its
        id, ``listed`` whether the gateway lists a model's name."""
        self.series: dict[Labels, Series] = {}
        self.attempts: dict[tuple[str, ...], Attempts] = {}
        self.recent: dict[tuple[str, str], Recent] = {}
        self._clock = clock
        self._provider_of = provider_of
        self._listed = listed
        self._index: dict[tuple[object, ...], Series] = {}
        self._attempt_index: dict[tuple[object, ...], Attempts] = {}
        self._models: set[str] = set()
        self._errors: set[str] = set()
        self._turn_at = clock() + WINDOW_SECONDS

    def note(self, record: RequestRecord) -> None:
        """Count a request that has ended. Takes some three microseconds and cannot fail."""
        self.turn()
        key = (
            record.operation,
            record.protocol,
            record.model,
            record.channel,
            self._provider_of(record.channel_id),
            record.outcome,
            record.status,
        )
        series = self._index.get(key)
        if series is None:
            series = self._find(key, record)
        series.requests += 1
        seconds = record.duration_ms / 1000
        series.seconds.observe(seconds)
        if record.queued_ms:
            series.queued += record.queued_ms / 1000
        period = series.recent.now
        period.requests += 1
        if record.outcome in ("error", "broken"):
            period.errors += 1
        _add(period.seconds, seconds)
        if record.first_content_ms is not None and record.stream:
            first = record.first_content_ms / 1000
            series.first_content.observe(first)
            _add(period.first_content, first)
        if record.usage is not None:
            _count_usage(series, record, record.usage)
        for attempt in record.tried:
            self._note_attempt(attempt, record, series.labels[2])

    def turn(self) -> None:
        """Begin another window if it is time."""
        late = self._clock() - self._turn_at
        if late < 0:
            return
        windows = 1 + int(late // WINDOW_SECONDS)
        self._turn_at += windows * WINDOW_SECONDS
        for recent in self.recent.values():
            recent.turn(windows)

    def _find(self, key: tuple[object, ...], record: RequestRecord) -> Series:
        """The series of a request that looks like none before it."""
        operation, protocol, _, channel, provider, outcome, status = map(_text, key)
        model = self._model(record)
        labels = Labels((operation, protocol, model, channel, provider, outcome, status))
        series = self.series.get(labels)
        if series is None:
            if len(self.series) >= MOST_SERIES:
                labels = labels.rest()
            series = self.series.get(labels)
        if series is None:
            about = (labels[0], labels[2])
            recent = self.recent.setdefault(about, Recent())
            series = self.series[labels] = Series(labels, recent)
        if model == record.model:  # names that are not kept must not gather here either
            _keep(self._index, key, series)
        return series

    def _model(self, record: RequestRecord) -> str:
        name = record.model
        if name in self._models:
            return name
        answered = record.outcome in ("ok", "broken") and record.channel is not None
        if len(self._models) < MOST_MODELS and (answered or self._listed(name)):
            self._models.add(name)
            return name
        return OTHER

    def _note_attempt(self, attempt: TriedCandidate, record: RequestRecord, model: str) -> None:
        key = (
            record.operation,
            attempt.channel,
            attempt.channel_id,
            attempt.model,
            attempt.verdict,
            attempt.status,
            attempt.code,
            model,
        )
        attempts = self._attempt_index.get(key)
        if attempts is None:
            attempts = self._find_attempts(key, attempt, record.operation, model)
        attempts.seconds.observe(max(attempt.ended_ms - attempt.began_ms, 0.0) / 1000)

    def _find_attempts(
        self, key: tuple[object, ...], attempt: TriedCandidate, operation: str, model: str
    ) -> Attempts:
        provider = self._provider_of(attempt.channel_id)
        name = OTHER if model == OTHER else attempt.model
        error = self._error(attempt)
        labels = (operation, attempt.channel, provider, name, attempt.verdict, error)
        if labels not in self.attempts and len(self.attempts) >= MOST_SERIES:
            labels = (operation, OTHER, OTHER, OTHER, attempt.verdict, OTHER if error else "")
        attempts = self.attempts.get(labels)
        if attempts is None:
            attempts = self.attempts[labels] = Attempts(labels)
        if name == attempt.model:
            _keep(self._attempt_index, key, attempts)
        return attempts

    def _error(self, attempt: TriedCandidate) -> str:
        """What went wrong, in few words: the upstream's status, else our code; empty if nothing."""
        if attempt.status is not None and attempt.status >= 400:
            return str(attempt.status)
        if attempt.error is None:
            return ""
        code = attempt.code or "error"
        if code not in self._errors:
            if len(self._errors) >= MOST_ERRORS:
                return OTHER
            self._errors.add(code)
        return code


def quantiles(sketches: Iterable[Mapping[int, int]], wanted: Sequence[float]) -> list[float]:
    """The values below which these fractions (ascending) of the observations lie; NaN without any."""
    together: Sketch = {}
    for sketch in sketches:
        for place, count in sketch.items():
            together[place] = together.get(place, 0) + count
    total = sum(together.values())
    if total == 0:
        return [math.nan] * len(wanted)
    found = []
    places = iter(sorted(together))
    place, below = next(places), 0
    for fraction in wanted:
        rank = max(math.ceil(fraction * total), 1)
        while below + together[place] < rank:
            below += together[place]
            place = next(places)
        found.append(2 * math.exp(place * _LOG_GAMMA) / 2.1)
    return found


def _add(sketch: Sketch, seconds: float) -> None:
    place = math.ceil(math.log(seconds if seconds > _SHORTEST else _SHORTEST) / _LOG_GAMMA)
    sketch[place] = sketch.get(place, 0) + 1


def _count_usage(series: Series, record: RequestRecord, usage: Usage) -> None:
    tokens = series.tokens
    read, written = usage.input, usage.output
    tokens[0] += read
    tokens[_FIRST_OUTPUT] += written
    # Most requests have tokens in these two alone.
    for place in _RARE:
        if count := getattr(usage, BUCKETS[place]):
            tokens[place] += count
            if place < _FIRST_OUTPUT:
                read += count
            else:
                written += count
    if usage.estimated:
        series.estimated += 1
    else:
        series.input_tokens.observe(read)
        if written:
            series.output_tokens.observe(written)
    if record.cost_nano_usd is not None:
        series.cost += record.cost_nano_usd
    elif record.outcome != "error" and record.operation != "count_tokens":
        series.unpriced += 1
    first = record.first_content_ms
    if record.stream and first is not None and written > 1 and record.outcome == "ok":
        series.per_token.observe((record.duration_ms - first) / 1000 / (written - 1))


_FIRST_OUTPUT = BUCKETS.index("output")
_RARE = tuple(place for place, name in enumerate(BUCKETS) if name not in ("input", "output"))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _keep(index: dict[tuple[object, ...], _T], key: tuple[object, ...], found: _T) -> None:
    if len(index) >= _INDEX_LIMIT:
        index.clear()
    index[key] = found
