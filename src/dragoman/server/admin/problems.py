"""What went wrong, as the admin API says it: problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.server.admin.contract import (
    ChangeRefused,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
)

MEDIA_TYPE = "application/problem+json"
_TYPES_PAGE = "/admin/api/docs#"


class Kind(msgspec.Struct, frozen=True):
    """A sort of problem; ``slug`` names its place on the documentation page."""

    slug: str
    status: int
    title: str


MALFORMED = Kind("malformed", 400, "The request is malformed")
UNAUTHORIZED = Kind("unauthorized", 401, "No valid admin key")
FORBIDDEN = Kind("forbidden", 403, "Not allowed")
CROSS_SITE = Kind("cross-site", 403, "Cross-site request refused")
NOT_FOUND = Kind("not-found", 404, "Not found")
METHOD = Kind("method-not-allowed", 405, "Method not allowed")
TIMEOUT = Kind("too-slow", 408, "The request came too slowly")
NAME_TAKEN = Kind("name-taken", 409, "The name is taken")
NOT_EDITABLE = Kind("not-editable", 409, "Not editable")
TOO_LARGE = Kind("too-large", 413, "The body is too large")
UNSUPPORTED = Kind("unsupported-body", 415, "Unsupported kind of body")
REFUSED = Kind("refused", 422, "The change is not valid")
LOCKED = Kind("too-many-attempts", 429, "Too many attempts")
HEADERS = Kind("headers-too-large", 431, "The headers are too large")
FAILED = Kind("failed", 500, "The gateway failed")
STORAGE = Kind("storage", 503, "Nothing can be saved now")
DRAINING = Kind("draining", 503, "The gateway is shutting down")

KINDS = (
    MALFORMED,
    UNAUTHORIZED,
    FORBIDDEN,
    CROSS_SITE,
    NOT_FOUND,
    METHOD,
    TIMEOUT,
    NAME_TAKEN,
    NOT_EDITABLE,
    TOO_LARGE,
    UNSUPPORTED,
    REFUSED,
    LOCKED,
    HEADERS,
    FAILED,
    STORAGE,
    DRAINING,
)
_OF_GATEWAY_ERROR = {
    400: MALFORMED,
    408: TIMEOUT,
    413: TOO_LARGE,
    415: UNSUPPORTED,
    431: HEADERS,
}


class Problem(Exception):
    """An answer that is no success. ``detail`` is for a person and holds no secret; ``problems`` are
    (dotted path, message) pairs; ``headers`` go with the answer."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        problems: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.problems = tuple(problems)
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON document."""
        document: dict[str, object] = {
            "type": _TYPES_PAGE + self.kind.slug,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.problems:
            document["problems"] = [
                {"path": path, "message": message} for path, message in self.problems
            ]
        return msgspec.json.encode(document)


def unexpected(request_id: str) -> Problem:
    """The answer to a defect: what it was stands in the log only."""
    return Problem(
        FAILED, f"The gateway failed. Its log tells more: look for request {request_id}."
    )


def problem_of(error: Exception) -> Problem | None:
    """The problem that one of the known errors stands for; None for any other."""
    match error:
        case Problem():
            return error
        case ChangeRefused():
            return Problem(REFUSED, str(error), problems=error.problems)
        case NoSuchEntry():
            return Problem(NOT_FOUND, str(error) or "There is no such entry.")
        case NameIsTaken():
            return Problem(NAME_TAKEN, str(error) or "Another entry has that name.")
        case NotEditable():
            detail = "It comes from the environment or a flag, and can be changed only there."
            return Problem(NOT_EDITABLE, str(error) or detail)
        case Storage():
            detail = "Nothing could be saved, and nothing was changed."
            return Problem(STORAGE, str(error) or detail, headers={"retry-after": "5"})
        case GatewayError() if (kind := _OF_GATEWAY_ERROR.get(error.status)) is not None:
            # The rest of the body is not going to be read.
            headers = {"connection": "close"} if kind in (TOO_LARGE, TIMEOUT) else {}
            return Problem(kind, error.message, headers=headers)
    return None
