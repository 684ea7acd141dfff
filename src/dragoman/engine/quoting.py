"""Upstreams quote what they were sent when they refuse it: the credential, too, which is the operator's
and no client's business. It is taken out of what they say before anybody hears it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, quote, urlsplit

from dragoman.canonical.errors import GatewayError
from dragoman.wire.http import HttpRequest, media_type

MASK = "***"
_SHORTEST = 8
"""Shorter values are no secrets, and may be words."""
_PLAIN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "user-agent",
    }
)
_PLAIN_FIELDS = frozenset({"alt", "client_id", "grant_type", "pagesize", "scope"})
_FORM = "application/x-www-form-urlencoded"


def mask_error(error: GatewayError, request: HttpRequest) -> None:
    """Take what ``request`` holds of secrets out of what the error says. Codecs cut long messages, so
    the beginning of a secret at the end of one goes, too."""
    error.message = _cut(mask(error.message, request), request)
    error.args = (error.message,)
    if error.code is not None:
        error.code = mask(error.code, request)
    if error.param is not None:
        error.param = mask(error.param, request)


def mask(text: str, request: HttpRequest) -> str:
    """``text`` without the secrets of the request, also as a URL writes them."""
    for secret in _secrets(request):
        for form in (secret, quote(secret, safe=""), quote(secret)):
            text = text.replace(form, MASK)
    return text


def _cut(text: str, request: HttpRequest) -> str:
    end = text.rstrip(".… ")
    for secret in _secrets(request):
        for length in range(min(len(secret), len(end)), _SHORTEST - 1, -1):
            if end.endswith(secret[:length]):
                return end[:-length] + MASK
    return text


def _secrets(request: HttpRequest) -> Iterator[str]:
    """What may be a secret of what is sent: every header's value but those that never are, and what a
    query or a form says."""
    found = [
        text.partition(" ")[2] or text if name == "authorization" else text
        for name, text in request.headers.items()
        if name not in _PLAIN_HEADERS
    ]
    pairs = parse_qsl(urlsplit(request.url).query)
    if media_type(request.headers.get("content-type", "")) == _FORM:
        pairs += parse_qsl(request.body.decode("latin-1"))
    found += [text for name, text in pairs if name.lower() not in _PLAIN_FIELDS]
    yield from sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)
