"""generateContent: what came in over this protocol goes out over it unchanged."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.request import Request
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import ModelProfile, Target, all_events
from dragoman.protocols.gemini_generate import PROTOCOL
from tests.protocols import gemini_generate_bodies as bodies

TARGET = Target(model="gemini-2.5-flash", stream=False)
PROFILE = ModelProfile(
    provider="gemini", model="gemini-2.5-flash", quirks={"function_response_parts": True}
)
ORIGIN = Origin("gemini_generate", "gemini", "gemini-2.5-flash")


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def decode(body: bytes) -> Request:
    return PROTOCOL.decode_request(PROTOCOL.parse_request(body, TARGET))


def snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)


@given(body=bodies.requests)
def test_requests_come_back_the_same(body: dict[str, Any]) -> None:
    request = decode(dumps(body))
    encoded = PROTOCOL.encode_request(request, PROFILE)
    assert decode(encoded.body) == request
    assert not encoded.notes, encoded.notes


@given(body=bodies.requests)
def test_repeated_requests_are_the_very_bytes(body: dict[str, Any]) -> None:
    raw = dumps(body)
    encoded = PROTOCOL.repeat_request(PROTOCOL.parse_request(raw, TARGET), PROFILE)
    assert encoded.body == raw


@given(body=bodies.responses)
def test_answers_come_back_the_same(body: dict[str, Any]) -> None:
    response = PROTOCOL.decode_response(dumps(body), ORIGIN)
    request = decode(b'{"contents":{"parts":{"text":"hi"}}}')
    again = PROTOCOL.decode_response(PROTOCOL.encode_response(response, request), ORIGIN)
    assert again == response


@given(body=bodies.responses, data=st.data())
def test_a_stream_of_the_same_parts_is_the_same_answer(
    body: dict[str, Any], data: st.DataObject
) -> None:
    """One part per chunk, the last chunk with everything else, in pieces of any size."""
    for candidate in body["candidates"]:
        candidate.pop("logprobsResult", None)  # they belong to the text of their own chunk
    whole = PROTOCOL.decode_response(dumps(body), ORIGIN)
    chunks = []
    for candidate in body["candidates"]:
        for part in candidate["content"].pop("parts"):
            content = {"parts": [part], "role": "model"}
            chunks.append({"candidates": [{"index": candidate["index"], "content": content}]})
    head = {key: body[key] for key in ("modelVersion", "responseId", "createTime") if key in body}
    chunks.append(body)
    wire = b"".join(b"data: " + dumps({**head, **chunk}) + b"\n\n" for chunk in chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *cuts, len(wire)])]
    streamed = collect(all_events(PROTOCOL.stream_decoder(ORIGIN), pieces))
    assert streamed == whole


@given(body=bodies.responses)
def test_a_written_stream_is_the_same_answer(body: dict[str, Any]) -> None:
    response = PROTOCOL.decode_response(dumps(body), ORIGIN)
    request = decode(b'{"contents":{"parts":{"text":"hi"}}}')
    encoder = PROTOCOL.stream_encoder(request)
    wire = b"".join(encoder.feed(event) for event in replay(response)) + encoder.finish()
    assert collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [wire])) == response


@given(body=bodies.configs)
def test_snake_case_says_the_same(body: dict[str, Any]) -> None:
    contents = [{"parts": [{"text": "hi"}]}]
    known = {
        name: body[name] for name in body if name not in ("newThing", "other_new_thing", "x-y")
    }
    camel = decode(dumps({"contents": contents, "generationConfig": known}))
    other = {snake(name): value for name, value in known.items()}
    assert decode(dumps({"contents": contents, "generation_config": other})) == camel


def test_users_data_may_be_nested_deeply() -> None:
    deep = b"[" * 800 + b"]" * 800
    wire = b'{"contents":[{"parts":[{"text":"a","videoMetadata":' + deep + b'}]},{"role":"model",'
    wire += b'"parts":[{"executableCode":{"a":' + deep + b"}}]}]}"
    # Comparing the requests themselves would follow them deeper than Python can.
    assert PROTOCOL.encode_request(decode(wire), PROFILE).body.count(deep) == 2
