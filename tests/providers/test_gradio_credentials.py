"""Whose Hugging Face token goes where, and what happens when it is of no use."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    RateLimited,
    Unauthorized,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
    UpstreamRejected,
)
from dragoman.providers.opening import Opened, Recourse
from dragoman.wire.http import HttpReply, HttpRequest
from tests.providers.gradio_world import NOW, World, draft, reply

CHANNELS = "hf_channel_0123456789"
CALLERS = "hf_caller_0123456789"
QUOTA = "You have exceeded your GPU quota. Try again in 0:10:00"


def tokens(world: World) -> list[str]:
    """The token of each request, empty for none; both headers agree."""
    found = []
    for one in world.requests:
        bearer = one.headers.get("authorization", "")
        assert one.headers.get("x-hf-authorization", "") == bearer
        found.append(bearer.removeprefix("Bearer "))
    return found


def refuses(token: str, status: int = 401) -> Any:
    """An answer that refuses one token and leaves the rest to the world."""

    def answer(request: HttpRequest) -> HttpReply:
        if token in request.headers.get("authorization", ""):
            return reply(status, {"error": f"Invalid token {token}"})
        return reply(200, {"event_id": "e"})

    return answer


def recourse(opened: Opened, error: UpstreamError) -> Recourse:
    assert opened.failed is not None
    return opened.failed(error)


def test_the_channels_token_goes_to_the_hub_and_to_the_space() -> None:
    world = World()
    opened = world.open(draft(token=CHANNELS))
    assert tokens(world) == [CHANNELS] * 4
    assert opened.request.headers["authorization"] == f"Bearer {CHANNELS}"
    assert opened.abort is not None
    assert opened.abort.headers["x-hf-authorization"] == f"Bearer {CHANNELS}"


def test_the_callers_token_comes_before_the_channels() -> None:
    world = World()
    opened = world.open(draft(token=CHANNELS, callers=CALLERS))
    assert tokens(world) == [CALLERS] * 4
    assert CHANNELS not in str(opened.request.headers)


def test_what_a_caller_brings_and_is_no_token_goes_nowhere() -> None:
    """Clients are set up with keys of all kinds where the gateway asks for none."""
    world = World()
    world.open(draft(token=CHANNELS, callers="sk-somebody-elses-0123456789"))
    assert tokens(world) == [CHANNELS] * 4


@pytest.mark.row("S0-32")
def test_without_any_token_it_is_tried_anonymously() -> None:
    world = World()
    world.open(draft())
    assert tokens(world) == [""] * 4


def test_the_channels_token_is_not_for_a_space_that_only_a_client_names() -> None:
    world = World()
    world.open(draft(token=CHANNELS, listed=False))
    assert tokens(world) == [""] * 4
    world.requests.clear()
    world.open(draft(token=CHANNELS, callers=CALLERS, listed=False))
    assert tokens(world)[-1] == CALLERS


@pytest.mark.parametrize("token", [{"token": CHANNELS}, {"callers": CALLERS}])
def test_no_token_goes_to_a_server_elsewhere(token: dict[str, str]) -> None:
    world = World()
    opened = world.open(draft("x", base_url="http://10.0.0.7:7860", **token))
    assert tokens(world) == [""] * 3
    assert "hf_" not in str([opened.request, opened.abort])


def test_a_hub_of_ones_own_choice() -> None:
    world = World()
    world.answers["/host"] = reply(200, {"host": "http://127.0.0.1:9001"})
    world.open(draft(token=CHANNELS, hub="http://127.0.0.1:9000/"))
    assert world.asked[0] == "GET http://127.0.0.1:9000/api/spaces/someone/chat/host"
    assert world.asked[1] == "GET http://127.0.0.1:9001/config"
    assert tokens(world) == [CHANNELS] * 4
    other = World()
    other.answers["/host"] = reply(200, {"host": "http://127.0.0.2:9001"})
    other.open(draft(token=CHANNELS, hub="http://127.0.0.1:9000/"))
    assert tokens(other) == [CHANNELS, "", "", ""]


def test_the_operators_own_headers_go_to_the_operators_own_server() -> None:
    headers = {"authorization": "Basic abc", "x-team": "7"}
    world = World()
    world.open(draft("x", base_url="http://10.0.0.7:7860", headers=headers))
    assert all(one.headers["x-team"] == "7" for one in world.requests)
    assert all(one.headers["authorization"] == "Basic abc" for one in world.requests)
    space = World()
    space.open(draft(headers=headers))
    assert [one.headers.get("x-team") for one in space.requests] == ["7", None, None, None]


@pytest.mark.row("S0-32", "S0-33")
def test_a_refused_token_is_left_out_once_and_then_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.answers["/queue/join"] = refuses(CHANNELS)
    with caplog.at_level(logging.WARNING, "dragoman.gradio"):
        opened = world.open(draft(token=CHANNELS))
    assert tokens(world) == [*[CHANNELS] * 4, *[""] * 4]
    assert "authorization" not in opened.request.headers
    assert "someone/chat: the channel's token is refused" in caplog.text
    assert CHANNELS not in caplog.text
    world.requests.clear()
    world.open(draft(token=CHANNELS))
    assert tokens(world) == [""]
    later = draft(token=CHANNELS)
    later.now = NOW + 301
    world.requests.clear()
    world.open(later)
    assert CHANNELS in tokens(world)


def test_what_one_app_refuses_says_nothing_of_the_others() -> None:
    world = World()
    world.answers["/queue/join"] = refuses(CHANNELS)
    world.open(draft(token=CHANNELS))
    world.requests.clear()
    world.answers = {"/api/spaces/other/one/host": reply(200, {"host": "https://x.hf.space"})}
    world.open(draft("other/one", token=CHANNELS))
    assert tokens(world) == [CHANNELS] * 4


def test_a_token_that_the_hub_refuses() -> None:
    world = World()

    def answer(request: HttpRequest) -> HttpReply:
        if "authorization" in request.headers:
            return reply(401, {"error": "Invalid credentials in Authorization header"})
        return reply(200, {"host": "https://someone-chat.hf.space"})

    world.answers["/host"] = answer
    world.open(draft(token=CHANNELS))
    assert tokens(world) == [CHANNELS, "", "", "", ""]


def test_a_callers_bad_token_is_the_callers_affair() -> None:
    """A private Space: without the token there is nothing to be had, either."""
    world = World()
    world.answers["/host"] = reply(401, {"error": f"Invalid token {CALLERS}"})
    with pytest.raises(Unauthorized) as caught:
        world.open(draft(callers=CALLERS))
    assert caught.value.status == 401
    assert CALLERS not in caught.value.message
    with pytest.raises(Unauthorized):  # and again
        world.open(draft(callers=CALLERS))


def test_a_channels_bad_token_is_the_channels_affair() -> None:
    world = World()
    world.answers["/host"] = reply(401, {"error": f"Invalid token {CHANNELS}"})
    with pytest.raises(UpstreamRefusedCredential) as caught:
        world.open(draft(token=CHANNELS))
    assert caught.value.status == 502
    assert caught.value.upstream_status == 401
    assert CHANNELS not in caught.value.message


def test_a_login_that_nobody_has_is_about_the_app_only() -> None:
    """403: the channel's other Spaces are none the worse for it."""
    world = World()
    world.answers["/config"] = reply(401, {"detail": "Not authenticated"})
    with pytest.raises(UpstreamRefusedCredential, match="login or a token") as caught:
        world.open(draft("x", base_url="http://10.0.0.7:7860"))
    assert caught.value.upstream_status == 403


@pytest.mark.row("S0-33")
@pytest.mark.parametrize(
    "error",
    [
        UpstreamRateLimited(QUOTA),
        UpstreamRefusedCredential("No."),
        UpstreamFailed("401 Client Error"),
        UpstreamFailed("HTTP 429"),
        UpstreamFailed("The Token has expired"),
        UpstreamFailed("Limit reached"),
        UpstreamOverloaded("No quota"),
    ],
)
def test_an_answer_that_fails_for_the_tokens_sake_is_tried_once_without(
    error: UpstreamError,
) -> None:
    world = World()
    opened = world.open(draft(token=CHANNELS))
    found = recourse(opened, error)
    assert found.error is error
    assert found.again is not None
    world.requests.clear()
    second = world.run(found.again)
    assert tokens(world) == [""] * 4
    assert recourse(second, error) == Recourse(error)  # once


@pytest.mark.parametrize(
    "error",
    [
        UpstreamFailed("CUDA out of memory"),
        UpstreamRejected("max_new_tokens is above the limit"),
        UpstreamOverloaded("Queue is full."),
    ],
)
def test_other_failures_are_not_tried_without(error: UpstreamError) -> None:
    opened = World().open(draft(token=CHANNELS))
    assert recourse(opened, error) == Recourse(error)


def test_without_a_token_there_is_nothing_to_leave_out() -> None:
    error = UpstreamRateLimited(QUOTA)
    assert recourse(World().open(draft()), error) == Recourse(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpstreamRateLimited(QUOTA, retry_after=600), RateLimited),
        (UpstreamRefusedCredential("No.", upstream_status=401), Unauthorized),
    ],
)
def test_what_a_callers_token_is_refused_says_nothing_of_the_channel(
    error: UpstreamError, kind: type[GatewayError]
) -> None:
    opened = World().open(draft(callers=CALLERS))
    found = recourse(opened, error)
    assert type(found.error) is kind
    assert found.error.retry_after == error.retry_after


def test_if_it_fails_without_the_token_too_the_first_error_is_told() -> None:
    world = World()
    world.answers["/queue/join"] = reply(429, {"error": QUOTA})
    with pytest.raises(RateLimited) as caught:
        world.open(draft(callers=CALLERS))
    assert caught.value.retry_after == 600
    assert tokens(world) == [*[CALLERS] * 4, *[""] * 4]


def test_a_space_that_is_missing_is_missing_for_everybody() -> None:
    world = World()
    with pytest.raises(UpstreamModelMissing):
        world.open(draft("nobody/nothing", token=CHANNELS))
    assert tokens(world) == [CHANNELS]
