"""Signing in and out."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from dragoman.server.admin.access import COOKIE, Caller, is_secure
from dragoman.server.admin.documents.status import SessionShown, SignIn
from dragoman.server.admin.routes.desk import AtDesk, Desk, Document, Who
from dragoman.server.admin.sessions import LONGEST_SECONDS

router = APIRouter(tags=["session"])
_COOKIE_PATH = "/admin"


@router.post("/session", response_model=SessionShown, status_code=201)
async def sign_in(body: SignIn, request: Request, response: Response, desk: AtDesk) -> Document:
    """Sign in with an admin key. The answer sets a cookie that lasts twelve hours, or one without
    use, and carries the CSRF token. After five wrong keys an address has to wait, twice as long
    after each (429)."""
    session_id, caller = await desk.gatekeeper.sign_in(request.scope, body.key.get_secret_value())
    response.set_cookie(
        COOKIE,
        session_id,
        max_age=int(LONGEST_SECONDS),
        path=_COOKIE_PATH,
        secure=is_secure(request.scope),
        httponly=True,
        samesite="strict",
    )
    return _shown(caller, desk)


@router.get("/session", response_model=SessionShown)
async def who_am_i(caller: Who, desk: AtDesk) -> Document:
    """Who one is, and a session's CSRF token."""
    return _shown(caller, desk)


@router.delete("/session", status_code=204)
async def sign_out(request: Request, response: Response, desk: AtDesk) -> None:
    """End the session."""
    desk.gatekeeper.sign_out(request.scope["headers"])
    response.delete_cookie(
        COOKIE,
        path=_COOKIE_PATH,
        secure=is_secure(request.scope),
        httponly=True,
        samesite="strict",
    )


def _shown(caller: Caller, desk: Desk) -> Document:
    document = {
        "name": caller.principal.name,
        "key_id": caller.principal.key_id,
        "via": caller.actor.via,
    }
    if (session := caller.session) is None:
        return document
    now = desk.gatekeeper.clock()
    return {
        **document,
        "csrf_token": session.csrf_token,
        "ends_in": session.ends_in(now),
        "idles_out_in": session.idles_out_in(now),
    }
