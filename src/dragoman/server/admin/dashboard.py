"""The operator's page at ``/admin``: three files that hold no secret and are open to everyone. What
they show comes from the admin API, to whoever has signed in.

They are served without the routes behind the door, which take a while to be built.
"""

from __future__ import annotations

from pathlib import Path

from dragoman.server.admin.problems import METHOD, Problem

METHODS = frozenset({"GET", "HEAD"})

_FOLDER = Path(__file__).resolve().parent / "pages"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
PAGES = {
    "/admin": "dashboard.html",
    "/admin/": "dashboard.html",
    "/admin/dashboard.css": "dashboard.css",
    "/admin/dashboard.js": "dashboard.js",
}
"""Path → the file that is shown there."""


def page(method: str, path: str) -> tuple[str, bytes]:
    """(content type, content) of the page at ``path``, which is one of PAGES. Raises Problem for a
    method that does not read."""
    if method not in METHODS:
        raise Problem(METHOD, f"{method} is not possible here.", headers={"allow": "GET, HEAD"})
    file = _FOLDER / PAGES[path]
    return _TYPES[file.suffix], file.read_bytes()
