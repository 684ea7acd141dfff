"""A channel whose credential is a refresh token: access tokens are fetched with it, used while they
last, and fetched once however many requests wait (RFC 6749, section 6).

Where the endpoint rotates the refresh token, the new one is kept before the access token is used: a
gateway that lost it would have to be signed in again by a person.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any
from urllib.parse import urlencode

import msgspec

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamRefusedCredential,
    UpstreamUnreachable,
    from_upstream_status,
)
from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.providers.opening import (
    Draft,
    Lock,
    Memory,
    Opened,
    Opening,
    Persist,
    Recourse,
)
from dragoman.wire.http import HttpReply, HttpRequest

_USUAL_LIFE_SECONDS = 3600.0
_EARLY_SECONDS = 300.0
_MILLISECONDS_FROM = 1e11  # a moment this large is in milliseconds, one above 1e9 in seconds
_MOMENT_FROM = 1e9


def open_with_token(draft: Draft, memory: Memory) -> Opening:
    """Put an access token in the refresh token's place. Raises UpstreamRefusedCredential if the token
    endpoint refuses, UpstreamUnreachable or UpstreamBroken if it cannot be used."""
    return (yield from _open(draft, memory, may_repeat=True))


def _open(draft: Draft, memory: Memory, *, may_repeat: bool) -> Opening:
    oauth, refresh_token = draft.oauth, draft.credential
    if oauth is None or refresh_token is None:
        raise UpstreamRefusedCredential("The channel has no refresh token.", upstream_status=401)
    key = _key(oauth, refresh_token)
    token: Secret | None = memory.get(key, draft.now)
    if token is None:
        yield Lock(key)
        token = memory.get(key, draft.now)  # another request may have fetched it meanwhile
    if token is None:
        token = yield from _fetch(draft, memory, oauth, refresh_token, key)
    request = _with_token(draft.request, refresh_token, token)

    def failed(error: UpstreamError) -> Recourse:
        # An access token may end before its time; the refresh token need not be bad for that.
        if not may_repeat or not isinstance(error, UpstreamRefusedCredential):
            return Recourse(error)
        memory.forget(key)
        return Recourse(error, _open(draft, memory, may_repeat=False))

    return Opened(request=request, failed=failed)


def _fetch(draft: Draft, memory: Memory, oauth: OAuth, refresh_token: Secret, key: str) -> Any:
    try:
        reply = yield _token_request(oauth, refresh_token)
    except UpstreamError as error:
        raise UpstreamUnreachable(f"The token endpoint: {error.message}") from None
    grant = _read(reply)
    token = Secret(_text(grant, "access_token"))
    until = draft.now + _life(grant, draft.now)
    memory.put(key, token, until=until)
    rotated = grant.get("refresh_token")
    if isinstance(rotated, str) and rotated and rotated != refresh_token.reveal():
        # Requests that were planned with the old one find the token under it; later ones under the new.
        memory.put(_key(oauth, Secret(rotated)), token, until=until)
        yield Persist(refresh_token, Secret(rotated))
    return token


def _token_request(oauth: OAuth, refresh_token: Secret) -> HttpRequest:
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
    if oauth.client_id:
        fields["client_id"] = oauth.client_id
    if oauth.client_secret is not None:
        fields["client_secret"] = oauth.client_secret.reveal()
    if oauth.scope:
        fields["scope"] = oauth.scope
    return HttpRequest(
        method="POST",
        url=oauth.token_url,
        headers={
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        },
        body=urlencode(fields).encode(),
    )


def _read(reply: HttpReply) -> dict[str, Any]:
    """The grant. An error is told by its code alone: descriptions may repeat what was sent."""
    try:
        document = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        document = None
    code = document.get("error") if isinstance(document, dict) else None
    if reply.status in (400, 401, 403) or (reply.status == 200 and code):
        told = f" ({code})" if isinstance(code, str) and code.isidentifier() else ""
        raise UpstreamRefusedCredential(
            f"The token endpoint refuses the refresh token{told}: sign in again and give the channel "
            "the new one.",
            upstream_status=401,
        )
    if reply.status != 200:
        raise from_upstream_status(
            reply.status, f"The token endpoint answers with HTTP {reply.status}."
        )
    if not isinstance(document, dict):
        raise UpstreamBroken("The token endpoint's answer is not a JSON object.")
    return document


def _text(grant: dict[str, Any], field: str) -> str:
    value = grant.get(field)
    if not isinstance(value, str) or not value or not value.isprintable() or not value.isascii():
        raise UpstreamBroken(f"The token endpoint's answer has no {field}.")
    return value


def _life(grant: dict[str, Any], now: float) -> float:
    """Seconds for which the access token may be used: it is renewed five minutes early, or half-way
    through a shorter life. ``expires_in`` counts seconds (RFC 6749); ``expired_in`` is MiniMax's, in
    seconds or as a moment in milliseconds."""
    life = _seconds(grant.get("expires_in"))
    if life is None:
        life = _seconds(grant.get("expired_in"))
    if life is None:
        return _USUAL_LIFE_SECONDS - _EARLY_SECONDS
    if life >= _MILLISECONDS_FROM:
        life = life / 1000 - now
    elif life >= _MOMENT_FROM:
        life -= now
    return max(0.0, life - min(_EARLY_SECONDS, life / 2))


def _seconds(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _with_token(request: HttpRequest, refresh_token: Secret, token: Secret) -> HttpRequest:
    """The request with the access token wherever the refresh token stood."""
    old, new = refresh_token.reveal(), token.reveal()
    headers = {
        name: value.replace(old, new) if value in (old, f"Bearer {old}") else value
        for name, value in request.headers.items()
    }
    return HttpRequest(method=request.method, url=request.url, headers=headers, body=request.body)


def _key(oauth: OAuth, refresh_token: Secret) -> str:
    text = f"{oauth.token_url}\n{oauth.client_id}\n{refresh_token.reveal()}"
    return f"oauth {hashlib.sha256(text.encode()).hexdigest()}"
