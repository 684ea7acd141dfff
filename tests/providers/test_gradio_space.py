"""Opening an answer of a Gradio app: what is asked of whom, in which order, and what may go wrong."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from dragoman.canonical.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamLoading,
    UpstreamMisconfigured,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRejected,
)
from dragoman.canonical.parts import Media, Text
from dragoman.canonical.request import Message, Request, Settings
from dragoman.providers.gradio_space import open_space
from dragoman.providers.opening import Memory
from dragoman.wire.http import HttpReply
from tests.providers.gradio_world import HI, HUB, IMAGE, NOW, SPACE, World, draft, job, reply

API = f"{SPACE}/gradio_api"


def asked(*parts: Text | Media, **settings: Any) -> Request:
    return Request(
        model="m",
        messages=[Message(role="user", parts=list(parts))],
        settings=Settings(**settings),
    )


def test_a_space_is_found_asked_and_called() -> None:
    world = World()
    opened = world.open(draft(asked=asked(Text(text="hi"), max_output_tokens=9, logprobs=True)))
    assert world.asked == [
        f"GET {HUB}/api/spaces/someone/chat/host",
        f"GET {SPACE}/config",
        f"GET {API}/info",
        f"POST {API}/queue/join",
    ]
    sent = job(world)
    assert sent["fn_index"] == 6
    assert sent["data"] == ["hi", None, "You are nice.", 9, 0.7, 0.95, 50, 1.2]
    session = sent["session_hash"]
    assert opened.request.method == "GET"
    assert opened.request.url == f"{API}/queue/data?session_hash={session}"
    assert opened.request.headers["accept"] == "text/event-stream"
    assert opened.abort is not None
    assert opened.abort.url == f"{API}/cancel"
    assert json.loads(opened.abort.body) == {
        "session_hash": session,
        "fn_index": 6,
        "event_id": "event-1",
    }


@pytest.mark.row("S0-37")
def test_what_is_known_of_an_app_is_not_asked_again() -> None:
    world = World()
    first, second = world.open(draft()), world.open(draft())
    assert len(world.asked) == 5
    assert first.request.url != second.request.url  # each request is a session of its own


def test_it_is_asked_again_when_it_may_have_changed() -> None:
    world = World()
    world.open(draft())
    later = draft()
    later.now = NOW + 601
    world.open(later)
    assert len(world.asked) == 8


def test_what_is_known_is_known_to_the_same_token_only() -> None:
    world = World()
    for token in ("hf_one_0123456789", "hf_two_0123456789", "hf_one_0123456789"):
        world.open(draft(token=token))
    assert len(world.asked) == 9


def test_arguments_that_were_refused_make_it_be_asked_again() -> None:
    world = World()
    opened = world.open(draft())
    assert opened.failed is not None
    opened.failed(UpstreamRejected("Value 9 is greater than maximum value 1."))
    world.open(draft())
    assert len(world.asked) == 8


def test_an_app_that_takes_no_job_is_looked_for_again() -> None:
    """It may have been paused, or moved, since it was asked."""
    world = World()
    world.open(draft())
    world.answers["/queue/join"] = reply(404)
    with pytest.raises(UpstreamFailed):
        world.open(draft())
    world.requests.clear()
    del world.answers["/queue/join"]
    world.open(draft())
    assert len(world.asked) == 4


@pytest.mark.parametrize("app", ["4.9-full", "4.19-full"])
def test_older_versions_end_a_job_by_another_path(app: str) -> None:
    opened = World(app).open(draft())
    assert opened.abort is not None
    assert opened.abort.url == f"{SPACE}/reset"


def test_a_newer_queue_is_left_aside() -> None:
    world = World()
    config = json.loads(world._config(SPACE))
    world.answers["GET https://someone-chat.hf.space/config"] = reply(
        200, {**config, "protocol": "sse_v9"}
    )
    opened = world.open(draft())
    called = world.to("/call/full")
    assert json.loads(called.body) == {"data": ["hi", "You are nice.", 512, 0.7, 0.95, 50, 1.2]}
    assert opened.request.url == f"{API}/call/full/event-1"
    assert opened.abort is not None
    assert json.loads(opened.abort.body)["session_hash"] == "event-1"


def test_a_gradio_server_of_ones_own() -> None:
    world = World()
    world.open(draft("anything", base_url="http://10.0.0.7:7860"))
    assert world.asked[0] == "GET http://10.0.0.7:7860/config"
    assert world.asked[-1] == "POST http://10.0.0.7:7860/gradio_api/queue/join"


def test_a_server_as_the_models_name() -> None:
    world = World()
    world.open(draft("http://10.0.0.7:7860/app/"))
    assert world.asked[0] == "GET http://10.0.0.7:7860/app/config"


def test_a_server_that_a_client_names_is_not_called() -> None:
    world = World()
    with pytest.raises(UpstreamModelMissing, match="clients cannot choose"):
        world.open(draft("http://169.254.169.254/latest", listed=False))
    assert world.asked == []


@pytest.mark.row("S0-21")
def test_a_models_own_space_flags_and_endpoint() -> None:
    world = World("6.31-bot")
    spaces = {"My-Model": {"space": "someone/chat", "api_name": "respond"}}
    world.open(draft("my-model", spaces=spaces))
    assert job(world)["data"] == [
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        0.5,
    ]


@pytest.mark.parametrize(
    ("model", "space"),
    [
        pytest.param("gpt-oss-20b", "merterbak/gpt-oss-20b-demo", marks=pytest.mark.row("S0-15")),
        pytest.param(
            "gemma-3-12b", "huggingface-projects/gemma-3-12b-it", marks=pytest.mark.row("S0-16")
        ),
        pytest.param(
            "gemma-2-9b", "huggingface-projects/gemma-2-9b-it", marks=pytest.mark.row("S0-17")
        ),
        pytest.param(
            "gemma-2-2b", "huggingface-projects/gemma-2-2b-it", marks=pytest.mark.row("S0-18")
        ),
        pytest.param("gemma-3-270m", "daniel-dona/gemma-3-270m", marks=pytest.mark.row("S0-19")),
        pytest.param("qwen2.5-3b", "Kingoteam/Qwen2.5-vl-3B-demo", marks=pytest.mark.row("S0-20")),
    ],
)
def test_the_built_in_models(model: str, space: str) -> None:
    """Whatever their Spaces take today: built-in flags that do not fit are no obstacle."""
    world = World()
    world.answers[f"/api/spaces/{space}/host"] = reply(200, {"host": SPACE})
    world.open(draft(model, listed=False))
    assert job(world)["data"][0] == "hi"


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    with pytest.raises(UpstreamModelMissing, match=r"owner/name.*gpt-oss-20b"):
        World().open(draft("gpt-5"))


@pytest.mark.row("S0-30")
def test_flags_of_the_operators_that_do_not_fit() -> None:
    spaces = {"m": {"space": "someone/chat", "flags": "11"}}
    with pytest.raises(UpstreamMisconfigured, match="the right ones are '01'"):
        World().open(draft("m", spaces=spaces))


@pytest.mark.parametrize(
    "table", [["m"], {"m": {}}, {"m": {"space": "x"}}, {"m": {"space": "a/b", "flag": "11"}}]
)
def test_a_table_of_spaces_that_is_none(table: Any) -> None:
    with pytest.raises(UpstreamMisconfigured, match="channel's spaces"):
        World().open(draft("m", spaces=table))


def test_files_are_uploaded_first() -> None:
    world = World("6.31-multi")
    opened = world.open(draft(asked=asked(Text(text="Look."), IMAGE)))
    sent = world.to("/upload")
    assert sent.url == f"{API}/upload"
    boundary = sent.headers["content-type"].partition("boundary=")[2]
    part = b'\r\ncontent-disposition: form-data; name="files"; filename="a__b.png"'
    part += b"\r\ncontent-type: image/png\r\n\r\nhi\r\n"
    assert sent.body.split(f"--{boundary}".encode()) == [b"", part, b"--\r\n"]
    assert job(world)["data"][0] == {
        "text": "Look.",
        "files": [
            {
                "path": "/there/file.png",
                "size": 2,
                "mime_type": "image/png",
                "orig_name": "a__b.png",
                "meta": {"_type": "gradio.FileData"},
            }
        ],
    }
    assert opened.notes == []


def test_a_web_address_goes_nowhere() -> None:
    """What clients give by address the engine has fetched before; a server that fetched it would do
    so from inside of the operator's network."""
    world = World("6.31-multi")
    media = Media(kind="image", url="http://169.254.169.254/latest/meta-data")
    world.open(draft("x", base_url="http://10.0.0.7:7860", asked=asked(Text(text="Look."), media)))
    assert job(world)["data"][0]["files"] == []
    assert not any(b"169.254" in one.body for one in world.requests)


def test_content_that_is_no_base64_is_the_clients_fault() -> None:
    with pytest.raises(InvalidRequest) as caught:
        World("6.31-multi").open(draft(asked=asked(Media(kind="image", data="*"))))
    assert caught.value.param == "messages.0.parts.0"


def test_cookies_lead_to_the_replica_that_has_the_job() -> None:
    world = World()
    sticky = reply(200, {"event_id": "e"})
    sticky.headers = [
        ("set-cookie", "replica=7; Path=/; Secure"),
        ("set-cookie", "other=x=y; HttpOnly"),
        ("set-cookie", "broken"),
    ]
    world.answers["/queue/join"] = sticky
    opened = world.open(draft())
    assert opened.request.headers["cookie"] == "replica=7; other=x=y"
    assert opened.abort is not None
    assert opened.abort.headers["cookie"] == "replica=7; other=x=y"


@pytest.mark.parametrize(
    ("stage", "word", "seconds"),
    [
        ("PAUSED", "paused", 300),
        ("BUILDING", "coming up", 30),
        ("SLEEPING", "coming up", 30),
        ("APP_STARTING", "coming up", 30),
        ("RUNTIME_ERROR", "does not run", 300),
        ("NO_APP_FILE", "does not run", 300),
        ("SOMETHING_NEW", "does not run", 300),
    ],
)
@pytest.mark.row("S0-49")
def test_a_space_that_is_not_up(stage: str, word: str, seconds: float) -> None:
    """Its channel's other Spaces are none the worse for it."""
    world = World()
    world.answers["hf.space/config"] = reply(503, b"<html>zzz</html>")
    world.answers["/runtime"] = reply(200, {"stage": stage})
    with pytest.raises(UpstreamLoading, match=word) as caught:
        world.open(draft())
    assert (caught.value.status, caught.value.retry_after) == (503, seconds)


def test_a_static_page_is_no_gradio_app() -> None:
    world = World()
    world.answers["hf.space/config"] = reply(200, b"<html>Hello</html>")
    world.answers["/runtime"] = reply(200, {"stage": "RUNNING"})
    with pytest.raises(UpstreamMisconfigured, match="no Gradio app"):
        world.open(draft())


def test_a_server_that_is_not_gradio() -> None:
    world = World()
    world.answers["/config"] = reply(404)
    with pytest.raises(UpstreamMisconfigured, match="no Gradio server"):
        world.open(draft("x", base_url="http://10.0.0.7:7860"))


def test_a_space_that_does_not_exist() -> None:
    with pytest.raises(UpstreamModelMissing, match="no Space nobody/nothing") as caught:
        World().open(draft("nobody/nothing"))
    assert caught.value.status == 404


def test_the_hub_does_not_tell_strangers_what_is_private() -> None:
    world = World()
    world.answers["/host"] = reply(401, {"error": "Invalid username or password."})
    with pytest.raises(UpstreamModelMissing, match="private and a token is missing"):
        world.open(draft())


@pytest.mark.row("S0-50")
def test_the_hubs_rate_limit() -> None:
    world = World()
    world.answers["/host"] = reply(429, {"error": "Too many requests"}, retry_after="7")
    with pytest.raises(UpstreamRateLimited) as caught:
        world.open(draft())
    assert (caught.value.status, caught.value.retry_after) == (429, 7)


@pytest.mark.parametrize(
    "host",
    [
        "https://evil.test",
        "http://someone-chat.hf.space",
        "https://evil.test/.hf.space",
        "https://x@evil.hf.space",
        "https://hf.space",
        "file:///etc/passwd",
        "",
        "https://a.hf.space?x",
    ],
)
def test_a_host_that_is_no_spaces(host: str) -> None:
    world = World()
    world.answers["/host"] = reply(200, {"host": host})
    with pytest.raises(UpstreamBroken, match="no usable address"):
        world.open(draft(token="hf_secret_0123456789"))
    assert len(world.asked) == 1


def test_a_space_that_points_elsewhere_gets_no_further() -> None:
    world = World()
    config = json.loads(world._config(SPACE))
    for lie in ({"root": "https://evil.test"}, {"api_prefix": "@evil.test"}):
        world.requests.clear()
        world.answers["hf.space/config"] = reply(200, {**config, **lie})
        with pytest.raises(UpstreamBroken):
            world.open(draft())
        assert all("evil" not in one for one in world.asked)


def test_a_redirect_is_not_followed() -> None:
    world = World()
    world.answers["/queue/join"] = reply(307, location="https://evil.test/")
    with pytest.raises(UpstreamBroken, match="redirects"):
        world.open(draft())


@pytest.mark.parametrize(
    ("answer", "kind", "status"),
    [
        (reply(503, {"detail": "Queue is full."}), UpstreamLoading, 503),
        (reply(422, {"detail": [{"message": "Too long"}]}), UpstreamRejected, 422),
        (reply(400, {"detail": "No"}), UpstreamRejected, 400),
        (reply(200, []), UpstreamBroken, 502),
        (reply(200, {"event_id": 7}), UpstreamBroken, 502),
        (reply(200, {"event_id": "x" * 300}), UpstreamBroken, 502),
        (reply(200, b"{"), UpstreamBroken, 502),
    ],
)
def test_a_job_that_is_not_taken(answer: HttpReply, kind: type[GatewayError], status: int) -> None:
    world = World()
    world.answers["/queue/join"] = answer
    with pytest.raises(kind) as caught:
        world.open(draft())
    assert caught.value.status == status


@pytest.mark.parametrize(
    "answer", [reply(200, []), reply(200, [1]), reply(200, {}), reply(413, {})]
)
def test_a_file_that_is_not_taken(answer: HttpReply) -> None:
    world = World("6.31-multi")
    world.answers["/upload"] = answer
    with pytest.raises((UpstreamBroken, UpstreamRejected)):
        world.open(draft(asked=asked(IMAGE)))


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, f"{HUB}/api/spaces?limit=1"),
        ({"token": "hf_channel_0123456789"}, f"{HUB}/api/whoami-v2"),
        ({"base_url": "http://10.0.0.7:7860"}, "http://10.0.0.7:7860/config"),
        ({"base_url": "http://10.0.0.7:7860", "token": "hf_x"}, "http://10.0.0.7:7860/config"),
    ],
)
def test_a_channel_is_tried_out(options: dict[str, str], url: str) -> None:
    world = World()
    trial = msgspec.structs.replace(draft("", **options), purpose="models")
    request = world.open(trial).request
    assert (request.method, request.url, world.asked) == ("GET", url, [])
    to_hub = url.startswith(HUB) and "token" in options
    assert ("authorization" in request.headers) is to_hub


def test_only_answers_can_be_asked_for() -> None:
    embedding = msgspec.structs.replace(draft(asked=HI), purpose="embed")
    with pytest.raises(UpstreamRejected):
        next(open_space(embedding, Memory()))
