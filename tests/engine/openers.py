"""Openers as a provider might have them."""

from __future__ import annotations

from dragoman.canonical.errors import (
    GatewayError,
    RateLimited,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
)
from dragoman.canonical.secret import Secret
from dragoman.providers.opening import Draft, Lock, Memory, Opened, Opening, Persist, Recourse
from dragoman.wire.http import HttpRequest

TOKEN_URL = "http://token.test/"


def with_token(draft: Draft, memory: Memory) -> Opening:
    """Fetches a token once for all, and keeps the credential that comes with it."""
    assert draft.credential is not None
    yield Lock("token")
    token = memory.get("token", draft.now)
    if token is None:
        reply = yield HttpRequest(method="POST", url=TOKEN_URL, headers={}, body=b"refresh")
        if reply.status != 200:
            raise UpstreamRefusedCredential("The token was refused.", upstream_status=401)
        token = reply.body.decode()
        memory.put("token", token, until=draft.now + 60)
        yield Persist(draft.credential, Secret("rotated-credential"))
    draft.request.headers["authorization"] = f"Bearer {token}"
    return Opened(request=draft.request)


def queued(draft: Draft, memory: Memory) -> Opening:
    """Gives the answer's address and a way to call it off."""
    cancel = HttpRequest(method="POST", url="http://up.test/cancel", headers={})
    yield Lock("nothing")
    return Opened(request=draft.request, abort=cancel)


def forgiving(draft: Draft, memory: Memory) -> Opening:
    """Goes on although the first step fails."""
    try:
        yield HttpRequest(method="GET", url="http://up.test/info", headers={})
    except GatewayError:
        draft.request.headers["x-info"] = "none"
    return Opened(request=draft.request)


def second_thoughts(draft: Draft, memory: Memory) -> Opening:
    """Knows another way when a rate is limited."""
    yield Lock("nothing")

    def failed(error: UpstreamError) -> Recourse:
        limited = isinstance(error, UpstreamRateLimited)
        return Recourse(error, other_way() if limited else None)

    def other_way() -> Opening:
        yield HttpRequest(method="GET", url="http://up.test/info", headers={})
        return Opened(request=HttpRequest(method="POST", url="http://up.test/other", headers={}))

    return Opened(request=draft.request, failed=failed)


def callers_own(draft: Draft, memory: Memory) -> Opening:
    """Tells a limit as the caller's."""
    yield Lock("nothing")
    return Opened(request=draft.request, failed=lambda error: Recourse(RateLimited(error.message)))
