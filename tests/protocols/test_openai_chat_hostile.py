"""Spoiled chat bodies of every shape: nothing but the gateway's own errors comes out."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import GatewayError, InvalidRequest, UpstreamError
from dragoman.protocols.base import ModelProfile, Target, all_events
from dragoman.protocols.openai_chat import PROTOCOL
from tests.protocols.mutations import spoiled
from tests.protocols.test_openai_chat_roundtrip import EVERYTHING, ORIGIN, REQUEST, answers, bodies

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_chat"
RECORDED = (FIXTURES / "request.json").read_bytes()
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))


@given(data=st.data(), body=bodies() | st.just(RECORDED))
def test_spoiled_requests(data: st.DataObject, body: bytes) -> None:
    try:
        parsed = PROTOCOL.parse_request(data.draw(spoiled(body)), Target(model="m"))
        PROTOCOL.repeat_request(parsed, ModelProfile(model="n"))
        request = PROTOCOL.decode_request(parsed)
    except InvalidRequest:
        return
    PROTOCOL.encode_request(request, EVERYTHING)
    PROTOCOL.encode_request(request, ModelProfile())


@given(data=st.data(), body=answers())
def test_spoiled_answers(data: st.DataObject, body: bytes) -> None:
    try:
        response = PROTOCOL.decode_response(data.draw(spoiled(body)), ORIGIN)
    except UpstreamError:
        return
    PROTOCOL.encode_response(response, REQUEST)


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_spoiled_streams(name: str, data: st.DataObject) -> None:
    events = (FIXTURES / name).read_bytes().split(b"\n\n")
    at = data.draw(st.integers(0, len(events) - 3))
    if events[at].startswith(b"data: {"):
        events[at] = b"data: " + data.draw(spoiled(events[at].removeprefix(b"data: ")))
    wire = b"\n\n".join(events)
    with contextlib.suppress(GatewayError):
        encoder = PROTOCOL.stream_encoder(REQUEST)
        for event in all_events(PROTOCOL.stream_decoder(ORIGIN), [wire]):
            encoder.feed(event)
        encoder.finish()
