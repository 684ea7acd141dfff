"""What upstreams' headers say about how much they will still take."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.routing.ratelimits import LONGEST_SECONDS, exhausted_for

NOW = 1_800_000_000.25
REQUESTS = ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


def utc(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(NOW + seconds, datetime.UTC)


def said(reset: str, remaining: str = "0", names: tuple[str, str] = REQUESTS) -> float | None:
    return exhausted_for({names[0]: remaining, names[1]: reset}, NOW)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        # OpenAI's, Groq's
        ("1s", 1),
        ("20ms", 0.02),
        ("6m0s", None),  # further away than anything is learned from
        ("4m59s", 299),
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("1m", 60),
        ("0s", None),
        ("0h2m3s", 123),
        ("1h", None),
        # the IETF draft's
        ("30", 30),
        ("1.5", 1.5),
        (" 12 ", 12),
        ("300", 300),
        ("301", None),
        # moments
        (str(NOW + 10), 10),
        (str(int(NOW) + 10), 9.75),
        (str(int((NOW + 10) * 1000)), 10),
        (utc(10).isoformat(), 10),
        (utc(10).isoformat().replace("+00:00", "Z"), 10),
        (utc(10).astimezone(datetime.timezone(datetime.timedelta(hours=9))).isoformat(), 10),
        (utc(-10).isoformat(), None),
        (utc(100_000).isoformat(), None),
        (utc(10).replace(tzinfo=None).isoformat(), None),  # whose time would that be?
        (str(NOW - 10), None),
        # nonsense
        ("", None),
        ("   ", None),
        ("soon", None),
        ("-5", None),
        ("-5s", None),
        ("0", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e400", None),
        ("1e308", None),
        ("9" * 5000, None),
        ("9" * 5000 + "s", None),
        ("9" * 5000 + "ms", None),
        ("1s1s", None),
        ("1ms2s", None),
        ("1.s", None),
        (".5s", None),
        ("²s", None),
        ("0001-01-01T00:00:00+00:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("2026-02-30T00:00:00Z", None),
    ],
)
def test_reset(reset: str, seconds: float | None) -> None:
    found = said(reset)
    assert found == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@pytest.mark.parametrize(
    ("remaining", "exhausted"),
    [
        ("0", True),
        ("0.0", True),
        ("0.00", True),
        (" 0", True),
        ("-3", True),
        ("1", False),
        ("0.5", False),
        ("", False),
        ("nan", False),
        ("inf", False),
        ("none", False),
    ],
)
def test_remaining(remaining: str, exhausted: bool) -> None:
    assert (said("5s", remaining) == 5.0) is exhausted


@pytest.mark.parametrize(
    "names",
    [
        REQUESTS,
        ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
        ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
        ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
        ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
        ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
        ("x-ratelimit-remaining", "x-ratelimit-reset"),
        ("ratelimit-remaining", "ratelimit-reset"),
    ],
)
def test_every_pair_of_names(names: tuple[str, str]) -> None:
    assert said(utc(20).isoformat(), names=names) == pytest.approx(20)
    assert exhausted_for({names[0]: "0"}, NOW) is None
    assert exhausted_for({names[1]: "5s"}, NOW) is None


def test_the_longest_of_several_counts() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "30s",
        "ratelimit-remaining": "0",
        "ratelimit-reset": "5",
    }
    assert exhausted_for(headers, NOW) == 30.0
    assert exhausted_for({}, NOW) is None


@given(st.text(max_size=30), st.text(max_size=30))
def test_nothing_from_outside_breaks_it(remaining: str, reset: str) -> None:
    for left in (remaining, "0"):
        found = said(reset, left)
        assert found is None or 0 < found <= LONGEST_SECONDS


@given(st.floats(0.001, 299))
def test_every_notation_means_the_same(seconds: float) -> None:
    minutes, rest = divmod(seconds, 60)
    for reset in (
        f"{seconds:.6f}",
        f"{seconds:.6f}s",
        f"{seconds * 1000:.3f}ms",
        f"{minutes:.0f}m{rest:.6f}s",
        f"{NOW + seconds:.6f}",
    ):
        found = said(reset)
        assert found is not None
        assert abs(found - seconds) < 0.001
