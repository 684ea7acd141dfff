"""HTTP as values: what the engine sends, and what came back."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

Headers = list[tuple[str, str]]
"""Header fields in order; names in lower case."""


class HttpRequest(msgspec.Struct, kw_only=True):
    """One request to an upstream. ``url`` is absolute."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""


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
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None
