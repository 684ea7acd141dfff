"""Anthropic Messages: streams, decoded, encoded and relayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, APIStatusError
from anthropic.types import Message as SDKMessage

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import (
    InvalidRequest,
    UpstreamBroken,
    UpstreamOverloaded,
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
from dragoman.canonical.parts import Media, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.request import Message, Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.canonical.usage import Usage
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import Target, all_events

FIXTURES = Path(__file__).parent.parent / "fixtures" / "anthropic_messages"
STREAMS = {path.stem: path.read_bytes() for path in FIXTURES.glob("*.sse")}
EVERYTHING = STREAMS["stream_everything"]
ID = "anthropic_messages"
ORIGIN = Origin(ID, "anthropic", "claude-opus-5-5")
REQUEST = Request(model="alias", messages=[Message(role="user", parts=[Text(text="hi")])])


def events_of(*chunks: bytes) -> list[Event]:
    return all_events(PROTOCOL.stream_decoder(ORIGIN), chunks)


def frame(**data: Any) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def encoded(events: list[Event]) -> bytes:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    return b"".join(encoder.feed(event) for event in events) + encoder.finish()


def frames(stream: bytes) -> list[dict[str, Any]]:
    """The events of an encoded stream; each must be named as its data says."""
    found = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def accumulated(stream: bytes) -> SDKMessage:
    """What the official SDK makes of an encoded stream."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = Anthropic(api_key="k", http_client=http, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": "hi"}]
    with client.messages.stream(model="m", max_tokens=9, messages=messages) as answered:
        return answered.get_final_message()


def streamed(*parts: Part, **fields: Any) -> list[dict[str, Any]]:
    return frames(encoded(list(replay(Response(choices=[Choice(parts=list(parts))], **fields)))))


def test_a_collected_stream_equals_the_whole_answer() -> None:
    whole = PROTOCOL.decode_response((FIXTURES / "response_everything.json").read_bytes(), ORIGIN)
    assert collect(events_of(EVERYTHING)) == whole


@pytest.mark.parametrize("name", STREAMS)
def test_any_split_of_the_bytes_gives_the_same_events(name: str) -> None:
    stream = STREAMS[name]
    expected = events_of(stream)
    assert events_of(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    for cut in range(0, len(stream), 7):
        assert events_of(stream[:cut], stream[cut:]) == expected


def test_text_leaves_as_it_comes() -> None:
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    seen: list[Event] = []
    for value in frames(EVERYTHING):
        seen += decoder.feed(frame(**value))
        if value["type"] == "content_block_delta" and value["delta"].get("text") == "It ":
            assert seen[-1] == PartDelta(2, "It ")
    assert decoder.ended
    assert seen[0] == Start(
        id="msg_01",
        model="claude-opus-5-5-20260901",
        service_tier="default",
        extensions={ID: {"diagnostics": {"cache_miss_reason": {"type": "unavailable"}}}},
    )
    assert seen[1] == UsageUpdate(
        Usage(input=20, cache_read=1000, cache_write_5m=100, cache_write_1h=200, output=1)
    )
    assert isinstance(seen[-1], Finished)


def test_sloppy_servers_are_read() -> None:
    events = events_of(STREAMS["stream_sloppy"])
    response = collect(events)
    assert response.choices[0].parts == [
        Text(text="Hello"),
        Reasoning(text="hm"),
        ToolCall(id="toolu_9", name="f", arguments='{"a":1}'),
    ]
    assert response.choices[0].finish == Finish(reason=FinishReason.TOOL_CALLS)
    assert response.usage == Usage(input=3, output=4)
    ends = [index for index, event in enumerate(events) if isinstance(event, PartEnd)]
    assert len(ends) == 3
    assert isinstance(events[-1], Finished)


def test_an_opaque_block_grows_and_comes_whole() -> None:
    (part,) = collect(events_of(STREAMS["stream_compaction"])).choices[0].parts
    assert part == Opaque(
        protocol=ID,
        value={"type": "compaction", "content": "Long story.", "encrypted_content": "Eq9"},
    )


def test_a_call_without_arguments_has_empty_ones() -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    events = events_of(
        frame(type="content_block_start", index=0, content_block=block),
        frame(type="content_block_stop", index=0),
        frame(type="message_stop"),
    )
    assert collect(events).choices[0].parts == [ToolCall(id="a", name="f", arguments="{}")]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": ping\n\n",
        EVERYTHING[: EVERYTHING.index(b"event: message_delta")],
        STREAMS["stream_sloppy"][:90],
        frame(type="message_start", message={"id": "a"}) + b"data: [DONE]\n\n",
    ],
)
def test_a_stream_that_is_cut_short_is_broken(stream: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        events_of(stream)


def test_a_stop_reason_at_a_clean_end_is_enough() -> None:
    without_stop = EVERYTHING[: EVERYTHING.index(b"event: message_stop")]
    assert events_of(without_stop) == events_of(EVERYTHING)
    without_delta = frame(type="message_start", message={"id": "a"}) + frame(type="message_stop")
    assert events_of(without_delta)[-1] == Finished(Finish(reason=FinishReason.STOP))


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        frame(type="content_block_delta", index="0", delta={}),
        frame(type="content_block_delta", index=0, delta={"type": "text_delta", "text": 5}),
        frame(type="message_start", message=5),
        frame(type="message_start"),
        frame(type="content_block_start", index=0),
        frame(type="content_block_start", index=0, content_block={"type": "tool_use"}),
        frame(type="message_delta", delta={"stop_reason": 5}),
    ],
)
def test_nonsense_is_broken(stream: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        events_of(stream)


def test_an_error_in_the_stream_is_raised() -> None:
    error = {"type": "overloaded_error", "message": "Overloaded"}
    for stream in (
        b"event: error\n" + frame(type="error", error=error),
        frame(error=error),
        b"event: error\n" + frame(error=error),
    ):
        with pytest.raises(UpstreamOverloaded, match="Overloaded"):
            events_of(stream)


def test_the_sdk_reads_what_the_encoder_writes() -> None:
    message = accumulated(encoded(events_of(EVERYTHING)))
    assert (message.id, message.stop_reason) == ("msg_01", "tool_use")
    thinking, redacted, _, cited, search, found, call = message.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, thinking.signature) == ("Which city?", "EqQBCgIYAhIM")
    assert redacted.type == "redacted_thinking"
    assert cited.type == "text"
    assert cited.citations is not None
    assert len(cited.citations) == 1
    assert search.type == "server_tool_use"
    assert search.input == {"query": "weather"}
    assert found.type == "web_search_tool_result"
    assert call.type == "tool_use"
    assert call.input == {"city": "Paris"}
    assert message.usage.input_tokens == 20
    assert message.usage.output_tokens == 50
    assert message.usage.cache_read_input_tokens == 1000
    assert message.container is not None


def test_an_encoded_stream_decodes_to_the_same_answer() -> None:
    for stream in STREAMS.values():
        answer = collect(events_of(stream))
        again = collect(events_of(encoded(list(replay(answer)))))
        again.id = answer.id  # an answer without an id is given one
        again.model = answer.model
        assert again == answer


def test_the_order_of_events() -> None:
    kinds = [
        value["type"]
        for value in streamed(Text(text="a"), ToolCall(id="c", name="f", arguments="{}"))
    ]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", *block, *block, "message_delta", "message_stop"]


def test_the_start_tells_the_input_tokens_once_known() -> None:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    assert encoder.feed(Start(id="r", model="gpt")) == b""
    assert encoder.feed(UsageUpdate(Usage(input=7))) == b""
    assert encoder.ping() == b'event: ping\ndata: {"type": "ping"}\n\n'
    start, block = frames(encoder.feed(PartStart(0, Text(text=""))))
    assert start["message"]["usage"]["input_tokens"] == 7
    assert (start["message"]["id"], start["message"]["model"]) == ("r", "gpt")
    assert block == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    }
    assert frames(encoder.feed(PartDelta(0, "é\n"))) == [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "é\n"}}
    ]


def test_parts_that_overlap_are_written_one_after_another() -> None:
    events: list[Event] = [
        Start(),
        PartStart(0, ToolCall(id="a", name="f")),
        PartStart(1, ToolCall(id="b", name="g")),
        PartDelta(1, '{"b":'),
        PartDelta(0, '{"a":1}'),
        PartDelta(1, "2}"),
        PartEnd(1),
        PartEnd(0),
        Finished(Finish(reason=FinishReason.STOP)),
    ]
    message = accumulated(encoded(events))
    assert [block.input for block in message.content] == [{"a": 1}, {"b": 2}]  # type: ignore[union-attr]
    assert message.stop_reason == "tool_use"


def test_what_is_left_open_is_closed_and_always_finished() -> None:
    values = frames(encoded([Start(), PartStart(0, Text(text="")), PartDelta(0, "a")]))
    assert [value["type"] for value in values][-3:] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert values[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert [value["type"] for value in frames(encoded([]))] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]


def test_signatures_come_at_the_end_of_thinking_and_before_a_signed_call() -> None:
    gemini = Signature("CtYB", Origin("gemini_generate", "gemini", "g"))
    values = streamed(
        Reasoning(text="hm", signature=Signature("Eq", ORIGIN)),
        Reasoning(redacted=True, signature=Signature("Em", ORIGIN)),
        ToolCall(id="c", name="f", arguments="{}", signature=gemini),
    )
    starts = [v["content_block"] for v in values if v["type"] == "content_block_start"]
    assert starts == [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "redacted_thinking", "data": "Em"},
        {"type": "redacted_thinking", "data": seal(gemini)},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ]
    assert [v["index"] for v in values if v["type"] == "content_block_start"] == [0, 1, 2, 3]
    deltas = [v["delta"] for v in values if v["type"] == "content_block_delta" and v["index"] == 0]
    assert deltas == [
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "Eq"},
    ]


def test_parts_without_a_block_are_shown_as_text_or_not_at_all() -> None:
    values = streamed(
        Refusal(text="No."),
        Media(kind="image", media_type="image/png", data="AAAA"),
        Opaque(protocol="openai_responses", value={"type": "web_search_call"}),
        ToolCall(id="c", name="f", arguments="print(1)", custom=True),
    )
    deltas = [v["delta"] for v in values if v["type"] == "content_block_delta"]
    assert deltas == [
        {"type": "text_delta", "text": "No."},
        {"type": "text_delta", "text": "![image](data:image/png;base64,AAAA)"},
        {"type": "input_json_delta", "partial_json": '{"input":"print(1)"}'},
    ]
    assert streamed(Refusal(text="No."))[-2]["delta"]["stop_reason"] == "refusal"


def test_only_the_first_choice_is_shown() -> None:
    second = [PartStart(1, Text(text="x"), 1), PartDelta(1, "y"), PartEnd(1)]
    finished = [Finished(Finish(reason=FinishReason.LENGTH), 1)]
    values = frames(
        encoded([Start(), *second, *finished, Finished(Finish(reason=FinishReason.STOP))])
    )
    assert [value["type"] for value in values] == ["message_start", "message_delta", "message_stop"]
    assert values[1]["delta"]["stop_reason"] == "end_turn"


def test_the_sdk_raises_on_an_error_in_the_stream() -> None:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    (value,) = frames(encoder.error(InvalidRequest("bad", param="messages.0")))
    assert value == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "messages.0: bad"},
    }
    started = encoder.feed(Start()) + encoder.feed(PartStart(0, Text(text="a")))
    for stream in (b"", started):
        with pytest.raises(APIStatusError, match="bad"):
            accumulated(stream + encoder.ping() + encoder.error(InvalidRequest("messages.0: bad")))


def relayed(*chunks: bytes) -> tuple[bytes, list[Event]]:
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
    relay = PROTOCOL.stream_relay(PROTOCOL.parse_request(body, Target()), ORIGIN)
    out, events = b"", []
    for chunk in chunks:
        data, seen = relay.feed(chunk)
        out, events = out + data, events + seen
    data, seen = relay.finish()
    return out + data, events + seen


def test_a_relayed_stream_is_untouched() -> None:
    chunks = [EVERYTHING[i : i + 50] for i in range(0, len(EVERYTHING), 50)]
    assert relayed(*chunks) == (EVERYTHING, events_of(EVERYTHING))


def test_a_relayed_stream_is_given_the_event_names_its_client_needs() -> None:
    out, events = relayed(STREAMS["stream_sloppy"])
    assert events == events_of(STREAMS["stream_sloppy"])
    assert out.startswith(b": keep-alive\r\n\r\nevent: content_block_start\ndata: {")
    assert out.count(b"event: ") == 6
    assert b"[DONE]" not in out
    with pytest.raises(UpstreamBroken):
        relayed(EVERYTHING[:300])
