"""Counting requests: what is counted where, and that clients cannot make it grow."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.usage import Usage
from dragoman.engine.metrics import MOST_HISTOGRAMS, request_families
from dragoman.engine.telemetry import (
    MOST_MODELS,
    MOST_SERIES,
    OTHER,
    SECONDS,
    WINDOW_SECONDS,
    Histogram,
    Telemetry,
    quantiles,
)
from dragoman.governance.price import BUCKETS
from dragoman.governance.record import RequestRecord
from tests.support.records import record


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry(clock: Clock) -> Telemetry:
    return Telemetry(
        clock=clock,
        provider_of=lambda channel_id: {1: "openai", 2: "anthropic"}.get(channel_id or 0, ""),
        listed=lambda model: model.startswith("listed"),
    )


def refused(model: str, **changes: Any) -> RequestRecord:
    """A request that reached no channel."""
    nothing: dict[str, Any] = {"channel": None, "channel_id": None, "tried": (), "usage": None}
    return record(model=model, outcome="error", status=404, **{**nothing, **changes})


class Samples:
    """Everything that would be shown."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.families = list(request_families(telemetry))
        self.all = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The one sample with these labels."""
        [found] = [
            one.value
            for one in self.all
            if one.name == name and labels.items() <= one.labels.items()
        ]
        return found

    def sets(self, name: str) -> int:
        """How many there are of a name."""
        return sum(one.name == name for one in self.all)


def test_a_request_is_counted_once_everywhere(telemetry: Telemetry) -> None:
    telemetry.note(record())
    samples = Samples(telemetry)
    labels = {"model": "gpt-4o", "channel": "backup", "provider": "anthropic"}
    assert samples.value("dragoman_requests_total", operation="generate", **labels) == 1
    assert samples.value("dragoman_cost_nano_usd_total", **labels) == 1_000_012_345
    assert samples.value("dragoman_cost_usd_total", **labels) == 1.000012345
    for bucket, tokens in (("input", 100), ("cache_read", 7), ("output", 50)):
        assert samples.value("dragoman_tokens_total", bucket=bucket, **labels) == tokens
    assert samples.sets("dragoman_tokens_total") == 3
    failed = {"channel": "main", "provider": "openai", "error": "429"}
    assert samples.value("dragoman_upstream_attempts_total", **failed) == 1
    answered = {"channel": "backup", "verdict": "success", "error": ""}
    assert samples.value("dragoman_upstream_attempts_total", **answered) == 1
    about = {"gen_ai_operation_name": "chat", "gen_ai_provider_name": "anthropic"}
    for name, total in (
        ("gen_ai_server_request_duration_seconds", 1.234),
        ("gen_ai_server_time_to_first_token_seconds", 0.3),
        ("gen_ai_server_time_per_output_token_seconds", 0.934 / 49),
    ):
        assert samples.value(f"{name}_sum", **about) == pytest.approx(total)
    used = samples.value("gen_ai_client_token_usage_sum", gen_ai_token_type="input", **about)
    assert used == 107


usages = st.builds(
    Usage,
    **{bucket: st.integers(0, 10**6) for bucket in BUCKETS},
    estimated=st.booleans(),
)


@given(st.lists(usages, max_size=8))
def test_no_token_is_lost_or_counted_twice(used: list[Usage]) -> None:
    telemetry = Telemetry(clock=Clock())
    for usage in used:
        telemetry.note(record(usage=usage))
    samples = Samples(telemetry)
    for bucket in BUCKETS:
        counted = sum(
            one.value
            for one in samples.all
            if one.name == "dragoman_tokens_total" and one.labels["bucket"] == bucket
        )
        assert counted == sum(getattr(usage, bucket) for usage in used)


@pytest.mark.parametrize(
    ("changes", "unpriced"),
    [
        ({"cost_nano_usd": None}, 1),
        ({"cost_nano_usd": 0}, 0),
        ({"cost_nano_usd": None, "usage": None}, 0),
        ({"cost_nano_usd": None, "operation": "count_tokens"}, 0),
        ({"cost_nano_usd": None, "outcome": "left"}, 1),
    ],
    ids=["no price", "free", "nothing used", "counting is free", "the client left"],
)
def test_unpriced_is_no_zero(telemetry: Telemetry, changes: dict[str, Any], unpriced: int) -> None:
    telemetry.note(record(**changes))
    assert sum(one.unpriced for one in telemetry.series.values()) == unpriced


def test_names_that_nobody_knows_are_other(telemetry: Telemetry) -> None:
    for number in range(50):
        telemetry.note(refused(f"made-up-{number}"))
    telemetry.note(refused("listed-but-refused"))
    telemetry.note(record(model="answered"))
    models = {one.labels[2] for one in telemetry.series.values()}
    assert models == {OTHER, "listed-but-refused", "answered"}
    assert Samples(telemetry).value("dragoman_requests_total", model=OTHER) == 50


def test_clients_cannot_make_it_grow_without_end(telemetry: Telemetry) -> None:
    """Names that are answered, too: a channel without a list may take any."""
    many = 3 * MOST_SERIES
    for number in range(many):
        name = f"name-{number}"
        protocol = f"protocol-{number % 7}"
        telemetry.note(record(model=name, protocol=protocol, channel=f"channel-{number % 5}"))
        telemetry.note(refused(name))
    assert len(telemetry.series) <= MOST_SERIES + 50
    assert len(telemetry.attempts) <= MOST_SERIES + 50
    assert len(telemetry.recent) <= MOST_MODELS + 10
    samples = Samples(telemetry)
    assert (
        sum(one.value for one in samples.all if one.name == "dragoman_requests_total") == 2 * many
    )
    name = "gen_ai_server_request_duration_seconds_count"
    assert samples.sets(name) <= MOST_HISTOGRAMS + 10
    assert sum(one.value for one in samples.all if one.name == name) == 2 * many


def test_codes_of_upstreams_are_bounded(telemetry: Telemetry) -> None:
    [first, _] = record().tried
    for number in range(500):
        attempt = type(first)(
            channel_id=1, channel="main", error="It failed.", code=f"code-{number}"
        )
        telemetry.note(record(tried=(attempt,)))
    errors = {labels[5] for labels in telemetry.attempts}
    assert len(errors) <= 101
    assert OTHER in errors


@given(
    st.lists(st.floats(0.0005, 3_000), min_size=1, max_size=300),
    st.sampled_from([0.5, 0.95, 0.99]),
)
def test_quantiles_are_within_five_percent(seconds: list[float], fraction: float) -> None:
    telemetry = Telemetry(clock=Clock())
    for one in seconds:
        telemetry.note(record(duration_ms=one * 1000))
    [recent] = telemetry.recent.values()
    [found] = quantiles([recent.now.seconds, recent.before.seconds], [fraction])
    rank = max(math.ceil(fraction * len(seconds)), 1)
    assert found == pytest.approx(sorted(seconds)[rank - 1], rel=0.05)


def test_quantiles_of_nothing_are_no_number() -> None:
    assert all(math.isnan(value) for value in quantiles([{}, {}], [0.5, 0.99]))


@given(st.lists(st.floats(0, 2_000), min_size=1))
def test_a_bucket_holds_what_is_not_above_its_bound(values: list[float]) -> None:
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    for place, bound in enumerate(SECONDS):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == pytest.approx(math.fsum(values))


def test_quantiles_and_error_ratios_forget(clock: Clock, telemetry: Telemetry) -> None:
    def ratio() -> list[float]:
        telemetry.turn()
        name = "dragoman_request_error_ratio"
        return [one.value for one in Samples(telemetry).all if one.name == name]

    telemetry.note(record(model="listed", outcome="error", status=503))
    assert ratio() == [1.0]
    clock.now = WINDOW_SECONDS
    telemetry.note(record(model="listed"))
    assert ratio() == [0.5]
    clock.now = 2 * WINDOW_SECONDS
    assert ratio() == [0.0]
    clock.now = 10 * WINDOW_SECONDS
    assert ratio() == []
    samples = Samples(telemetry)
    about = {"operation": "generate", "model": "listed"}
    assert samples.value("dragoman_request_duration_seconds_count", **about) == 2
    p99 = samples.value("dragoman_request_duration_seconds", quantile="0.99", **about)
    assert math.isnan(p99)


def test_the_percentiles_of_a_usual_load(telemetry: Telemetry) -> None:
    """Against the statistics module, on a distribution like that of answers."""
    dice = random.Random(4711)
    seconds = [dice.lognormvariate(0.5, 0.8) for _ in range(5_000)]
    for one in seconds:
        telemetry.note(record(duration_ms=one * 1000))
    samples = Samples(telemetry)
    cuts = statistics.quantiles(seconds, n=100)
    for quantile, exact in (("0.5", cuts[49]), ("0.95", cuts[94]), ("0.99", cuts[98])):
        found = samples.value("dragoman_request_duration_seconds", quantile=quantile)
        assert found == pytest.approx(exact, rel=0.06)


def test_a_client_that_leaves_is_no_error(telemetry: Telemetry) -> None:
    telemetry.note(record(outcome="left", status=499))
    samples = Samples(telemetry)
    assert samples.value("dragoman_request_error_ratio") == 0
    assert samples.value("dragoman_requests_total", outcome="left", status="499") == 1
