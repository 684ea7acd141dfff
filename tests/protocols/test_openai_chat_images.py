"""Images: what is asked of an upstream, and what is read of its answer."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import GatewayError, UpstreamBroken, UpstreamRateLimited
from dragoman.canonical.images import ImageRequest, media_type_of
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.openai_chat import PROTOCOL
from tests.protocols.strategies import json_values
from tests.support.standin.script import PNG

assert PROTOCOL.images is not None
CODECS = PROTOCOL.images
STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF\0\0\0\0WEBP": "image/webp",
}


def answer(**fields: Any) -> bytes:
    return json.dumps({"data": [{"b64_json": PNG}], **fields}).encode()


def test_what_cannot_be_said_is_noted() -> None:
    request = ImageRequest(
        model="m",
        prompt="A fox.",
        negative_prompt="a",
        width=9,
        steps=3,
        guidance_scale=1.5,
        seed=7,
    )
    encoded = CODECS.encode_request(request, ModelProfile(model="theirs"))
    assert json.loads(encoded.body) == {
        "model": "theirs",
        "prompt": "A fox.",
        "n": 1,
        "response_format": "b64_json",
    }
    assert {note.path for note in encoded.notes} == {
        "negative_prompt",
        "width",
        "steps",
        "guidance_scale",
        "seed",
    }


@pytest.mark.parametrize("start", STARTS)
@given(st.binary(max_size=20))
def test_an_image_is_told_by_its_first_bytes(start: bytes, rest: bytes) -> None:
    encoded = base64.b64encode(start + rest).decode()
    (image,) = CODECS.decode_response(answer(data=[{"b64_json": encoded}])).images
    assert (image.data, image.media_type) == (start + rest, STARTS[start])
    assert media_type_of(start[:-1]) is None


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        ({}, Usage(input=10, output_image=100)),
        (
            {
                "input_tokens_details": {"text_tokens": 4, "image_tokens": 6},
                "output_tokens_details": {"text_tokens": 1, "image_tokens": 99},
            },
            Usage(input=4, input_image=6, output=1, output_image=99),
        ),
    ],
)
def test_usage(details: dict[str, Any], usage: Usage) -> None:
    told = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110, **details}
    assert CODECS.decode_response(answer(usage=told)).usage == usage
    assert CODECS.decode_response(answer()).usage is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>", "not valid JSON"),
        (b"{}", "no images"),
        (answer(data=[]), "no images"),
        (answer(data=[{}]), "no image"),
        (answer(data=[{"url": "https://a.test/a.png"}]), "address"),
        (answer(data=[{"b64_json": "%%%"}]), "not valid base64"),
        (answer(data=[{"b64_json": "ü"}]), "not valid base64"),
        (answer(data=[{"b64_json": "R0lGODlh"}]), "no PNG"),
    ],
)
def test_broken_answers(body: bytes, told: str) -> None:
    with pytest.raises(UpstreamBroken, match=told):
        CODECS.decode_response(body)


def test_an_error_in_an_answer_is_raised() -> None:
    body = json.dumps({"error": {"type": "rate_limit_error", "message": "slow"}}).encode()
    with pytest.raises(UpstreamRateLimited):
        CODECS.decode_response(body)


@given(json_values)
def test_hostile_answers_raise_errors_of_ours_only(value: Any) -> None:
    for body in (value, {"data": value}, {"data": [value]}, {"data": [{"b64_json": value}]}):
        with contextlib.suppress(GatewayError):
            CODECS.decode_response(json.dumps(body).encode())
