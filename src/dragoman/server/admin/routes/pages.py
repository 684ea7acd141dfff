"""The manual: the OpenAPI document, and a page that shows it. Both are open to everyone, for they are
the same in every installation; nothing on the page comes from elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).resolve().parent.parent / "pages"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def _page(name: str) -> Response:
    path = _FOLDER / name
    return Response(path.read_bytes(), media_type=_TYPES[path.suffix])


@router.get("/docs")
async def show_manual() -> Response:
    """The page."""
    return _page("docs.html")


@router.get("/docs.css")
async def show_style() -> Response:
    """How it looks."""
    return _page("docs.css")


@router.get("/docs.js")
async def show_script() -> Response:
    """What fills it."""
    return _page("docs.js")


@router.get("/openapi.json")
async def show_openapi(request: Request) -> Response:
    """The document; written once, which takes a while."""
    document = await asyncio.to_thread(request.app.state.openapi)
    return Response(document, media_type="application/json")
