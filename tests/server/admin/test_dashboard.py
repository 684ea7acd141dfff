"""How the dashboard's files are served: open to everyone, under a strict policy, from here alone."""

from __future__ import annotations

import re

import pytest

from dragoman.server.admin.dashboard import PAGES
from tests.server.admin.fake import UNKNOWN
from tests.server.admin.site import BEARER, Site
from tests.server.admin.test_routes import problem

TYPES = {
    "/admin": "text/html; charset=utf-8",
    "/admin/": "text/html; charset=utf-8",
    "/admin/dashboard.css": "text/css; charset=utf-8",
    "/admin/dashboard.js": "text/javascript; charset=utf-8",
}
MOST_LINES = 600


def test_every_file_is_listed_here() -> None:
    assert set(PAGES) == set(TYPES)


@pytest.mark.parametrize("path", TYPES)
def test_it_is_open_and_guarded(site: Site, path: str) -> None:
    for headers in ({}, BEARER, {"authorization": f"Bearer {UNKNOWN}"}):
        reply = site.ask("GET", "/" + path, None, headers)
        assert reply.status == 200
        assert reply.headers["content-type"] == TYPES[path]
        assert reply.headers["content-length"] == str(len(reply.body))
        assert reply.headers["cache-control"] == "no-store", "an upgrade is seen at once"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert not reply.cookies
        policy = reply.headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            assert rule in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy


def test_only_reading_is_possible(site: Site) -> None:
    for path in TYPES:
        reply = site.ask("HEAD", "/" + path, None, {})
        assert (reply.status, reply.body) == (200, b"")
        assert int(reply.headers["content-length"]) > 0
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            reply = site.ask(method, "/" + path, None, BEARER)
            problem(reply, 405, "method-not-allowed")
            assert reply.headers["allow"] == "GET, HEAD"


def test_nothing_beside_the_files_is_open(site: Site) -> None:
    for path in ("/admin/dashboard.html", "/admin/x", "/admin/../admin", "/admin//"):
        assert site.ask("GET", "/" + path, None, {}).status == 401
        assert site.ask("GET", "/" + path).status == 404


def test_it_does_not_get_the_routes_built(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.mount, "_build", lambda: pytest.fail("was built"))
    for path in TYPES:
        assert site.ask("GET", "/" + path, None, {}).status == 200


def test_it_is_still_shown_while_the_gateway_shuts_down(site: Site) -> None:
    site.gateway.draining = True
    assert site.ask("GET", "//admin", None, {}).status == 200


def test_the_files_fit_together_and_need_nothing_from_elsewhere(site: Site) -> None:
    texts = {path: site.ask("GET", "/" + path, None, {}).body.decode() for path in TYPES}
    page, script = texts["/admin"], texts["/admin/dashboard.js"]
    assert page == texts.pop("/admin/")
    assert sum(text.count("\n") for text in texts.values()) < MOST_LINES
    for path, text in texts.items():
        assert not re.search(r"https?://|//cdn|@import|innerHTML|insertAdjacent|eval\(", text), path
    assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", page)
    assert set(re.findall(r'(?:href|src)="([^"]+)"', page)) - {"data:,", "/admin/api/docs"} <= set(
        TYPES
    )
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= ids
    assert set(re.findall(r'(?:for|aria-labelledby)="([\w-]+)"', page)) <= ids
