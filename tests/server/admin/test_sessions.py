"""Signing in: the cookie, its ends, and the brake on guessing."""

from __future__ import annotations

import pytest

from dragoman.server.admin.lockout import Lockout
from dragoman.server.admin.sessions import Sessions
from tests.server.admin.fake import ADMIN, NORMAL, SECOND_ADMIN, UNKNOWN, storage_away
from tests.server.admin.site import ADDRESS, HOST, Reply, Site

HOUR = 3_600.0


def try_key(site: Site, key: str, address: str = ADDRESS) -> Reply:
    return site.ask("POST", "/session", {"key": key}, None, address=address)


def attributes(reply: Reply) -> dict[str, str]:
    """The cookie's attributes, in lower case."""
    pairs = [part.strip().partition("=") for part in reply.cookies[0].split(";")[1:]]
    return {name.lower(): text for name, _, text in pairs}


def test_the_cookie(site: Site) -> None:
    reply = try_key(site, ADMIN)
    assert reply.status == 201
    assert attributes(reply) == {
        "httponly": "",
        "max-age": "43200",
        "path": "/admin",
        "samesite": "strict",
    }
    assert len(reply.cookies[0].partition(";")[0]) >= len("dragoman_session=") + 43  # 256 bits
    assert reply.json["name"] == "boss"
    assert reply.json["csrf_token"] not in reply.cookies[0]
    assert ADMIN not in reply.body.decode()


@pytest.mark.parametrize(
    ("scheme", "forwarded", "secure"),
    [
        ("https", None, True),
        ("http", "https", True),
        ("http", "HTTPS, http", True),
        ("http", "http", False),
        ("http", None, False),
    ],
)
def test_the_cookie_is_secure_over_https(
    site: Site, scheme: str, forwarded: str | None, secure: bool
) -> None:
    headers = {"x-forwarded-proto": forwarded} if forwarded else None
    reply = site.ask("POST", "/session", {"key": ADMIN}, headers, scheme=scheme)
    assert ("secure" in attributes(reply)) is secure


def test_who_one_is(site: Site) -> None:
    signed = site.sign_in()
    site.time += 600
    told = site.ask("GET", "/session", None, {"cookie": f"theme=dark; {signed.cookie}"}).json
    assert told == {
        "name": "boss",
        "key_id": "boss",
        "via": "session",
        "csrf_token": signed.token,
        "ends_in": 12 * HOUR - 600,
        "idles_out_in": HOUR,
    }
    told = site.ask("GET", "/session").json
    assert (told["via"], told["csrf_token"]) == ("key", None)


def test_a_session_ends_when_idle_for_an_hour(site: Site) -> None:
    cookie = {"cookie": site.sign_in().cookie}
    for _ in range(3):
        site.time += HOUR - 1
        assert site.ask("GET", "/status", None, cookie).status == 200
    site.time += HOUR
    assert site.ask("GET", "/status", None, cookie).status == 401


def test_a_session_ends_after_twelve_hours_however_busy(site: Site) -> None:
    cookie = {"cookie": site.sign_in().cookie}
    for _ in range(23):
        site.time += HOUR / 2
        assert site.ask("GET", "/status", None, cookie).status == 200
    site.time += HOUR / 2
    assert site.ask("GET", "/status", None, cookie).status == 401


def test_signing_out(site: Site) -> None:
    signed = site.sign_in()
    other = site.sign_in()
    reply = site.ask("DELETE", "/session", None, signed.headers())
    assert reply.status == 204
    assert attributes(reply)["max-age"] == "0"
    assert site.ask("GET", "/status", None, signed.headers()).status == 401
    assert site.ask("GET", "/status", None, other.headers()).status == 200


def test_signing_in_again_ends_the_session_before(site: Site) -> None:
    signed = site.sign_in()
    reply = site.ask(
        "POST",
        "/session",
        {"key": ADMIN},
        {"cookie": signed.cookie, "origin": f"http://{HOST}"},
    )
    assert reply.status == 201
    assert site.ask("GET", "/status", None, {"cookie": signed.cookie}).status == 401


def test_a_session_ends_with_its_key(site: Site) -> None:
    def revoke() -> int:
        return site.ask("DELETE", "/keys/deputy").status

    def disable() -> int:
        return site.ask("PATCH", "/keys/deputy", {"enabled": False}).status

    def demote() -> int:
        return site.ask("PATCH", "/keys/deputy", {"admin": False}).status

    def forget() -> int:
        del site.administration.keys_kept["deputy"]
        site.administration.apply()
        return 200

    for end, expected in ((revoke, 401), (disable, 401), (demote, 403), (forget, 401)):
        site.administration.reset()
        cookie = {"cookie": site.sign_in(SECOND_ADMIN).cookie}
        assert site.ask("GET", "/status", None, cookie).status == 200
        assert end() in (200, 204)
        assert site.ask("GET", "/status", None, cookie).status == expected


def test_a_foreign_page_cannot_sign_in(site: Site) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"content-type": "text/plain"},
    ):
        reply = site.ask("POST", "/session", {"key": ADMIN}, headers)
        assert reply.status in (403, 415)
        assert not reply.cookies


def test_sign_ins_are_audited(site: Site) -> None:
    site.sign_in()
    assert try_key(site, UNKNOWN).status == 401
    assert try_key(site, NORMAL).status == 403
    assert [(one["action"], one["actor"], one["address"]) for one in site.administration.noted] == [
        ("sign-in", "boss", ADDRESS),
        ("sign-in.refused", "unknown", ADDRESS),
        ("sign-in.refused", "alice", ADDRESS),
    ]


def test_no_session_without_its_line_in_the_audit(site: Site) -> None:
    site.administration.broken = storage_away()
    reply = try_key(site, ADMIN)
    assert reply.status == 503
    assert not reply.cookies


def test_wrong_keys_lock_an_address_for_longer_and_longer(site: Site) -> None:
    for _ in range(5):
        assert try_key(site, UNKNOWN).status == 401
    noted = len(site.administration.noted)
    expected = 1.0
    for _ in range(12):
        reply = try_key(site, ADMIN)  # even the right one
        assert reply.status == 429
        assert reply.headers["retry-after"] == str(int(expected))
        assert reply.json["type"].endswith("#too-many-attempts")
        site.time += expected
        assert try_key(site, UNKNOWN).status == 401
        expected = min(expected * 2, 900.0)
    assert expected == 900.0
    assert len(site.administration.noted) == noted + 12  # the 429s did not reach the audit

    assert try_key(site, ADMIN, "203.0.113.9").status == 201  # another address
    assert site.ask("GET", "/status").status == 200  # a key in the header
    site.time += 900
    assert try_key(site, ADMIN).status == 201
    for _ in range(4):
        assert try_key(site, UNKNOWN).status == 401  # all is forgiven


def test_a_header_does_not_change_the_address(site: Site) -> None:
    for number in range(5):
        forged = {"x-forwarded-for": f"203.0.113.{number}", "x-real-ip": f"203.0.113.{number}"}
        assert site.ask("POST", "/session", {"key": UNKNOWN}, forged).status == 401
    assert try_key(site, ADMIN).status == 429


def test_the_lock_remembers_a_bounded_number() -> None:
    lockout = Lockout(capacity=3)
    for number in range(10):
        for _ in range(5):
            lockout.failed(f"203.0.113.{number}", 0.0)
    assert len(lockout) == 3
    assert lockout.wait("203.0.113.9", 0.0) == 1.0
    assert lockout.wait("203.0.113.0", 0.0) == 0.0


def test_the_lock_counts_a_subscriber_once() -> None:
    lockout = Lockout()
    for number in range(5):
        lockout.failed(f"2001:db8::{number:x}", 0.0)
    assert lockout.wait("2001:db8::ffff", 0.0) == 1.0
    assert lockout.wait("2001:db8:0:1::1", 0.0) == 0.0
    lockout.succeeded("2001:db8::1")
    assert len(lockout) == 0


def test_the_lock_forgives_after_an_hour_and_never_overflows() -> None:
    lockout = Lockout()
    for _ in range(5_000):
        lockout.failed("unix", 0.0)
    assert lockout.wait("unix", 0.0) == 900.0
    lockout.failed("unix", 3_601.0)
    assert lockout.wait("unix", 3_601.0) == 0.0


def test_sessions_are_bounded_and_kept_as_digests() -> None:
    sessions = Sessions(capacity=2)
    ids = [sessions.begin(b"digest", float(number))[0] for number in range(3)]
    assert len(set(ids)) == 3
    assert len(sessions) == 2
    assert sessions.find(ids[0], 3.0) is None
    assert sessions.find(ids[2], 3.0) is not None
    assert not any(one.encode() in key for one in ids for key in sessions._sessions)
