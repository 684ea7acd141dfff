"""HTTP as values: what the engine sends, and what came back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

Headers = list[tuple[str, str]]
"""Header fields in order; names in lower case."""


class HttpRequest(msgspec.Struct, kw_only=True):
    """One request to an upstream. ``url`` is absolute.

    ``guarded``: a client or a remote page has named the host. Such a request goes to public addresses
    only, or where the operator allows it (``engine.guard``), and carries no header that could hold a
    credential.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    guarded: bool = False


class HttpReply(msgspec.Struct, kw_only=True):
    """A whole HTTP answer."""

    status: int
    headers: Headers = msgspec.field(default_factory=list)
    body: bytes = b""


def media_type(content_type: str) -> str:
    """``text/event-stream; charset=utf-8`` → ``text/event-stream``."""
    return content_type.partition(";")[0].strip().lower()


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after`` (seconds or an HTTP date; RFC 9110 §10.2.3).

    ``headers`` has lower-case names; ``now`` is Unix time. Nonsense and the past give None and 0.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return max(0.0, seconds)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None


def _number(value: str | None) -> float | None:
    """``value`` as a finite number; None for anything else ("1e400" reads as infinity)."""
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None
