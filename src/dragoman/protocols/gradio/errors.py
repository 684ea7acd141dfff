"""What went wrong in a Gradio server, from its HTTP answers and its events.

Apps tell little: a status or, in a job, a text for people. The wordings of ZeroGPU (the Hub's shared
GPUs) are those of the ``spaces`` package and of its users' reports. Texts are passed on without
markup, and trimmed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import (
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    from_upstream_status,
)
from dragoman.wire.http import retry_after_seconds

_MAX_MESSAGE = 500
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\s]+")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_TOKEN = re.compile(r"\bhf_\w{8,}")
_PAGE = re.compile(r"<!doctype|<html|<head|<body", re.IGNORECASE)
_body = msgspec.json.Decoder()

_QUOTA = re.compile(
    r"exceeded your .*quota|quota exceeded|GPU limit|ZeroGPU runs limit|too many ZeroGPU credits"
    r"|credits exceeded|rate limit|too many requests",
    re.IGNORECASE,
)
_BUSY = re.compile(
    r"No GPU was available|queue timeout|queue (is )?full|queue is stopped|server stopped"
    r"|expired ZeroGPU proxy token|is (currently )?(paused|sleeping|loading|building)|overloaded",
    re.IGNORECASE,
)
_BAD_ARGUMENT = re.compile(
    r"(greater|less) than (the )?(maximum|minimum) value|not in the list of choices"
    r"|invalid file type|(not enough|too (few|many)) (inputs|arguments)|illegal duration",
    re.IGNORECASE,
)
_AGAIN_IN = re.compile(r"(?:(\d{1,3}) days?, *)?\b(\d{1,3}):(\d{2}):(\d{2})\b")


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error of a refused call; ``body`` may be anything."""
    retry_after = retry_after_seconds(headers, now=0.0)
    message = _said(body)
    if status == 503:
        message = message or "The Gradio app is not running or its queue (is )?full."
        return UpstreamOverloaded(message, upstream_status=status, retry_after=retry_after)
    message = message or f"The Gradio server answered with HTTP status {status}."
    if status == 429:
        if retry_after is None:
            retry_after = again_in(message)
        return UpstreamRateLimited(message, upstream_status=status, retry_after=retry_after)
    if status == 404:
        return UpstreamFailed(message, upstream_status=status)  # an event or a path, not the model
    return from_upstream_status(status, message, retry_after=retry_after)


def job_error(error: Any, title: Any = None, hint: str = "") -> UpstreamError:
    """The error of a job that failed: ``error`` and ``title`` as the server gives them, ``hint`` what
    the app had warned of."""
    message = clean(error) or clean(hint)
    heading = clean(title)
    if not message:
        message = "The Gradio app failed and does not say why."
    elif heading and heading.lower() not in ("error", message.lower()):
        message = f"{heading}: {message}"
    if _QUOTA.search(message):
        return UpstreamRateLimited(message, retry_after=again_in(message))
    if _BUSY.search(message):
        return UpstreamOverloaded(message)
    if _BAD_ARGUMENT.search(message):
        return UpstreamRejected(message, status=400)
    # Not to be repeated at once: it would fail the same way, at the cost of more GPU time.
    return UpstreamFailed(message, status=500)


def again_in(message: str) -> float | None:
    """Seconds until ``Try again in 1 day, 2:03:04``."""
    found = _AGAIN_IN.search(message)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def clean(text: Any) -> str:
    """A text for people without markup and credentials, on one line, at most 500 characters; empty for
    a web page or anything else."""
    if not isinstance(text, str) or _PAGE.search(text):
        return ""
    text = html.unescape(_TAG.sub("", text))
    text = _CONTROL.sub(" ", _TAG.sub("", text)).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]  # version 4 quotes its own
    return _TOKEN.sub("***", text)[:_MAX_MESSAGE].strip()


def _said(body: bytes) -> str:
    """The text in FastAPI's ``{"detail": …}``, Gradio's ``{"error": …}`` or a proxy's own form."""
    try:
        answer = _body.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    detail = answer.get("detail") or answer.get("error") or answer.get("message")
    if isinstance(detail, list):  # what pydantic or an app's validator found wrong
        found = (one.get("msg") or one.get("message") for one in detail if isinstance(one, dict))
        detail = "; ".join(text for text in found if isinstance(text, str))
    if isinstance(detail, dict):
        detail = detail.get("message")
    return clean(detail)
