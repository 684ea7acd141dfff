"""What the OpenAPI document needs beyond what the routes say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dragoman.server.admin.access import COOKIE, CSRF_HEADER
from dragoman.server.admin.documents.common import NAMED
from dragoman.server.admin.mount import OPEN
from dragoman.server.admin.problems import MEDIA_TYPE

_DESCRIPTION = f"""\
Manages a running gateway. Every change is checked, saved, written to the audit and in force before \
the answer comes; requests under way are not touched.

Send an admin key as `Authorization: Bearer …` or `x-api-key: …`. A browser signs in instead \
(`POST /admin/api/session`): it gets a cookie, and sends `{CSRF_HEADER}` with every change.

Secrets go in and never come out: `***` stands for one that is set, and means "as it is" when it is \
sent back. Times are ISO 8601, durations seconds unless the name says otherwise. Money is exact: \
`…_nano_usd` counts billionths of a US dollar, `…_usd` says the same as decimal text.

What goes wrong is told as problem details (RFC 9457, `{MEDIA_TYPE}`); `problems` names every field \
at fault."""

_TAGS = {
    "session": "Signing in at the console.",
    "channels": "The configured ways to providers.",
    "keys": "The keys that the gateway issues.",
    "users": "Who owns keys and credit.",
    "ledger": "The books: every booking, and what was used.",
    "prices": "What models cost, and who says so.",
    "settings": "The gateway's settings.",
    "audit": "Who changed what.",
    "requests": "What became of requests.",
    "status": "How the gateway is, and what it knows.",
}

_PROBLEM = {
    "title": "Problem",
    "description": "Problem details (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "The kind of problem: a place on this page."},
        "title": {"type": "string", "description": "The kind, in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What is wrong and how to mend it."},
        "problems": {
            "type": "array",
            "description": "Every field at fault.",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_AS_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An admin key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with the ways in, the problems, and words on the whole."""
    document["info"]["description"] = _DESCRIPTION
    document["tags"] = [{"name": name, "description": text} for name, text in _TAGS.items()]
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SCHEMES
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    _name_schemas(document, schemas)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            is_open = (method.upper(), path) in OPEN
            operation["security"] = [] if is_open else [{name: []} for name in _SCHEMES]
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {
                "description": "Anything else: a problem.",
                "content": _AS_PROBLEM,
            }
    return document


def _name_schemas(place: Any, schemas: dict[str, Any]) -> None:
    """Move every marked schema below ``place`` to ``schemas`` and leave a reference."""
    for step, child in list(_steps(place)):
        _name_schemas(child, schemas)
        if isinstance(child, dict) and (name := child.pop(NAMED, None)) is not None:
            schemas[name] = {**child, "title": name}
            reference = {"$ref": f"#/components/schemas/{name}"}
            words = child.get("description")
            place[step] = {**reference, "description": words} if words else reference


def _steps(place: Any) -> Iterable[tuple[Any, Any]]:
    match place:
        case dict():
            return place.items()
        case list():
            return enumerate(place)
    return ()
