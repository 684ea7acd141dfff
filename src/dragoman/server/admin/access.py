"""Who may use the admin API: an admin key with every request, or a session that one has opened.

A browser sends a session's cookie whoever makes it ask, so a change by session also needs the
session's token in a header and a sign that the page asking is ours. A key in a header needs neither:
no foreign page can put it there.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from dragoman.canonical.errors import Unauthorized
from dragoman.governance.keys import find_key
from dragoman.governance.principal import Principal
from dragoman.server.admin.contract import Actor, Administration
from dragoman.server.admin.lockout import Lockout
from dragoman.server.admin.problems import CROSS_SITE, FORBIDDEN, LOCKED, UNAUTHORIZED, Problem
from dragoman.server.admin.sessions import Session, Sessions
from dragoman.server.answer import RawHeaders, Scope
from dragoman.server.body import header
from dragoman.server.gateway import Gateway

COOKIE = "dragoman_session"
CSRF_HEADER = "x-csrf-token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_CARRIERS = (b"authorization", b"x-api-key")
"""Not the query, which ends up in logs and histories."""
_ASK_FOR_KEY = {"www-authenticate": 'Bearer realm="dragoman admin"'}


class Caller(msgspec.Struct, kw_only=True, frozen=True):
    """Who asks: the key's principal, and the session if it came by one."""

    principal: Principal
    address: str
    session: Session | None = None

    @property
    def actor(self) -> Actor:
        """The same, for the audit."""
        via = "key" if self.session is None else "session"
        return Actor(name=self.principal.name, via=via, address=self.address)


class Gatekeeper:
    """Admits callers and signs them in and out."""

    def __init__(
        self,
        gateway: Gateway,
        administration: Administration,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives monotonic seconds, by which sessions and locks end."""
        self.sessions = Sessions()
        self.lockout = Lockout()
        self.clock = clock
        self._gateway = gateway
        self._administration = administration

    def admit(self, scope: Scope) -> Caller:
        """Who may go on. Raises Problem: 401 without a valid key or session, 403 if it is no admin
        key, or if a change by session may come from a foreign page."""
        headers: RawHeaders = scope["headers"]
        key = find_key(pair for pair in headers if pair[0] in _CARRIERS)
        if key is not None:
            principal = self._recognise(key)
            _refuse_others(principal)
            return Caller(principal=principal, address=address_of(scope))
        session_id = session_id_of(headers)
        if session_id is None:
            raise _unauthorized("Send an admin key as 'Authorization: Bearer …', or sign in.")
        session, principal = self._resume(session_id)
        if scope["method"] not in SAFE_METHODS:
            _refuse_forgery(headers, session)
        return Caller(principal=principal, address=address_of(scope), session=session)

    async def sign_in(self, scope: Scope, key: str) -> tuple[str, Caller]:
        """Open a session: its id, and who has it. Every attempt but those of a locked address is
        audited. Raises Problem, Storage."""
        headers: RawHeaders = scope["headers"]
        if is_same_site(headers) is False:
            raise Problem(CROSS_SITE, "Sign in on the gateway's own page.")
        address = address_of(scope)
        now = self.clock()
        if wait := self.lockout.wait(address, now):
            raise _locked(wait)
        name = "unknown"
        try:
            principal = self._recognise(key)
            name = principal.name
            _refuse_others(principal)
        except Problem:
            self.lockout.failed(address, now)
            await self._note(name, address, accepted=False)
            raise
        await self._note(name, address, accepted=True)
        self.lockout.succeeded(address)
        self.sign_out(headers)
        session_id, session = self.sessions.begin(self._gateway.keyring.digest_of(key), now)
        return session_id, Caller(principal=principal, address=address, session=session)

    def sign_out(self, headers: RawHeaders) -> None:
        """End the session that the request carries, if any."""
        if (session_id := session_id_of(headers)) is not None:
            self.sessions.end(session_id)

    async def _note(self, name: str, address: str, *, accepted: bool) -> None:
        actor = Actor(name=name, via="session", address=address)
        await self._administration.note_sign_in(actor, accepted=accepted)

    def _recognise(self, key: str) -> Principal:
        try:
            return self._gateway.recognise(key)
        except Unauthorized as error:
            raise _unauthorized(error.message) from None

    def _resume(self, session_id: str) -> tuple[Session, Principal]:
        """The session and its key's principal, if both still hold."""
        session = self.sessions.find(session_id, self.clock())
        if session is None:
            raise _unauthorized("The session has ended. Sign in again.")
        try:
            principal = self._gateway.keyring.recall(session.key_digest, time.time())
        except Unauthorized as error:
            self.sessions.end(session_id)
            raise _unauthorized(f"{error.message} The session has ended with it.") from None
        if principal is None:
            self.sessions.end(session_id)
            raise _unauthorized("The key of this session is gone. Sign in with another.")
        _refuse_others(principal)
        return session, principal


def is_same_site(headers: RawHeaders) -> bool | None:
    """Whether a page of the gateway itself asks; None if the request does not say.

    Browsers send ``Sec-Fetch-Site`` to HTTPS and local addresses, and no page can forge it; elsewhere
    ``Origin`` goes with every request that may change something. (https://web.dev/articles/fetch-metadata)
    """
    if (site := header(headers, b"sec-fetch-site")) is not None:
        return site == "same-origin"
    if (origin := header(headers, b"origin")) is None:
        return None
    host = header(headers, b"host") or ""
    try:
        return host != "" and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def is_secure(scope: Scope) -> bool:
    """Whether the browser speaks HTTPS, to us or to a proxy in front of us."""
    forwarded = header(scope["headers"], b"x-forwarded-proto") or ""
    return scope.get("scheme") == "https" or forwarded.split(",")[0].strip().lower() == "https"


def session_id_of(headers: RawHeaders) -> str | None:
    """The session id in the cookies, if there is one."""
    for name, value in headers:
        if name != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            cookie, equals, text = pair.strip().partition("=")
            if cookie == COOKIE and equals and text:
                return text
    return None


def address_of(scope: Scope) -> str:
    """The address that the request came from; behind a proxy it is the proxy's, because a header
    that names another can be made up."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _refuse_forgery(headers: RawHeaders, session: Session) -> None:
    sent = header(headers, CSRF_HEADER.encode()) or ""
    # As bytes: compare_digest refuses text outside ASCII, and this comes from outside.
    if not hmac.compare_digest(sent.encode(), session.csrf_token.encode()):
        raise Problem(
            CROSS_SITE,
            f"A change by session needs the header '{CSRF_HEADER}' with the token that "
            "GET /admin/api/session tells.",
        )
    if not is_same_site(headers):
        raise Problem(
            CROSS_SITE,
            "A change by session must come from the gateway's own page: its 'Origin' must be "
            "the 'Host' that is asked. If a proxy stands between, let it keep the 'Host' header.",
        )


def _refuse_others(principal: Principal) -> None:
    if not principal.admin:
        raise Problem(FORBIDDEN, "This key is no admin key: it may use models, nothing else.")


def _unauthorized(detail: str) -> Problem:
    return Problem(UNAUTHORIZED, detail, headers=_ASK_FOR_KEY)


def _locked(seconds: float) -> Problem:
    wait = math.ceil(seconds)
    return Problem(
        LOCKED,
        f"Too many wrong keys came from this address. Try again in {wait} s.",
        headers={"retry-after": str(wait)},
    )
