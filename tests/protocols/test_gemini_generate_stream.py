"""Streams of generateContent: read, written, relayed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import (
    CreditExhausted,
    UpstreamBroken,
    UpstreamOverloaded,
    UpstreamRateLimited,
)
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import Media, Reasoning, Text, ToolCall
from dragoman.canonical.request import Message, Request, StreamOptions
from dragoman.canonical.response import Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, unseal
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Target, all_events
from dragoman.protocols.gemini_generate import PROTOCOL
from dragoman.protocols.gemini_generate.stream import Encoder

ORIGIN = Origin("gemini_generate", "gemini", "m")
FOREIGN = Signature("sig", Origin("anthropic_messages", "anthropic"))
STOP = Finished(Finish(reason=FinishReason.STOP))


def chunk(*parts: Any, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "responseId": "r", **fields}


def sse(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in chunks)


def array(*chunks: Any) -> bytes:
    """As Google prints it."""
    return b"[" + b"\n,\r\n".join(json.dumps(one, indent=2).encode() for one in chunks) + b"\n]\n"


def decode(*pieces: bytes) -> list[Event]:
    return all_events(PROTOCOL.stream_decoder(ORIGIN), pieces)


def request(framing: Any = "sse") -> Request:
    return Request(
        model="m",
        messages=[Message(role="user", parts=[Text(text="hi")])],
        stream=True,
        stream_options=StreamOptions(framing=framing),
    )


def encoded(*events: Event, framing: Any = "sse") -> bytes:
    encoder = PROTOCOL.stream_encoder(request(framing))
    return b"".join([*(encoder.feed(event) for event in events), encoder.finish()])


def chunks_of(wire: bytes) -> list[Any]:
    """The chunks of a stream in which there is nothing but ``data: `` lines."""
    blocks = wire.decode().removesuffix("\n\n").split("\n\n")
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def parts_of(wire: bytes) -> list[Any]:
    return [
        part
        for one in chunks_of(wire)
        for candidate in one["candidates"]
        for part in candidate["content"]["parts"]
    ]


ANSWER = [
    chunk({"text": "Hm, ", "thought": True}, modelVersion="m1"),
    chunk({"text": "so.", "thought": True}),
    chunk({"text": "Hel\nlo "}, usageMetadata={"promptTokenCount": 3}),
    chunk({"text": 'brace } "quote\\ 世界'}),
    chunk({"functionCall": {"name": "f", "args": {"a": "}"}}, "thoughtSignature": "c2ln"}),
    chunk({"text": "", "thoughtSignature": "ZW5k"}, finish="STOP"),
    {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}},
]


def test_texts_of_one_kind_are_one_part_and_the_end_comes_last() -> None:
    events = decode(sse(*ANSWER))
    response = collect(events)
    thought, text, call, closing = response.choices[0].parts
    assert thought == Reasoning(text="Hm, so.", summary=True)
    assert text == Text(text='Hello brace } "quote\\ 世界'.replace("Hello", "Hel\nlo"))
    assert isinstance(call, ToolCall)
    assert (call.arguments, call.signature) == ('{"a":"}"}', Signature("c2ln", ORIGIN))
    assert closing == Text(text="", extensions={"gemini_generate": {"thoughtSignature": "ZW5k"}})
    assert response.usage == Usage(input=3, output=2)
    assert isinstance(events[0], Start)
    assert isinstance(events[-1], Finished)
    assert events[-1].finish.reason is FinishReason.TOOL_CALLS


def test_usage_is_told_when_it_changes() -> None:
    updates = [event.usage for event in decode(sse(*ANSWER)) if isinstance(event, UsageUpdate)]
    assert updates == [Usage(input=3), Usage(input=3, output=2)]


@given(data=st.data())
@pytest.mark.parametrize("framed", [sse, array])
def test_any_split_and_either_framing_give_the_same_events(
    framed: Any, data: st.DataObject
) -> None:
    wire = framed(*ANSWER)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    pieces = [wire[a:b] for a, b in itertools.pairwise([0, *cuts, len(wire)])]
    assert decode(*pieces) == decode(sse(*ANSWER))


@pytest.mark.parametrize("framed", [sse, array])
def test_byte_by_byte(framed: Any) -> None:
    wire = framed(*ANSWER)
    assert decode(*(wire[at : at + 1] for at in range(len(wire)))) == decode(sse(*ANSWER))


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        sse(chunk({"text": "a"})),
        sse(chunk({"text": "a"}), {"usageMetadata": {"promptTokenCount": 1}}),
        array(chunk({"text": "a"}))[:-3],
        b"data: {broken\n\n",
        b"data: 5\n\n",
        b"[}",
        b"[{]}",
    ],
)
def test_a_stream_without_a_reason_to_end_is_broken(wire: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        decode(wire)


def test_sloppy_servers_are_borne_with() -> None:
    wire = b": keep-alive\n\n" + sse(
        {"candidates": None},
        {"candidates": [{"content": {"parts": None}}]},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": None}]},
        {"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED", "unknown": 1}]},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}]},
        {"candidates": [{"finishReason": "STOP"}]},
    )
    response = collect(decode(wire + b"data: [DONE]\n\n"))
    assert response.choices[0].parts == [Text(text="ab")]


def test_arguments_in_pieces_are_put_together() -> None:
    def piece(path: str, **value: Any) -> dict[str, Any]:
        pieces = [{"jsonPath": path, **value}]
        return {"functionCall": {"partialArgs": pieces, "willContinue": True}}

    events = decode(
        sse(
            chunk({"functionCall": {"name": "f", "id": "1", "willContinue": True}}),
            chunk(piece("$.city", stringValue="Par", willContinue=True)),
            chunk(piece("$.city", stringValue="is")),
            chunk(piece("$.days[0].n", numberValue=2)),
            chunk(piece("$['odd key']", boolValue=False)),
            chunk(piece("$.none", nullValue="NULL_VALUE")),
            chunk({"functionCall": {}}),
            chunk(finish="STOP"),
        )
    )
    (call,) = collect(events).choices[0].parts
    expected = '{"city":"Paris","days":[{"n":2}],"odd key":false,"none":null}'
    assert call == ToolCall(id="1", name="f", arguments=expected)


@pytest.mark.parametrize("path", ["", "$", "city", "$.a[7]", "$..", "$.a[0].b[0"])
def test_arguments_at_odd_places_are_broken(path: str) -> None:
    part = {"functionCall": {"name": "f", "partialArgs": [{"jsonPath": path, "numberValue": 1}]}}
    with pytest.raises(UpstreamBroken):
        decode(sse(chunk(part, finish="STOP")))


@pytest.mark.parametrize(
    "wire",
    [
        sse(chunk({"text": "a"}), {"error": {"code": 503, "status": "UNAVAILABLE"}}),
        array(chunk({"text": "a"}), {"error": {"code": 503, "status": "UNAVAILABLE"}}),
        sse(chunk({"text": "a"})) + b'{\n "error": {\n  "status": "UNAVAILABLE"\n }\n}\n',
    ],
)
def test_an_error_in_the_stream_is_raised(wire: bytes) -> None:
    with pytest.raises(UpstreamOverloaded):
        decode(wire)


def test_a_blocked_prompt_ends_the_stream() -> None:
    response = collect(decode(sse({"promptFeedback": {"blockReason": "SAFETY"}})))
    finish = response.choices[0].finish
    assert finish is not None
    assert (finish.reason, finish.raw) == (FinishReason.CONTENT_FILTER, "SAFETY")


def test_writing() -> None:
    wire = encoded(
        Start(id="r", model="m"),
        PartStart(0, Reasoning()),
        PartDelta(0, "hm"),
        PartDelta(0, "", FOREIGN),
        PartEnd(0),
        PartStart(1, Text(text="")),
        PartDelta(1, "a"),
        PartDelta(1, "b"),
        PartEnd(1),
        PartStart(2, ToolCall(id="c", name="f")),
        PartStart(3, ToolCall(id="d", name="g")),
        PartDelta(3, "{}"),
        PartDelta(2, '{"x":'),
        PartEnd(3),
        PartDelta(2, " 1}"),
        PartEnd(2),
        PartStart(4, Media(kind="image", media_type="image/png")),
        PartDelta(4, "AA"),
        PartDelta(4, "=="),
        PartEnd(4),
        UsageUpdate(Usage(input=1, output=2)),
        Finished(Finish(reason=FinishReason.TOOL_CALLS)),
    )
    thought, signature, first, second, call, other, image, last = parts_of(wire)
    assert thought == {"text": "hm", "thought": True}
    assert (signature["text"], signature["thought"]) == ("", True)
    assert unseal(signature["thoughtSignature"], "gemini_generate") == FOREIGN
    assert (first, second, last) == ({"text": "a"}, {"text": "b"}, {"text": ""})
    assert call == {"functionCall": {"id": "c", "name": "f", "args": {"x": 1}}}
    assert other == {"functionCall": {"id": "d", "name": "g", "args": {}}}
    assert image == {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    *before, end = chunks_of(wire)
    assert all("usageMetadata" not in one for one in before)
    assert all((one["responseId"], one["modelVersion"]) == ("r", "m") for one in [*before, end])
    assert end["candidates"][0]["finishReason"] == "STOP"
    assert end["usageMetadata"]["totalTokenCount"] == 3


def test_a_reason_is_always_written() -> None:
    wire = encoded(PartStart(0, Text(text="a")), PartStart(1, ToolCall(id="c", name="f")))
    assert chunks_of(wire)[-1]["candidates"][0]["finishReason"] == "STOP"
    assert {"functionCall": {"id": "c", "name": "f", "args": {}}} in parts_of(wire)
    assert chunks_of(encoded())[-1]["candidates"][0]["finishReason"] == "STOP"


def test_choices_do_not_wait_for_each_other() -> None:
    encoder = Encoder(request())
    assert encoder.feed(PartStart(0, Text(text=""), 0)) == b""
    assert b'"index":0' in encoder.feed(PartDelta(0, "a"))
    encoder.feed(PartStart(1, Text(text=""), 1))
    assert b'"index":1' in encoder.feed(PartDelta(1, "b"))
    last = chunks_of(encoder.finish())[-1]
    assert [candidate["index"] for candidate in last["candidates"]] == [0, 1]


def test_an_array_is_one_document() -> None:
    wire = encoded(PartStart(0, Text(text="a")), PartEnd(0), STOP, framing="json_array")
    first, last = json.loads(wire)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "a"}]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert collect(decode(wire)).choices[0].parts == [Text(text="a")]


def test_errors_in_either_framing() -> None:
    for framing in ("sse", "json_array"):
        encoder = PROTOCOL.stream_encoder(request(framing))
        wire = encoder.feed(PartStart(0, Text(text="a"))) + encoder.error(CreditExhausted("none"))
        error = (json.loads(wire) if framing == "json_array" else chunks_of(wire))[-1]["error"]
        assert (error["code"], error["status"]) == (402, "RESOURCE_EXHAUSTED")
        assert encoder.ping() == b""


def relay(framing: Any, *pieces: bytes) -> tuple[bytes, Response]:
    target = Target(model="m", stream=True, framing=framing)
    parsed = PROTOCOL.parse_request(b'{"contents":{"parts":{"text":"hi"}}}', target)
    flow = PROTOCOL.stream_relay(parsed, ORIGIN)
    out, events = b"", []
    for piece in pieces:
        data, seen = flow.feed(piece)
        out += data
        events += seen
    data, seen = flow.finish()
    assert flow.ended
    return out + data, collect([*events, *seen])


def test_relaying_changes_no_byte() -> None:
    wire = sse(*ANSWER)
    out, response = relay("sse", wire[:100], wire[100:])
    assert out == wire
    assert response == collect(decode(wire))


def test_relaying_leaves_out_what_googles_clients_cannot_read() -> None:
    out, _ = relay("sse", b": ping\n\n" + sse(*ANSWER) + b"data: [DONE]\n\n")
    assert out == sse(*ANSWER)


@pytest.mark.parametrize("framed", [sse, array])
def test_relaying_into_an_array(framed: Any) -> None:
    wire = framed(*ANSWER)
    out, response = relay("json_array", *(wire[at : at + 7] for at in range(0, len(wire), 7)))
    assert json.loads(out) == ANSWER
    assert response == collect(decode(wire))


def test_relaying_an_array_as_events() -> None:
    out, _ = relay("sse", array(*ANSWER))
    assert chunks_of(out) == ANSWER


def test_a_relayed_error_is_raised_after_what_came_before_it() -> None:
    parsed = PROTOCOL.parse_request(
        b'{"contents":{"parts":{"text":"hi"}}}', Target(model="m", stream=True)
    )
    flow = PROTOCOL.stream_relay(parsed, ORIGIN)
    before = sse(chunk({"text": "a"}))
    out, _ = flow.feed(before + sse({"error": {"code": 429, "message": "slow down"}}))
    assert out == before
    with pytest.raises(UpstreamRateLimited):
        flow.finish()
