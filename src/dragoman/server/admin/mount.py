"""The admin API as an ASGI application: what stands before the routes.

Every path is closed unless it is listed as open, so that a new route is closed too. FastAPI is
imported and the routes are built when they are first needed, in a thread: a gateway that nobody
administers starts without them, and requests under way are not held up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from dragoman.engine.tasks import spawn
from dragoman.server.admin import dashboard
from dragoman.server.admin.access import SAFE_METHODS, Gatekeeper
from dragoman.server.admin.contract import Administration
from dragoman.server.admin.problems import (
    DRAINING,
    MALFORMED,
    MEDIA_TYPE,
    UNSUPPORTED,
    Problem,
    problem_of,
    unexpected,
)
from dragoman.server.answer import RawHeaders, Receive, Scope, Send, raw_headers
from dragoman.server.body import ClientLeft, check_headers, header, read_body
from dragoman.server.gateway import Gateway
from dragoman.server.ids import new_id
from dragoman.wire.http import media_type

logger = logging.getLogger("dragoman.admin")

PREFIX = "/admin/api"
CALLER = "dragoman.caller"
"""Where in the scope the routes find who asks."""
REQUEST_ID = "dragoman.request_id"
MAX_BODY_BYTES = 1024 * 1024
MAX_DEPTH = 32
"""So deep may a body be nested; no field needs more than four levels."""

_PAGES = frozenset({f"{PREFIX}/docs", f"{PREFIX}/docs.css", f"{PREFIX}/docs.js"})
OPEN = frozenset(
    {
        *(("GET", page) for page in _PAGES),
        ("GET", f"{PREFIX}/openapi.json"),
        ("POST", f"{PREFIX}/session"),
    }
)
"""(method, path) of what answers without a key, the dashboard's files aside: the documentation, and
the sign-in."""

_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

_DECODE = msgspec.json.Decoder(float_hook=float).decode

Asgi = Callable[[Scope, Receive, Send], Any]


def is_admin_path(path: str) -> bool:
    """Whether the admin API answers for ``path``."""
    return path.startswith("/admin") and (len(path) == 6 or path[6] == "/")


class AdminMount:
    """The ASGI callable for paths below ``/admin``."""

    def __init__(
        self,
        gateway: Gateway,
        administration: Administration,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives monotonic seconds, by which sessions and locks end."""
        self.active = 0
        self._gateway = gateway
        self._administration = administration
        self._gatekeeper = Gatekeeper(gateway, administration, clock)
        self._building: asyncio.Task[Asgi] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ClientLeft."""
        request_id = new_id()
        reply = _Reply(send, scope["path"], request_id)
        self.active += 1
        try:
            await self._answer({**scope, REQUEST_ID: request_id}, receive, reply)
        except ClientLeft:
            raise
        except Exception as error:  # the last line of defence, as in server.app
            problem = problem_of(error)
            if problem is None:
                logger.exception("request %s: unexpected failure", request_id)
                problem = unexpected(request_id)
            await reply.refuse(problem)
        finally:
            self.active -= 1

    async def app(self) -> Asgi:
        """The routes behind the door, built once; a failure is tried again by who comes next. Raises
        what the building raised."""
        building = self._building
        if building is None or (building.done() and building.exception() is not None):
            building = self._building = spawn(asyncio.to_thread(self._build), "admin-api")
        # A client that leaves must not take the others' building down.
        return await asyncio.shield(building)

    def _build(self) -> Asgi:
        from dragoman.server.admin.api import build  # noqa: PLC0415 - brings FastAPI: not at the start

        return build(self._gateway, self._administration, self._gatekeeper, lambda: self.active)

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
        method, headers = scope["method"], scope["headers"]
        check_headers(headers)
        if self._gateway.draining and method not in SAFE_METHODS:
            raise Problem(
                DRAINING, "The gateway takes no more changes.", headers={"retry-after": "1"}
            )
        if scope["path"] in dashboard.PAGES:
            await reply.whole(*dashboard.page(method, scope["path"]), head=method == "HEAD")
            return
        if (method, scope["path"]) not in OPEN:
            scope[CALLER] = self._gatekeeper.admit(scope)
        if method not in SAFE_METHODS:
            body = await read_body(headers, receive, MAX_BODY_BYTES)
            if body:
                _check_body(headers, body)
            receive = _replay(body, receive)
        app = await self.app()
        await app(scope, receive, reply)


class _Reply:
    """Sends an answer, with the headers that every answer here has."""

    def __init__(self, send: Send, path: str, request_id: str) -> None:
        self._send = send
        self._begun = False
        is_page = path in _PAGES or path in dashboard.PAGES
        policy = _PAGE_POLICY if is_page else _NOTHING
        ids = {"x-request-id": request_id, "inference-id": request_id}
        own = {**_HEADERS, "content-security-policy": policy, **ids}
        self._own = raw_headers(own)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            message = {**message, "headers": [*message.get("headers", ()), *self._own]}
        await self._send(message)

    async def whole(
        self,
        content_type: str,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        head: bool = False,
    ) -> None:
        """Answer with all of ``body``, or with its headers only if ``head``."""
        length = {"content-type": content_type, "content-length": str(len(body))}
        start = {"type": "http.response.start", "status": status}
        await self({**start, "headers": raw_headers({**length, **(headers or {})})})
        await self({"type": "http.response.body", "body": b"" if head else body})

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem, unless an answer has begun."""
        if not self._begun:
            status, headers = problem.kind.status, problem.headers
            await self.whole(MEDIA_TYPE, problem.body(), status=status, headers=headers)


def _check_body(headers: RawHeaders, body: bytes) -> None:
    """Raise Problem unless the body is a JSON object of sane depth.

    msgspec is stricter than the parser behind it: it takes neither NaN nor half a surrogate pair,
    which nothing further on could write again. A number beyond every float goes on as infinite: the
    check of its field refuses it by the field's name.
    """
    if media_type(header(headers, b"content-type") or "") != "application/json":
        raise Problem(UNSUPPORTED, "Send JSON, with the header 'Content-Type: application/json'.")
    try:
        value = _DECODE(body)
    except RecursionError:
        raise Problem(MALFORMED, "The body is nested too deep.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(MALFORMED, f"The body is not valid JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Problem(MALFORMED, "The body must be a JSON object.")
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one)]
        if not level:
            return
    raise Problem(MALFORMED, f"The body is nested deeper than {MAX_DEPTH} levels.")


def _children(value: Any) -> list[Any]:
    match value:
        case dict():
            return list(value.values())
        case list():
            return value
    return []


def _replay(body: bytes, receive: Receive) -> Receive:
    """``receive`` for whoever reads the body after us."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return again
