"""Everything that can go wrong, and that nothing else does."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.server.admin import problems
from dragoman.server.admin.contract import ChangeRefused, NameIsTaken, NotEditable
from tests.server.admin.bodies import BODY
from tests.server.admin.fake import ADMIN, storage_away
from tests.server.admin.site import API, BEARER, HOST, Site
from tests.server.admin.test_routes import problem

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"not json",
        b"\xff",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"quirks": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
        b"[]",
        b'"text"',
        b"1" * 5_000,
        b"null",
    ],
)
def test_what_is_no_json_object(site: Site, body: bytes) -> None:
    for method, path in (("POST", "/channels"), ("PATCH", "/settings"), ("POST", "/session")):
        problem(site.ask(method, path, body), 400, "malformed")


def test_a_body_that_is_missing(site: Site) -> None:
    document = problem(site.ask("POST", "/channels"), 422, "refused")
    assert document["problems"] == [{"path": "", "message": "is missing"}]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_of_another_kind(site: Site, kind: str) -> None:
    reply = site.ask("POST", "/keys", {"name": "x"}, {**BEARER, "content-type": kind})
    problem(reply, 415, "unsupported-body")
    reply = site.ask("POST", "/keys", {"name": "x"}, {**BEARER, "content-encoding": "gzip"})
    problem(reply, 415, "unsupported-body")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large(site: Site, announced: bool) -> None:
    body = json.dumps({"name": "x" * MEBIBYTE}).encode()
    headers = BEARER if announced else {**BEARER, "content-length": "2"}
    reply = site.ask("POST", "/keys", body, headers)
    problem(reply, 413, "too-large")
    assert reply.headers["connection"] == "close"


def test_a_stranger_is_refused_before_a_body_is_read(site: Site) -> None:
    reply = site.ask("POST", "/keys", b"x" * (2 * MEBIBYTE), {"content-type": "text/plain"})
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_unknown_fields_are_refused(site: Site) -> None:
    document = problem(
        site.ask("POST", "/channels", {"name": "x", "type": "openai", "priorty": 1}), 422, "refused"
    )
    assert document["problems"][0]["path"] == "priorty"
    assert "priority" in document["problems"][0]["message"]
    for path, body in (("/session", {"key": ADMIN, "user": "x"}), ("/channels/1/test", {"n": 1})):
        document = problem(site.ask("POST", path, body), 422, "refused")
        assert document["problems"][0]["message"] == "is not a known field"


@pytest.mark.parametrize(
    "path", ["/channels/x", "/channels/0", "/channels/-1", f"/channels/{10**30}"]
)
def test_an_id_that_cannot_be(site: Site, path: str) -> None:
    for method in ("GET", "DELETE"):
        problem(site.ask(method, path), 404, "not-found")


def test_the_administration_s_errors(site: Site) -> None:
    site.ask("POST", "/channels", {"name": "from-env", "type": "openai"})
    problem(site.ask("PATCH", "/channels/1", {"priority": 1}), 409, "not-editable")
    for error, status, slug in (
        (storage_away(), 503, "storage"),
        (NameIsTaken(), 409, "name-taken"),
        (NotEditable(), 409, "not-editable"),
    ):
        site.administration.broken = error
        reply = site.ask("PATCH", "/settings", {"queue_limit": 1})
        problem(reply, status, slug)
        assert ("retry-after" in reply.headers) is (status == 503)
    site.administration.broken = ChangeRefused(("a.0", "is odd"), ("", "does not fit together"))
    document = problem(site.ask("PATCH", "/settings", {}), 422, "refused")
    assert document["problems"] == [
        {"path": "a.0", "message": "is odd"},
        {"path": "", "message": "does not fit together"},
    ]
    assert document["detail"] == "a.0: is odd; does not fit together"


@pytest.mark.parametrize("path", ["/channels", "/providers"])
def test_a_defect_tells_nothing_but_its_number(
    site: Site, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.administration.broken = RuntimeError("secret detail")
    with caplog.at_level(logging.ERROR, "dragoman.admin"):
        reply = site.ask("GET", path)
    document = problem(reply, 500, "failed")
    assert "secret detail" not in reply.body.decode()
    assert reply.headers["x-request-id"] in document["detail"]
    assert reply.headers["x-request-id"] in caplog.text
    assert "secret detail" in caplog.text
    site.administration.broken = None
    assert site.ask("GET", path).status == 200


def test_an_answer_that_does_not_fit_is_not_logged(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.ask("POST", "/channels", {"name": "first", "type": "openai"})
    site.administration.entries[1]["api_key"] = ["canary-0123456789"]
    with caplog.at_level(logging.DEBUG):
        problem(site.ask("GET", "/channels"), 500, "failed")
    assert "channels.0.api_key" in caplog.text
    assert "canary" not in caplog.text


def test_a_build_that_fails_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise MemoryError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(site.mount, "_build", refuse)
        problem(site.ask("GET", "/status"), 500, "failed")
    assert site.ask("GET", "/status").status == 200


def test_every_answer_has_its_headers(site: Site) -> None:
    for reply in (
        site.ask("GET", "/status"),
        site.ask("GET", "/docs"),
        site.ask("GET", "/nothing"),
        site.ask("GET", "/status", None, {}),
        site.ask("POST", "/keys", b"{"),
        site.ask("DELETE", "/session"),
    ):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-request-id"]


def test_every_kind_of_problem_has_its_place_in_the_manual(site: Site) -> None:
    page = site.ask("GET", "/docs", None, {}).body.decode()
    for kind in problems.KINDS:
        assert f'<dt id="{kind.slug}">{kind.status} {kind.slug}</dt>' in page
    assert page.count("<dt ") == len(problems.KINDS)


def test_the_manual_needs_nothing_from_elsewhere(site: Site) -> None:
    parts = {"/docs": "text/html", "/docs.css": "text/css", "/docs.js": "text/javascript"}
    for path, kind in parts.items():
        reply = site.ask("GET", path, None, {})
        assert reply.status == 200
        assert reply.headers["content-type"].startswith(kind)
        text = reply.body.decode()
        assert not re.search(r"https?://|//cdn|@import|innerHTML|eval\(", text), path
    page = site.ask("GET", "/docs", None, {}).body.decode()
    assert not re.search(r"<script(?! src)|<style|\son\w+=|\sstyle=", page)
    policy = site.ask("GET", "/docs", None, {}).headers["content-security-policy"]
    assert "script-src 'self'" in policy
    named = set(re.findall(r'getElementById\("(\w+)"\)', site.ask("GET", "/docs.js").body.decode()))
    assert named
    assert all(f'id="{one}"' in page for one in named)


def test_the_openapi_document_holds_together(site: Site) -> None:
    reply = site.ask("GET", "/openapi.json", None, {})
    document = reply.json
    assert document["openapi"].startswith("3.1")
    text = reply.body.decode()
    for reference in set(re.findall(r'"\$ref":"#/components/schemas/([^"]+)"', text)):
        assert reference in document["components"]["schemas"], reference
    assert "x-named" not in text
    assert "HTTPValidationError" not in text
    told = {(method.upper(), path) for path, some in document["paths"].items() for method in some}
    hidden = {("GET", API + page) for page in ("/docs", "/docs.css", "/docs.js", "/openapi.json")}
    assert told | hidden == set(site.routes())
    operations = [one for some in document["paths"].values() for one in some.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)


def test_the_handbook_names_every_route(site: Site) -> None:
    text = (Path(__file__).parents[3] / "docs" / "admin-api.md").read_text(encoding="utf-8")
    for method, path in site.routes():
        assert f"`{method} {path.removeprefix(API)}`" in text, (method, path)


ROUTES = [
    ("POST", "/session"),
    ("POST", "/channels"),
    ("PATCH", "/channels/1"),
    ("POST", "/channels/9/test"),
    ("POST", "/keys"),
    ("PATCH", "/keys/alice"),
    ("PATCH", "/settings"),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.mark.parametrize(("method", "path"), ROUTES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=BODY)
def test_no_body_makes_it_fail(shared: Site, method: str, path: str, body: object) -> None:
    shared.administration.reset()
    shared.administration.entries = {1: {"name": "first", "type": "openai"}}
    shared.administration.apply()
    shared.time += 10_000  # no lock
    reply = shared.ask(method, path, body, {**BEARER, "origin": f"http://{HOST}"})
    assert reply.status < 500, reply.body
    if reply.status >= 400:
        assert reply.json["status"] == reply.status
        assert reply.json["detail"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=12), value=st.text(max_size=12))
def test_no_path_or_query_makes_it_fail(shared: Site, name: str, value: str) -> None:
    shared.administration.reset()
    for path in (f"/channels/{name}", f"/keys/{name}", f"/requests/{name}"):
        assert shared.ask("GET", path.replace("?", "")).status in (404, 405)
    query = f"?{name.encode('utf-8', 'replace').hex()}={value}&limit={value}"
    assert shared.ask("GET", f"/requests{query}").status in (200, 422)
