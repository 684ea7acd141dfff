"""How limits stand, as response headers, in every family that clients read.

- ``x-ratelimit-limit``, ``-remaining``, ``-reset`` (Unix seconds), for the limit that ends first;
- ``x-ratelimit-*-requests`` and ``-tokens``, resets as OpenAI writes them (``1s``, ``6m0s``;
  platform.openai.com/docs/guides/rate-limits);
- ``anthropic-ratelimit-*`` for clients of the Messages API, resets in RFC 3339
  (platform.claude.com/docs/en/api/rate-limits).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence

from dragoman.governance.limits import Meter, Reading, tightest


def limit_headers(
    meters: Sequence[Meter], now: int, unix_now: float, *, anthropic: bool
) -> dict[str, str]:
    """The headers for the limits of ``meters``; empty if there are none. ``now`` is monotonic
    nanoseconds; ``anthropic`` adds that family."""
    headers: dict[str, str] = {}
    first: Reading | None = None
    least = math.inf
    for kind in ("requests", "tokens"):
        share, limit = tightest(meters, kind, now)
        if limit is None:
            continue
        reading = limit.reading(now)
        amount, _, left, reset = reading
        if share < least:
            first, least = reading, share
        headers[f"x-ratelimit-limit-{kind}"] = str(amount)
        headers[f"x-ratelimit-remaining-{kind}"] = str(left)
        headers[f"x-ratelimit-reset-{kind}"] = duration(reset)
        if anthropic:
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(amount)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(left)
            headers[f"anthropic-ratelimit-{kind}-reset"] = _moment(unix_now + reset)
    if first is not None:
        headers["x-ratelimit-limit"] = str(first.amount)
        headers["x-ratelimit-remaining"] = str(first.remaining)
        headers["x-ratelimit-reset"] = str(math.ceil(unix_now + first.reset))
    return headers


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``120ms``, ``1.5s``, ``6m0s``, ``1h0m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _moment(unix: float) -> str:
    moment = datetime.datetime.fromtimestamp(math.ceil(unix), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
