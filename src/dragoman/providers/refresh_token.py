"""A channel whose credential is a refresh token: access tokens are fetched with it, used while they
last, and fetched once however many requests wait (RFC 6749, section 6).

Where the endpoint rotates the refresh token, the new one is kept before the access token is used: a
gateway that lost it would have to be signed in again by a person. Until the channel itself has the new
one, and for channels that cannot be changed, the old one is remembered to stand for it.
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
    UpstreamMisconfigured,
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
_FAILURE_SECONDS = 5.0
"""So long, who waited for a token takes the failure that came instead for his own."""
_MILLISECONDS_FROM = 1e11  # a moment this large is in milliseconds, one above 1e9 in seconds
_MOMENT_FROM = 1e9
_MOST_ROTATIONS = 100
_ADVICE = {  # codes of RFC 6749, section 5.2
    "invalid_client": "check the channel's client_id and client_secret",
    "unauthorized_client": "check the channel's client_id and client_secret",
    "invalid_scope": "check the channel's scope",
}


def open_with_token(draft: Draft, memory: Memory) -> Opening:
    """Put an access token in the refresh token's place. Raises UpstreamRefusedCredential if the token
    endpoint refuses, another UpstreamError if it cannot be used."""
    return (yield from _open(draft, memory, may_repeat=True))


def _open(draft: Draft, memory: Memory, *, may_repeat: bool) -> Opening:
    oauth, configured = draft.oauth, draft.credential
    if oauth is None or configured is None:
        raise UpstreamRefusedCredential("The channel has no refresh token.", upstream_status=401)
    key, token = _known(draft, memory, oauth, configured)
    if token is None:
        # One fetches at a time; the others find what came of it.
        first = memory.get(_key("first", oauth, configured), draft.now) or configured
        yield Lock(_key("fetch", oauth, first))
        key, token = _known(draft, memory, oauth, configured)
    if token is None:
        token = yield from _fetch(draft, memory, oauth, configured)
        key, _ = _known(draft, memory, oauth, configured)
    request = _with_token(draft.request, configured, token)

    def failed(error: UpstreamError) -> Recourse:
        # An access token may end before its time; the refresh token need not be bad for that.
        if not may_repeat or error.upstream_status != 401:
            return Recourse(error)
        if memory.get(key, draft.now) is token:  # else another request has fetched a new one
            memory.forget(key)
        return Recourse(error, _open(draft, memory, may_repeat=False))

    return Opened(request=request, failed=failed)


def _known(
    draft: Draft, memory: Memory, oauth: OAuth, configured: Secret
) -> tuple[str, Secret | None]:
    """Where the access token is remembered, and it, if there is one. Raises what the fetch that was
    waited for has raised."""
    latest = _latest(memory, oauth, configured, draft.now)
    failure = memory.get(_key("failure", oauth, latest), draft.now)
    if failure is not None:
        raise failure.with_traceback(None)
    key = _key("token", oauth, latest)
    return key, memory.get(key, draft.now)


def _latest(memory: Memory, oauth: OAuth, configured: Secret, now: float) -> Secret:
    """The refresh token that has come of the configured one."""
    latest = configured
    for _ in range(_MOST_ROTATIONS):  # two, usually: every rotation is noted at the configured one
        following = memory.get(_key("successor", oauth, latest), now)
        if following is None:
            break
        latest = following
    return latest


def _fetch(draft: Draft, memory: Memory, oauth: OAuth, configured: Secret) -> Any:
    refresh_token = _latest(memory, oauth, configured, draft.now)
    try:
        reply = yield _token_request(oauth, refresh_token)
        grant = _read(reply)
        token = Secret(_text(grant, "access_token"))
    except UpstreamError as error:
        told = _as_the_endpoints(error)
        until = draft.now + _FAILURE_SECONDS
        memory.put(_key("failure", oauth, refresh_token), told, until=until)
        raise told from None
    rotated = grant.get("refresh_token")
    if isinstance(rotated, str) and rotated and rotated != refresh_token.reveal():
        successor = Secret(_text(grant, "refresh_token"))
        # First of all: the old one may be worth nothing from now on.
        first = memory.get(_key("first", oauth, refresh_token), draft.now) or refresh_token
        memory.put(_key("first", oauth, successor), first, until=math.inf)
        for older in (refresh_token, configured):
            memory.put(_key("successor", oauth, older), successor, until=math.inf)
        yield Persist(refresh_token, successor)
        refresh_token = successor
    until = draft.now + _life(grant, draft.now)
    memory.put(_key("token", oauth, refresh_token), token, until=until)
    return token


def _as_the_endpoints(error: UpstreamError) -> UpstreamError:
    if isinstance(error, UpstreamUnreachable):
        return UpstreamUnreachable(f"The token endpoint: {error.message}")
    return error


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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        document = None
    code = document.get("error") if isinstance(document, dict) else None
    if reply.status in (400, 401, 403) or (reply.status == 200 and code):
        code = code if isinstance(code, str) and code.isidentifier() else f"HTTP {reply.status}"
        advice = _ADVICE.get(code, "sign in again and give the channel the new one")
        raise UpstreamRefusedCredential(
            f"The token endpoint refuses the refresh token ({code}): {advice}.", upstream_status=401
        )
    if reply.status != 200:
        message = f"The token endpoint answers with HTTP {reply.status}."
        if reply.status in (408, 429) or reply.status >= 500:
            raise from_upstream_status(reply.status, message)
        raise UpstreamMisconfigured(
            f"{message[:-1]}: check the channel's token_url.", upstream_status=reply.status
        )
    if not isinstance(document, dict):
        raise UpstreamBroken("The token endpoint's answer is not a JSON object.")
    return document


def _text(grant: dict[str, Any], field: str) -> str:
    value = grant.get(field)
    if not isinstance(value, str) or not value or not value.isprintable() or not value.isascii():
        raise UpstreamBroken(f"The token endpoint's answer has no usable {field}.")
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


def _key(what: str, oauth: OAuth, refresh_token: Secret) -> str:
    digest = hashlib.sha256(refresh_token.reveal().encode()).hexdigest()
    return f"oauth {what} {oauth.token_url} {oauth.client_id} {digest}"
