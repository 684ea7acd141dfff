"""Image generation over a socket: the documented shapes, Hugging Face's own client, what it costs, and
what goes wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.live.administered import AS_ADMIN
from tests.live.money import MODEL, NANO_PER_TOKEN, Shop, shop
from tests.live.raw import Reply, ask
from tests.support.flexible_upstream import Reply as Said
from tests.support.standin.script import PNG

TASK = "/hf/tasks/image-generation"
NATIVE = f"/hf/models/{MODEL}/pipeline/text-to-image"
PAINTER = "gpt-image-1"
KEY = "sk-gw-images-live-0123456789"
BEARER = {"authorization": f"Bearer {KEY}"}
SHOWN = {"image": PNG, "content_type": "image/png"}
TOKENS = 110
"""What every picture takes, in and out."""
JPEG = b"\xff\xd8\xff\xe0 and so on"


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module, with a second channel for when the first fails."""
    channels = {"spare": {"priority": 1, "models": [MODEL]}}
    with shop(channel={"models": [MODEL, PAINTER], "priority": 0}, more=channels) as one:
        one.user("painter", usd="1")
        one.key("painter", "painter", key=KEY)
        yield one


@pytest.fixture(autouse=True)
def doors(store: Shop) -> Iterator[None]:
    """The upstreams are as they were after every test."""
    yield
    for name in ("shelf", "spare"):
        store.upstream.door(name).reply = Said()


def paint(one: Shop, body: Any, path: str = TASK, **headers: str) -> Reply:
    return ask(one.gateway, "POST", path, body, {**BEARER, **headers})


def refused(reply: Reply, status: int) -> str:
    """What an error in the documented shape says."""
    assert set(reply.json) == {"error", "error_type", "message"}
    assert reply.status == status, reply.body
    return f"{reply.json['error']} {reply.json['message']}"


def test_the_documented_shape(store: Shop) -> None:
    size = {"width": 512, "height": 256, "guidance_scale": 7.5}
    reply = paint(store, {"inputs": "A fox.", "parameters": {"model": MODEL, **size}})
    assert (reply.status, reply.json) == (200, SHOWN)
    assert reply.headers["dragoman-translation"] == "dropped=1"
    assert store.door.seen[-1].body == {
        "model": MODEL,
        "prompt": "A fox.",
        "n": 1,
        "size": "512x256",
        "response_format": "b64_json",
    }


@pytest.mark.row("S4-19")
@pytest.mark.parametrize("name", ["image-generation", "text-to-image"])
def test_run(store: Shop, name: str) -> None:
    body = {"task": name, "model": MODEL, "inputs": "A fox."}
    reply = paint(store, body, "/hf/tasks/run")
    assert reply.status == 200
    assert reply.json == {"output": SHOWN, "task": "image-generation", "model": MODEL}


def test_the_native_shape_is_the_picture(store: Shop) -> None:
    store.door.reply = Said(text=base64.b64encode(JPEG).decode())
    reply = paint(store, {"inputs": "A fox."}, NATIVE)
    assert (reply.headers["content-type"], reply.body) == ("image/jpeg", JPEG)


@pytest.mark.row("S4-60")
@pytest.mark.parametrize("pipeline", [True, False])
def test_hugging_faces_own_client(store: Shop, pipeline: bool) -> None:
    path = NATIVE if pipeline else NATIVE.partition("/pipeline")[0]
    client = InferenceClient(f"{store.gateway.url}{path}", token=KEY)
    image: Any = client.text_to_image("A fox.", width=512, height=512)
    assert (image.size, image.format) == ((2, 2), "PNG")
    assert store.door.seen[-1].body["size"] == "512x512"


def test_a_mapped_model_with_its_defaults(store: Shop) -> None:
    hub = "black-forest-labs/FLUX.1-dev"
    mapping = {"provider_model_id": MODEL, "hub_model_id": hub, "task_type": "text-to-image"}
    mapping |= {"parameters": {"width": 64, "height": 32}}
    assert ask(store.gateway, "POST", "/hf/tasks/models/map", mapping, AS_ADMIN).status == 200
    client = InferenceClient(f"{store.gateway.url}/hf/models/{hub}", token=KEY)
    image: Any = client.text_to_image("A fox.")  # the mapping tells the task
    assert image.size == (2, 2)
    assert store.door.seen[-1].body["size"] == "64x32"
    assert paint(store, {"inputs": "A fox."}).json == SHOWN  # it is the one for this task


def test_models_that_always_answer_in_base64_are_not_asked_to(store: Shop) -> None:
    assert paint(store, {"inputs": "A fox.", "model": PAINTER}).json == SHOWN
    assert "response_format" not in store.door.seen[-1].body


def test_what_it_costs(store: Shop) -> None:
    reply = paint(store, {"inputs": "A fox.", "model": MODEL})
    assert reply.headers["dragoman-cost-nano-usd"] == str(TOKENS * NANO_PER_TOKEN)
    usage = ask(store.gateway, "GET", "/hf/tasks/billing/usage", None, BEARER).json
    found = [one for one in usage["records"] if one["request_id"] == reply.headers["inference-id"]]
    assert [one["task"] for one in found] == ["image-generation"]


def test_who_cannot_pay_for_a_picture_gets_none(store: Shop) -> None:
    store.user("poor", usd="0.001")
    headers = {"authorization": f"Bearer {store.key('poor', 'poor')}"}
    seen = len(store.door.seen)
    assert refused(paint(store, {"inputs": "A fox.", "model": MODEL}, **headers), 402)
    assert len(store.door.seen) == seen


def test_a_request_without_a_key_paints_nothing(store: Shop) -> None:
    reply = ask(store.gateway, "POST", TASK, {"inputs": "A fox.", "model": MODEL}, {})
    assert refused(reply, 401)


@pytest.mark.parametrize("said", ["!", base64.b64encode(b"GIF89a").decode()])
def test_what_is_no_picture_is_asked_for_elsewhere(store: Shop, said: str) -> None:
    store.door.reply = Said(text=said)
    reply = paint(store, {"inputs": "A fox.", "model": MODEL})
    assert (reply.json, reply.headers["dragoman-channel"]) == (SHOWN, "spare")


def test_a_picture_is_sent_again_for_its_key(store: Shop) -> None:
    seen = len(store.door.seen)
    replies = [
        paint(store, {"inputs": "A fox."}, NATIVE, **{"idempotency-key": "one-fox"})
        for _ in range(2)
    ]
    assert [one.body for one in replies] == [base64.b64decode(PNG)] * 2
    assert {one.headers["content-type"] for one in replies} == {"image/png"}
    assert len(store.door.seen) == seen + 1


BAD = {
    "no inputs": ({}, "inputs"),
    "an empty text": ({"inputs": " "}, "inputs"),
    "a number": ({"inputs": 5}, "inputs"),
    "a list": ({"inputs": ["a", "b"]}, "inputs"),
    "a width of words": ({"inputs": "a", "parameters": {"width": "wide"}}, "parameters.width"),
    "no height": ({"inputs": "a", "parameters": {"height": 0}}, "parameters.height"),
}


@pytest.mark.parametrize("path", [TASK, NATIVE])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_by_field_and_costs_nothing(store: Shop, case: str, path: str) -> None:
    body, field = BAD[case]
    seen = len(store.door.seen)
    told = refused(paint(store, {"model": MODEL, **body}, path), 400)
    assert f"field: {field}" in told
    assert len(store.door.seen) == seen


def test_a_model_that_cannot(store: Shop) -> None:
    for name in ("shelf", "spare"):
        store.upstream.door(name).reply = Said(status=400)
    reply = paint(store, {"inputs": "A fox.", "model": MODEL})
    assert "Scripted 400." in refused(reply, 400)
    assert not [one for one in store.booked(reply.headers["inference-id"]) if one["cost_nano_usd"]]
    client = InferenceClient(f"{store.gateway.url}{NATIVE}", token=KEY)
    with pytest.raises(HfHubHTTPError, match="Scripted 400"):
        client.text_to_image("A fox.")
