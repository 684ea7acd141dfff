"""Every pair of protocols: what every protocol can say comes through from one to the other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.events import Event
from dragoman.canonical.parts import Media
from dragoman.canonical.request import Request
from dragoman.canonical.response import Response
from tests.protocols.answer_strategies import interleaved, responses, splits
from tests.protocols.conformance import (
    PROFILE,
    REQUEST,
    every_pair,
    load,
    origin,
    reasons_alike,
    text_of,
    tool_calls_of,
    written,
)
from tests.protocols.fidelity import (
    all_parts,
    calls_of,
    read_back,
    results_of,
    same_json,
    texts_of,
)
from tests.protocols.strategies import portable_requests

# There are many pairs, and each protocol by itself is held to more.
per_pair = settings(max_examples=max(10, settings().max_examples // 5))


@every_pair
@per_pair
@given(request=portable_requests())
def test_requests_come_through(client: str, upstream: str, request: Request) -> None:
    one, other = load(client), load(upstream)
    asked = read_back(one, one.encode_request(request, PROFILE), request)
    got = read_back(other, other.encode_request(asked, PROFILE), request)
    assert_said_the_same(got, request)
    for call, wanted in zip(calls_of(got), calls_of(request), strict=True):
        assert call.name == wanted.name
        assert same_json(call.arguments, wanted.arguments)
    assert results_of(got) == results_of(request)
    images = [part.data for part in all_parts(got) if isinstance(part, Media)]
    assert images == [part.data for part in all_parts(request) if isinstance(part, Media)]
    assert [tool.name for tool in got.tools] == [tool.name for tool in request.tools]
    for tool, wanted_tool in zip(got.tools, request.tools, strict=True):
        assert tool.parameters is not None
        assert wanted_tool.parameters is not None
        assert set(tool.parameters["properties"]) == set(wanted_tool.parameters["properties"])


def assert_said_the_same(got: Request, wanted: Request) -> None:
    """Every voice says every text, in order."""
    for speaker in ("instructions", "user", "assistant"):
        said, rest = texts_of(wanted, speaker), texts_of(got, speaker)
        for text in said.split("\n"):
            assert text in rest
            rest = rest[rest.index(text) :]


@every_pair
@per_pair
@given(response=responses())
def test_answers_come_through(client: str, upstream: str, response: Response) -> None:
    one, other = load(client), load(upstream)
    body = other.encode_response(response, REQUEST)
    answer = other.decode_response(body, origin(other))
    sent = one.encode_response(answer, REQUEST)
    assert_came_through(one.decode_response(sent, origin(one)), response)


@every_pair
@per_pair
@given(data=st.data(), response=responses())
def test_streams_come_through(
    client: str, upstream: str, data: st.DataObject, response: Response
) -> None:
    """With parallel calls interleaved, in any chunks."""
    one, other = load(client), load(upstream)
    wire = written(other, data.draw(interleaved(list(replay(response)))))
    decoder = other.stream_decoder(origin(other))
    encoder = one.stream_encoder(REQUEST)
    sent = b""
    for chunk in data.draw(splits(wire)):
        for event in decoder.feed(chunk):
            sent += encoder.feed(event)
    for event in decoder.finish():
        sent += encoder.feed(event)
    sent += encoder.finish()
    final = one.stream_decoder(origin(one))
    events: list[Event] = [*final.feed(sent), *final.finish()]
    assert_came_through(collect(events), response)


def assert_came_through(got: Response, wanted: Response) -> None:
    """Text, calls, the reason it ended, and what it cost."""
    assert text_of(got) == text_of(wanted)
    calls = tool_calls_of(got)
    assert [call.name for call in calls] == [call.name for call in tool_calls_of(wanted)]
    for call, expected in zip(calls, tool_calls_of(wanted), strict=True):
        assert same_json(call.arguments, expected.arguments)
    assert len({call.id for call in calls}) == len(calls)
    assert reasons_alike(got, wanted)
    assert got.usage is not None
    assert wanted.usage is not None
    assert got.usage.total_input == wanted.usage.total_input
    assert got.usage.total_output == wanted.usage.total_output


@every_pair
def test_a_failing_upstream_never_looks_like_the_client(client: str, upstream: str) -> None:
    """An upstream's refusal of our own key is no 401 to a client whose key is fine."""
    one, other = load(client), load(upstream)
    for status in (401, 402, 403):
        error = other.decode_error(status, {}, b"")
        reply = one.encode_error(error, "req")
        assert reply.status == 502
        assert "x-should-retry" in dict(reply.headers)
    with pytest.raises(Exception, match="rate"):
        raise other.decode_error(429, {"retry-after": "3"}, b'{"error":"rate limited"}')
