"""Who gets in, at every route there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dragoman.server.admin.mount import OPEN
from tests.server.admin.fake import ADMIN, NORMAL, REVOKED, SECOND_ADMIN, UNKNOWN
from tests.server.admin.site import ADDRESS, BEARER, HOST, Site

CHANNEL = {"name": "first", "type": "openai", "api_key": "sk-upstream-0123456789"}
# (method, path) → the body that the route takes.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/admin/api/session"): {"key": ADMIN},
    ("POST", "/admin/api/channels"): {"name": "another", "type": "openai"},
    ("PATCH", "/admin/api/channels/{channel_id}"): {"priority": 2},
    ("POST", "/admin/api/channels/{channel_id}/test"): {"credential": 99},
    ("POST", "/admin/api/keys"): {"name": "new"},
    ("PATCH", "/admin/api/keys/{key_id}"): {"enabled": True},
    ("POST", "/admin/api/users"): {"name": "new"},
    ("PATCH", "/admin/api/users/{user_id}"): {"prepaid": True},
    ("POST", "/admin/api/users/{user_id}/credits"): {"kind": "topup", "amount_usd": "5"},
    ("POST", "/admin/api/users/{user_id}/trial"): {"days": 1},
    ("PATCH", "/admin/api/settings"): {"high_availability_mode": True},
}
# What a caller who is let in gets, where it is not 200.
STATUS = {
    ("POST", "/admin/api/session"): 201,
    ("DELETE", "/admin/api/session"): 204,
    ("POST", "/admin/api/channels"): 201,
    ("DELETE", "/admin/api/channels/{channel_id}"): 204,
    ("POST", "/admin/api/channels/{channel_id}/test"): 422,  # there is no credential 99
    ("POST", "/admin/api/keys"): 201,
    ("DELETE", "/admin/api/keys/{key_id}"): 204,
    ("POST", "/admin/api/users"): 201,
    ("POST", "/admin/api/users/{user_id}/credits"): 201,
}
# Who asks → (the headers, what closed routes answer: None means that they let in).
CALLERS: Mapping[str, tuple[Mapping[str, str], int | None]] = {
    "nobody": ({}, 401),
    "empty key": ({"authorization": "Bearer "}, 401),
    "wrong key": ({"authorization": f"Bearer {UNKNOWN}"}, 401),
    "wrong x-api-key": ({"x-api-key": UNKNOWN}, 401),
    "revoked key": ({"authorization": f"Bearer {REVOKED}"}, 401),
    "normal key": ({"authorization": f"Bearer {NORMAL}"}, 403),
    "normal x-api-key": ({"x-api-key": NORMAL}, 403),
    "basic": ({"authorization": f"Basic {ADMIN}"}, 401),
    "admin by another header": ({"x-goog-api-key": ADMIN}, 401),
    "made-up cookie": ({"cookie": "dragoman_session=made-up"}, 401),
    "admin key": (BEARER, None),
    "admin x-api-key": ({"x-api-key": ADMIN}, None),
    "wrong key beside a good one": (
        {"authorization": f"Bearer {UNKNOWN}", "x-api-key": ADMIN},
        401,
    ),
}


def filled(path: str) -> str:
    names = {"key_id": "alice", "request_id": "request-0", "entry_id": "request-0"}
    return "/" + path.format(channel_id=1, user_id=1, **names)


def every_route(site: Site) -> list[tuple[str, str]]:
    routes = site.routes()
    assert len(routes) > 20
    changing = {route for route in routes if route[0] in ("POST", "PATCH", "PUT")}
    without_body = {("POST", "/admin/api/channels/{channel_id}/reset")}
    assert changing - without_body == set(BODIES), "a new route needs a body here"
    return routes


def fresh(site: Site) -> None:
    """Undo what a route may have changed."""
    site.administration.reset()
    site.administration.entries = {1: dict(CHANNEL)}
    site.administration.apply()


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_judges_every_caller_alike(site: Site, caller: str) -> None:
    headers, refused = CALLERS[caller]
    for route in every_route(site):
        fresh(site)
        reply = site.ask(route[0], filled(route[1]), BODIES.get(route), headers)
        let_in = route in OPEN or refused is None
        expected = STATUS.get(route, 200) if let_in else refused
        assert reply.status == expected, (route, reply.body)
        if not let_in:
            assert reply.headers["content-type"] == "application/problem+json"
            assert site.administration.noted == []


def test_no_key_in_the_query(site: Site) -> None:
    for method, path in every_route(site):
        if (method, path) not in OPEN:
            assert site.ask(method, f"{filled(path)}?key={ADMIN}", None, {}).status == 401


def test_a_session_at_every_route(site: Site) -> None:
    """With its token everything opens; without, only what changes nothing."""
    for route in every_route(site):
        for with_token in (False, True):
            fresh(site)
            signed = site.sign_in()
            noted = len(site.administration.noted)
            headers = signed.headers()
            if not with_token:
                del headers["x-csrf-token"]
            reply = site.ask(route[0], filled(route[1]), BODIES.get(route), headers)
            let_in = with_token or route[0] == "GET" or route in OPEN
            assert reply.status == (STATUS.get(route, 200) if let_in else 403), (route, with_token)
            if not let_in:
                assert reply.json["type"].endswith("#cross-site")
                assert len(site.administration.noted) == noted


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"origin": f"http://{HOST}"}, True),
        ({"origin": f"https://{HOST}"}, True),  # TLS ends at a proxy
        ({"origin": f"http://{HOST.upper()}"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://outside.example"}, True),
        ({"sec-fetch-site": "same-site", "origin": f"http://{HOST}"}, False),
        ({"sec-fetch-site": "cross-site", "origin": f"http://{HOST}"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": f"http://{HOST}.evil.example"}, False),
        ({"origin": f"http://{HOST}:8080"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"origin": ""}, False),
        ({}, False),
    ],
)
def test_where_a_change_by_session_may_come_from(
    site: Site, headers: dict[str, str], is_let_in: bool
) -> None:
    signed = site.sign_in()
    sent = {"cookie": signed.cookie, "x-csrf-token": signed.token, **headers}
    reply = site.ask("POST", "/keys", {"name": "made"}, sent)
    assert reply.status == (201 if is_let_in else 403)
    assert ("made" in site.administration.keys_kept) is is_let_in


@pytest.mark.parametrize("token", ["", "x", "ä", "the other session's"])
def test_a_foreign_csrf_token(site: Site, token: str) -> None:
    signed = site.sign_in()
    if token.startswith("the other"):
        token = site.sign_in(SECOND_ADMIN).token
    headers = {**signed.headers(), "x-csrf-token": token}
    assert site.ask("POST", "/keys", {"name": "made"}, headers).status == 403


def test_an_unknown_path_is_closed(site: Site) -> None:
    for path in ("/nothing", "", "/", "//admin//", "//admin/other", "/docs/x", "/docs/"):
        assert site.ask("GET", path, None, {}).status == 401, path
        reply = site.ask("GET", path)
        assert reply.status == 404, path
        assert reply.json["type"].endswith("#not-found")


def test_a_path_that_only_begins_alike_is_not_ours(site: Site) -> None:
    reply = site.ask("GET", "//administrator", None, {})
    assert reply.status == 404
    assert reply.headers["content-type"] == "application/json"


def test_a_wrong_method(site: Site) -> None:
    reply = site.ask("PUT", "/channels", {})
    assert reply.status == 405
    assert set(reply.headers["allow"].replace(" ", "").split(",")) == {"GET", "POST"}


def test_no_admin_api_without_an_administration(site: Site) -> None:
    from dragoman.server.app import App  # noqa: PLC0415

    site.app = App(site.gateway)
    for path in ("/status", "/docs", "/openapi.json", "/session"):
        assert site.ask("GET", path).status == 404


def test_an_admin_key_counts_as_used(site: Site) -> None:
    used = []
    site.gateway._note_use = lambda key_id, now: used.append(key_id)
    site.ask("GET", "/status")
    assert used == ["boss"]


def test_the_audit_knows_who_came_how_and_from_where(site: Site) -> None:
    site.ask("POST", "/keys", {"name": "by-key"})
    signed = site.sign_in(SECOND_ADMIN)
    site.ask("POST", "/keys", {"name": "by-session"}, signed.headers())
    entries = {one["target"]: one for one in site.ask("GET", "/audit").json["entries"]}
    by_key, by_session = entries["by-key"], entries["by-session"]
    assert (by_key["actor"], by_key["via"], by_key["address"]) == ("boss", "key", ADDRESS)
    assert (by_session["actor"], by_session["via"]) == ("deputy", "session")
