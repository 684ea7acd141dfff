"""The routes, put together. Imported when the admin API is first used: it brings FastAPI."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from dragoman import __version__
from dragoman.canonical.errors import GatewayError
from dragoman.server.admin import problems
from dragoman.server.admin.access import Gatekeeper
from dragoman.server.admin.contract import (
    Administration,
    ChangeRefused,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
)
from dragoman.server.admin.manual import complete
from dragoman.server.admin.mount import PREFIX, REQUEST_ID
from dragoman.server.admin.problems import Problem, problem_of, unexpected
from dragoman.server.admin.routes import (
    channels,
    keys,
    ledger,
    pages,
    prices,
    records,
    session,
    settings,
    status,
    users,
)
from dragoman.server.admin.routes.desk import Desk
from dragoman.server.gateway import Gateway

logger = logging.getLogger("dragoman.admin")

ROUTERS: Sequence[APIRouter] = (
    session.router,
    channels.router,
    keys.router,
    users.router,
    ledger.router,
    prices.router,
    settings.router,
    records.router,
    status.router,
    pages.router,
)
_KNOWN = (
    Problem,
    ChangeRefused,
    NoSuchEntry,
    NameIsTaken,
    NotEditable,
    Storage,
    GatewayError,
)
"""Errors that ``problems.problem_of`` knows."""


def build(
    gateway: Gateway,
    administration: Administration,
    gatekeeper: Gatekeeper,
    admin_active: Callable[[], int],
) -> FastAPI:
    """The application behind ``mount.AdminMount``, which has admitted whoever comes here."""
    app = FastAPI(
        title="Dragoman admin API",
        version=__version__,
        openapi_url=None,  # and with it no page that loads its parts from elsewhere
        redirect_slashes=False,  # a redirect is made of the Host header, which can be made up
        generate_unique_id_function=_operation_id,
        # It would hand addresses, headers and whole bodies to whatever collector the process has.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    for known in _KNOWN:
        app.add_exception_handler(known, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ResponseValidationError, _unfit)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unexpected)
    app.state.desk = Desk(gateway, administration, gatekeeper, admin_active)
    app.state.openapi = functools.cache(lambda: _openapi(app))
    return app


def _openapi(app: FastAPI) -> bytes:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    return msgspec.json.encode(complete(document))


def _operation_id(route: APIRoute) -> str:
    return route.name


def _methods_at(path: str) -> list[str]:
    below = path.removeprefix(PREFIX)
    return sorted(
        method
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path_regex.match(below)
        for method in route.methods or ()
    )


def _answer(problem: Problem) -> Response:
    return Response(
        problem.body(),
        problem.kind.status,
        headers=problem.headers,
        media_type=problems.MEDIA_TYPE,
    )


async def _known(request: Request, error: Exception) -> Response:
    return _answer(problem_of(error) or unexpected(request.scope[REQUEST_ID]))


async def _unexpected(request: Request, error: Exception) -> Response:
    """``error`` goes on to the mount, which logs it."""
    return _answer(unexpected(request.scope[REQUEST_ID]))


async def _unfit(request: Request, error: Exception) -> Response:
    """An answer that does not fit its document. The log names the fields only: the error itself holds
    their values, which may be secrets."""
    assert isinstance(error, ResponseValidationError)
    request_id = request.scope[REQUEST_ID]
    fields = ", ".join(f"{_path(one['loc'])} ({one['type']})" for one in error.errors())
    logger.error("request %s: the answer does not fit its document: %s", request_id, fields)
    return _answer(unexpected(request_id))


async def _plain(request: Request, error: Exception) -> Response:
    """What the router itself says: no such path, no such method."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            problem = Problem(problems.NOT_FOUND, "There is nothing at this path.")
        case 405:
            words = f"{request.method} is not possible here."
            # The router names only the methods of the first route that fits.
            allow = {"allow": ", ".join(_methods_at(request.scope["path"]))}
            problem = Problem(problems.METHOD, words, headers=allow)
        case 400:
            problem = Problem(problems.MALFORMED, "The body cannot be read.")
        case _:
            phrase = HTTPStatus(error.status_code).phrase
            kind = problems.Kind("failed", error.status_code, phrase)
            problem = Problem(kind, f"{phrase}.", headers=error.headers)
    return _answer(problem)


async def _invalid(request: Request, error: Exception) -> Response:
    """A path, query or body that its model refuses. What was sent is not repeated: it may be a
    secret."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"][:1] == ("path",) for one in found):
        return _answer(Problem(problems.NOT_FOUND, "There is no such entry."))
    listed = [(_path(one["loc"]), _words(one)) for one in found]
    detail = "; ".join(f"{path}: {words}" if path else words for path, words in listed)
    return _answer(Problem(problems.REFUSED, detail, problems=listed))


def _path(location: Sequence[Any]) -> str:
    return ".".join(str(step) for step in location[1:])


def _words(error: dict[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a known field"
    message: str = error["msg"]
    return message[:1].lower() + message[1:]
