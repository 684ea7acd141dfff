"""Refresh tokens, as the opener exchanges them: driven without a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qsl

import pytest

from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamMisconfigured,
    UpstreamOverloaded,
    UpstreamRefusedCredential,
    UpstreamUnreachable,
)
from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.providers.opening import Draft, Lock, Memory, Opened, Persist, Step
from dragoman.providers.refresh_token import open_with_token
from dragoman.wire.http import HttpReply, HttpRequest

NOW = 1_800_000_000.0
OAUTH = OAuth(
    token_url="https://auth.test/token",
    client_id="ours",
    client_secret=Secret("client-secret"),
    scope="models",
)

Endpoint = Callable[[dict[str, str]], HttpReply]


def draft(token: str = "r-1", now: float = NOW, oauth: OAuth | None = OAUTH) -> Draft:
    return Draft(
        request=HttpRequest(
            method="POST",
            url="https://up.test/chat",
            headers={"authorization": f"Bearer {token}", "x-other": "kept"},
            body=b"{}",
        ),
        purpose="generate",
        protocol="openai_chat",
        provider="custom",
        base_url="https://up.test",
        model="m",
        stream=False,
        credential=Secret(token),
        oauth=oauth,
        now=now,
    )


def answer(status: int = 200, **document: Any) -> HttpReply:
    return HttpReply(status=status, body=json.dumps(document).encode())


class World:
    """Carries out an opening's steps; ``asked`` are the token requests, ``kept`` the rotations."""

    def __init__(self, *replies: HttpReply | UpstreamError) -> None:
        self.replies = list(replies)
        self.memory = Memory()
        self.asked: list[dict[str, str]] = []
        self.kept: list[tuple[str, str]] = []
        self.locks: list[str] = []
        self.while_locked: Callable[[], object] = lambda: None

    def open(self, one: Draft) -> Opened:
        return self.run(open_with_token(one, self.memory))

    def run(self, steps: Any) -> Opened:
        try:
            step = next(steps)
            while True:
                step = self._carry_out(step, steps)
        except StopIteration as end:
            return cast(Opened, end.value)

    def _carry_out(self, step: Step, steps: Any) -> Any:
        nothing = HttpReply(status=0)
        match step:
            case Lock():
                self.locks.append(step.name)
                self.while_locked()
                return steps.send(nothing)
            case Persist():
                self.kept.append((step.old.reveal(), step.new.reveal()))
                return steps.send(nothing)
        self.asked.append(dict(parse_qsl(step.body.decode())))
        assert step.headers["content-type"] == "application/x-www-form-urlencoded"
        reply = self.replies.pop(0)
        return steps.throw(reply) if isinstance(reply, UpstreamError) else steps.send(reply)


def bearer(opened: Opened) -> str:
    return opened.request.headers["authorization"]


@pytest.mark.row("S2-32")
def test_the_token_is_asked_for_as_the_rfc_says() -> None:
    world = World(answer(access_token="a-1", token_type="Bearer", expires_in=3600))
    opened = world.open(draft())
    assert world.asked == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "r-1",
            "client_id": "ours",
            "client_secret": "client-secret",
            "scope": "models",
        }
    ]
    assert opened.request.headers == {"authorization": "Bearer a-1", "x-other": "kept"}
    assert opened.request.body == b"{}"
    assert world.kept == []


def test_what_the_operator_has_not_said_is_not_sent() -> None:
    world = World(answer(access_token="a-1"))
    world.open(draft(oauth=OAuth(token_url="https://auth.test/token")))
    assert world.asked == [{"grant_type": "refresh_token", "refresh_token": "r-1"}]


@pytest.mark.parametrize(
    ("said", "usable"),
    [
        ({"expires_in": 3600}, 3300),
        ({"expires_in": "3600"}, 3300),
        ({"expires_in": 60}, 30),
        ({"expired_in": 7200}, 6900),
        ({"expired_in": NOW + 7200}, 6900),
        ({"expired_in": (NOW + 7200) * 1000}, 6900),
        ({}, 3300),
        ({"expires_in": True, "expired_in": "x"}, 0.5),
        ({"expires_in": "1e999"}, 3300),
        ({"expires_in": -5}, 3300),
    ],
)
def test_a_token_is_renewed_before_it_ends(said: dict[str, Any], usable: float) -> None:
    world = World(answer(access_token="a-1", **said), answer(access_token="a-2"))
    assert bearer(world.open(draft())) == "Bearer a-1"
    assert bearer(world.open(draft(now=NOW + usable - 0.1))) == "Bearer a-1"
    assert bearer(world.open(draft(now=NOW + usable))) == "Bearer a-2"


def test_who_waited_for_the_lock_uses_the_token_that_came() -> None:
    world = World(answer(access_token="a-1", expires_in=3600))
    waited: list[Opened] = []
    other = World()
    other.memory = world.memory
    other.while_locked = lambda: waited.append(world.open(draft()))
    assert bearer(other.open(draft())) == "Bearer a-1" == bearer(waited[0])
    assert len(world.asked) == 1
    assert other.locks == world.locks


@pytest.mark.row("S2-32")
def test_a_rotated_token_is_kept_before_the_access_token_can_be_used() -> None:
    world = World(answer(access_token="a-1", refresh_token="r-2", expires_in=3600))
    steps: Any = open_with_token(draft(), world.memory)
    step = next(steps)
    while not isinstance(step, Persist):
        is_request = isinstance(step, HttpRequest)
        step = steps.send(world.replies.pop(0) if is_request else HttpReply(status=0))
    assert (step.old, step.new) == (Secret("r-1"), Secret("r-2"))
    # Another request, at this moment, has no access token to go on with: it must wait.
    assert isinstance(next(open_with_token(draft(), world.memory)), Lock)


@pytest.mark.row("S2-32")
def test_the_old_token_stands_for_the_new_one_until_the_channel_has_it() -> None:
    world = World(
        answer(access_token="a-1", refresh_token="r-2", expires_in=60),
        answer(access_token="a-2", refresh_token="r-3", expires_in=60),
        answer(access_token="a-3", refresh_token="r-4", expires_in=60),
        answer(access_token="a-4", expires_in=60),
    )
    for number, (token, now) in enumerate([("r-1", 0), ("r-1", 40), ("r-2", 80), ("r-1", 120)], 1):
        assert bearer(world.open(draft(token, NOW + now))) == f"Bearer a-{number}"
    assert [one["refresh_token"] for one in world.asked] == ["r-1", "r-2", "r-3", "r-4"]
    assert world.kept == [("r-1", "r-2"), ("r-2", "r-3"), ("r-3", "r-4")]
    assert len(set(world.locks)) == 1  # one at a time, whichever token a request was planned with


def test_an_access_token_that_ends_early_is_fetched_once_more() -> None:
    world = World(
        answer(access_token="a-1", refresh_token="r-2", expires_in=3600),
        answer(access_token="a-2", refresh_token="r-3", expires_in=3600),
    )
    first, other = world.open(draft()), world.open(draft())
    refused = UpstreamRefusedCredential("The token was revoked.", upstream_status=401)
    assert first.failed is not None
    assert other.failed is not None
    recourse = first.failed(refused)
    assert recourse.error is refused
    second = world.run(recourse.again)
    assert bearer(second) == "Bearer a-2"
    assert second.failed is not None
    assert second.failed(refused).again is None
    # The other request comes back with the same refusal: the new token is there already.
    assert bearer(world.run(other.failed(refused).again)) == "Bearer a-2"
    assert [one["refresh_token"] for one in world.asked] == ["r-1", "r-2"]


def test_a_late_refusal_of_an_old_token_does_not_cost_the_new_one() -> None:
    world = World(*(answer(access_token=f"a-{n}", expires_in=3600) for n in (1, 2)))
    refused = UpstreamRefusedCredential("The token was revoked.", upstream_status=401)
    first, late = world.open(draft()), world.open(draft())
    assert first.failed is not None
    assert late.failed is not None
    assert bearer(world.run(first.failed(refused).again)) == "Bearer a-2"
    assert bearer(world.run(late.failed(refused).again)) == "Bearer a-2"
    assert len(world.asked) == 2


def test_other_failures_are_no_reason_for_a_new_token() -> None:
    world = World(answer(access_token="a-1", expires_in=3600))
    opened = world.open(draft())
    assert opened.failed is not None
    for error in (
        UpstreamRefusedCredential("no balance", upstream_status=402),
        UpstreamRefusedCredential("not for you", upstream_status=403),
        UpstreamOverloaded("busy", upstream_status=503),
    ):
        assert opened.failed(error).again is None
    assert bearer(world.open(draft())) == "Bearer a-1"


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (answer(400, error="invalid_grant"), UpstreamRefusedCredential, "(invalid_grant): sign in"),
        (
            answer(401, error="invalid_client"),
            UpstreamRefusedCredential,
            "check the channel's clie",
        ),
        (answer(403), UpstreamRefusedCredential, "(HTTP 403): sign in again"),
        (answer(200, error="invalid_grant"), UpstreamRefusedCredential, "(invalid_grant)"),
        (answer(400, error="<r-1>"), UpstreamRefusedCredential, "(HTTP 400)"),
        (answer(404), UpstreamMisconfigured, "HTTP 404: check the channel's token_url"),
        (answer(503), UpstreamOverloaded, "The token endpoint answers with HTTP 503."),
        (HttpReply(status=200, body=b"<html>"), UpstreamBroken, "not a JSON object"),
        (HttpReply(status=200, body=b"[1]"), UpstreamBroken, "not a JSON object"),
        (HttpReply(status=200, body=b"[" * 100_000), UpstreamBroken, "not a JSON object"),
        (answer(200, access_token=""), UpstreamBroken, "no usable access_token"),
        (answer(200, access_token="a\r\nx: y"), UpstreamBroken, "no usable access_token"),
        (
            answer(200, access_token="a", refresh_token="ä"),
            UpstreamBroken,
            "no usable refresh_token",
        ),
        (UpstreamUnreachable("refused"), UpstreamUnreachable, "The token endpoint: refused"),
    ],
)
def test_failures_are_told_and_who_waited_need_not_fail_anew(
    reply: HttpReply | UpstreamError, kind: type[UpstreamError], words: str
) -> None:
    world = World(reply, answer(access_token="a-2"))
    with pytest.raises(kind) as caught:
        world.open(draft())
    assert words in caught.value.message
    assert "r-1" not in caught.value.message
    if "refresh_token" not in words:
        with pytest.raises(kind):
            world.open(draft(now=NOW + 1))
        assert len(world.asked) == 1
    assert bearer(world.open(draft(now=NOW + 6))) == "Bearer a-2"


def test_a_channel_without_a_token_says_so() -> None:
    one = draft()
    one.credential = None
    with pytest.raises(UpstreamRefusedCredential, match="has no refresh token"):
        World().open(one)
