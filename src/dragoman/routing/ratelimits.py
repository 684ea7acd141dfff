"""What an upstream's headers say about how much it will still take.

Sources: OpenAI's rate limit guide (``x-ratelimit-remaining-requests``, ``x-ratelimit-reset-requests:
6m0s``), which Groq, Together, Mistral and others follow; Anthropic's (``anthropic-ratelimit-requests-
remaining``, ``-reset`` in RFC 3339); the IETF draft (``ratelimit-remaining``, ``ratelimit-reset`` in
seconds).
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping

# (remaining, reset), as (requests, tokens …) are counted apart.
_PAIRS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_MILLISECONDS = re.compile(r"(\d+(?:\.\d+)?)ms")
_UNIX_FROM = 1e9  # a number this large is a moment, not a duration
_UNIX_MILLISECONDS_FROM = 1e11  # OpenRouter's
LONGEST_SECONDS = 300.0
"""Nothing is learned from a reset further away: it is a daily quota or nonsense."""


def exhausted_for(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds for which the upstream will take nothing more; None if it will or does not say.

    ``headers`` has lower-case names, ``now`` is Unix time.
    """
    longest: float | None = None
    for remaining, reset in _PAIRS:
        if reset in headers and _nothing_left(headers.get(remaining)):
            seconds = _seconds(headers[reset], now)
            if seconds is not None and 0 < seconds <= LONGEST_SECONDS:
                longest = max(seconds, longest or 0.0)
    return longest


def _seconds(text: str, now: float) -> float | None:
    """A duration (``6m0s``, ``20ms``, ``1.5``) or a moment (RFC 3339, Unix time) as seconds."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        return _duration(text) if text[:1].isdigit() and "-" not in text else _moment(text, now)
    if not math.isfinite(number):
        return None
    if number >= _UNIX_MILLISECONDS_FROM:
        number /= 1000
    return number - now if number >= _UNIX_FROM else number


def _nothing_left(text: str | None) -> bool:
    try:
        return text is not None and float(text) <= 0
    except ValueError:
        return False


def _duration(text: str) -> float | None:
    if match := _MILLISECONDS.fullmatch(text):
        return float(match[1]) / 1000
    if not (match := _DURATION.fullmatch(text)):
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _moment(text: str, now: float) -> float | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # no RFC 3339: it would be read in the gateway's own time zone
        return None
    return moment.timestamp() - now
