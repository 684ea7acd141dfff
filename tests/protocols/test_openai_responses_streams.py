"""Event streams of the Responses API, from upstreams and to clients."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import (
    GatewayError,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
)
from dragoman.canonical.events import Event, Finished, PartDelta, PartEnd, PartStart, Start
from dragoman.canonical.parts import Media, Opaque, Reasoning, Text, ToolCall
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.base import Target, all_events
from dragoman.protocols.openai_responses import PROTOCOL
from tests.protocols.answer_strategies import splits

ID = "openai_responses"
ORIGIN = Origin(ID, "openai", "gpt-5.6")
FIXTURES = Path(__file__).parents[1] / "fixtures" / ID
STREAM = (FIXTURES / "stream.sse").read_bytes()
WHOLE = PROTOCOL.decode_response((FIXTURES / "response.json").read_bytes(), ORIGIN)
PARSED = PROTOCOL.parse_request(
    b'{"model":"m","input":"hi","tools":[{"type":"custom","name":"free"}]}', Target()
)
REQUEST = PROTOCOL.decode_request(PARSED)


def decode(*chunks: bytes) -> list[Event]:
    return all_events(PROTOCOL.stream_decoder(ORIGIN), chunks)


def framed(*events: dict[str, Any], named: bool = True) -> bytes:
    out = b""
    for event in events:
        name = f"event: {event['type']}\n".encode() if named else b""
        out += name + b"data: " + json.dumps(event).encode() + b"\n\n"
    return out


def encode(events: Iterable[Event]) -> list[dict[str, Any]]:
    """The events that a client reads; their names, types and numbers must agree."""
    encoder = PROTOCOL.stream_encoder(REQUEST)
    wire = b"".join([*(encoder.feed(event) for event in events), encoder.finish()])
    return unframed(wire)


def unframed(wire: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for block in wire.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def wire_events() -> list[dict[str, Any]]:
    blocks = STREAM.decode().strip().split("\n\n")
    return [json.loads(block.split("data: ")[1]) for block in blocks]


CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
DONE = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "status": "completed",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a":1}',
}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm"}],
    "encrypted_content": "gAAAA",
}


def test_a_stream_says_what_the_whole_answer_says() -> None:
    assert collect(decode(STREAM)) == WHOLE


@given(data=st.data())
def test_any_split_gives_the_same_events(data: st.DataObject) -> None:
    assert decode(*data.draw(splits(STREAM))) == decode(STREAM)


def test_calls_grow_beside_each_other() -> None:
    deltas = [event.index for event in decode(STREAM) if isinstance(event, PartDelta)]
    assert any(a != b and a == c for a, b, c in zip(deltas, deltas[1:], deltas[2:], strict=False))


@pytest.mark.parametrize("item", [MESSAGE, CALL, THOUGHT])
@pytest.mark.parametrize("sloppiness", ["done", "added", "completed", "unnumbered", "unnamed"])
def test_what_deltas_left_out_is_made_good_once(item: dict[str, Any], sloppiness: str) -> None:
    whole = {**DONE["response"], "output": [item]}  # type: ignore[dict-item]
    finished = {"type": "response.output_item.done", "output_index": 0, "item": item}
    completed = {"type": "response.completed", "response": whole}
    match sloppiness:
        case "done":
            events = [CREATED, finished, completed]
        case "added":
            events = [
                CREATED,
                {**finished, "type": "response.output_item.added"},
                finished,
                completed,
            ]
        case "completed":
            events = [completed]
        case "unnumbered":
            del finished["output_index"]
            events = [CREATED, {**finished, "type": "response.output_item.added"}, finished, DONE]
        case _:
            events = [CREATED, finished, DONE]
    got = collect(decode(framed(*events, named=sloppiness != "unnamed")))
    wanted = PROTOCOL.decode_response(json.dumps(whole).encode(), ORIGIN)
    assert got.choices[0].parts == wanted.choices[0].parts
    assert got.choices[0].finish == wanted.choices[0].finish


def test_done_events_stand_in_for_deltas() -> None:
    where = {"output_index": 0, "content_index": 0}
    call = {**CALL, "arguments": ""}
    got = collect(
        decode(
            framed(
                CREATED,
                {"type": "response.output_text.done", **where, "text": "Hello"},
                {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
                {"type": "response.output_item.added", "output_index": 1, "item": call},
                {
                    "type": "response.function_call_arguments.done",
                    "output_index": 1,
                    "arguments": '{"a":1}',
                },
                {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": ""},
                {"type": "response.output_item.done", "output_index": 1, "item": CALL},
                DONE,
            )
        )
    )
    text, made = got.choices[0].parts
    assert isinstance(text, Text)
    assert text.text == "Hello"
    assert isinstance(made, ToolCall)
    assert made.arguments == '{"a":1}'


def test_numbers_with_gaps_do_not_double_items() -> None:
    got = collect(
        decode(
            framed(
                CREATED,
                {"type": "response.output_item.added", "output_index": 0, "item": None},
                {"type": "response.output_item.done", "output_index": 1, "item": MESSAGE},
                {"type": "response.completed", "response": {"id": "resp_1", "output": [MESSAGE]}},
            )
        )
    )
    assert len(got.choices[0].parts) == 1


def test_open_parts_are_closed_at_the_end() -> None:
    added = {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**CALL, "arguments": ""},
    }
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"}
    events = decode(framed(CREATED, added, delta, DONE))
    kinds = [type(event) for event in events]
    assert kinds == [Start, PartStart, PartDelta, PartEnd, Finished]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.finish.reason is FinishReason.TOOL_CALLS


def test_items_that_all_have_the_same_number_do_not_run_into_each_other() -> None:
    added = {"type": "response.output_item.added", "output_index": 0}
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0}
    events: list[dict[str, Any]] = []
    for number in (1, 2):
        call = {**CALL, "id": f"fc_{number}", "call_id": f"call_{number}", "arguments": ""}
        events += [{**added, "item": call}, {**delta, "delta": f"{{{number}"}]
    got = collect(decode(framed(CREATED, *events, DONE)))
    calls = [part for part in got.choices[0].parts if isinstance(part, ToolCall)]
    assert [(call.id, call.arguments) for call in calls] == [("call_1", "{1"), ("call_2", "{2")]


def test_hosted_tools_may_fail_without_failing_the_answer() -> None:
    failed = {"type": "response.mcp_call.failed", "output_index": 0, "error": {"code": 500}}
    assert collect(decode(framed(CREATED, failed, DONE))).choices[0].finish is not None


def test_an_item_that_ended_otherwise_than_it_began() -> None:
    begun = {**MESSAGE, "status": "in_progress", "content": []}
    ended = {**MESSAGE, "status": "incomplete"}
    where = {"output_index": 0, "content_index": 0}
    incomplete = {
        "type": "response.incomplete",
        "response": {"id": "resp_1", "incomplete_details": {"reason": "max_output_tokens"}},
    }
    got = collect(
        decode(
            framed(
                CREATED,
                {"type": "response.output_item.added", "output_index": 0, "item": begun},
                {"type": "response.output_text.delta", **where, "delta": "Hello"},
                {"type": "response.output_item.done", "output_index": 0, "item": ended},
                incomplete,
            )
        )
    )
    (part,) = got.choices[0].parts
    assert part.extensions == {ID: {"_item": {"id": "msg_1", "status": "incomplete"}}}
    assert got.choices[0].finish == Finish(reason=FinishReason.LENGTH)


def test_the_tier_that_served_the_request_is_told() -> None:
    created = {"type": "response.created", "response": {"id": "resp_1", "service_tier": "auto"}}
    served = {"id": "resp_1", "status": "completed", "service_tier": "priority"}
    events = decode(framed(created, {"type": "response.completed", "response": served}))
    assert encode(events)[-1]["response"]["service_tier"] == "priority"


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, UpstreamRateLimited),
        ({"type": "error", "error": {"code": "server_error", "message": "x"}}, UpstreamFailed),
        ({"type": ["odd"]}, UpstreamBroken),
        ({"type": "response.output_item.added", "item": {"type": []}}, UpstreamBroken),
        ({"type": "", "error": {"message": "x", "type": "overloaded_error"}}, UpstreamOverloaded),
        (
            {
                "type": "response.failed",
                "response": {"error": {"code": "slow_down", "message": "x"}},
            },
            UpstreamOverloaded,
        ),
        ({"type": "response.failed", "response": {"status": "failed"}}, UpstreamFailed),
    ],
)
def test_errors_in_a_stream_are_raised(event: dict[str, Any], kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        decode(framed(CREATED, event))


@pytest.mark.parametrize("ending", [b"", b"data: [DONE]\n\n"])
def test_a_stream_without_its_terminal_event_is_broken(ending: bytes) -> None:
    finished = {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE}
    with pytest.raises(UpstreamBroken):
        decode(framed(CREATED, finished) + ending)


def test_the_relay_forwards_every_byte() -> None:
    relay = PROTOCOL.stream_relay(PARSED, ORIGIN)
    data, events = relay.feed(STREAM)
    assert data == STREAM
    assert relay.ended
    assert collect([*events, *relay.finish()[1]]) == WHOLE


def test_writing_a_stream_gives_the_upstreams_own() -> None:
    """Event for event, but for what only fills them up."""
    kept = [event for event in wire_events() if "web_search_call" not in event["type"]]
    written = encode(decode(STREAM))
    search = [event for event in written if event.get("output_index") == 1]
    assert [event["type"] for event in search] == [
        "response.output_item.added",
        "response.output_item.done",
    ]
    by_item = [[e["type"] for e in kept if e.get("output_index") == at] for at in range(6)]
    for at, types in enumerate(by_item):
        assert [e["type"] for e in written if e.get("output_index") == at] == types
    assert written[-1]["response"]["output"] == kept[-1]["response"]["output"]
    done = [event["item"] for event in written if event["type"] == "response.output_item.done"]
    assert sorted(done, key=str) == sorted(written[-1]["response"]["output"], key=str)


def test_a_stream_ends_with_the_whole_answer() -> None:
    final = encode(decode(STREAM))[-1]
    assert final["type"] == "response.completed"
    whole = json.loads(PROTOCOL.encode_response(WHOLE, REQUEST))
    assert final["response"] == whole


def test_a_foreign_stream() -> None:
    signature = Signature("sig", Origin("anthropic_messages"))
    parts = [
        Reasoning(text="Hm.", signature=signature),
        Text(text="One."),
        Text(text="Two."),
        ToolCall(id="c1", name="free", arguments='{"input":"text"}'),
        ToolCall(id="c2", name="f"),
        Media(kind="image", media_type="image/png", data="AAAA"),
        Opaque(protocol="anthropic_messages", value={}),
    ]
    finish = Finish(reason=FinishReason.LENGTH)
    response = Response(id="x", model="m", choices=[Choice(parts=parts, finish=finish)])
    written = encode(replay(response))
    assert written[-1]["type"] == "response.incomplete"
    assert written[-1]["response"] == json.loads(PROTOCOL.encode_response(response, REQUEST))
    deltas = {
        event["type"]: event["delta"] for event in written if event["type"].endswith(".delta")
    }
    assert deltas["response.custom_tool_call_input.delta"] == "text"
    assert deltas["response.function_call_arguments.delta"] == "{}"


def test_texts_may_interleave_with_calls() -> None:
    events: list[Event] = [
        Start(id="resp_1", model="m"),
        PartStart(0, Text(text="early ")),
        PartStart(1, ToolCall(id="c", name="f")),
        PartDelta(1, "{"),
        PartDelta(0, "late"),
        PartDelta(1, "}"),
        PartEnd(1),
        PartEnd(0),
        PartDelta(0, "never"),
    ]
    written = encode(events)
    message, call = written[-1]["response"]["output"]
    assert message["content"][0]["text"] == "early late"
    assert call["arguments"] == "{}"


def test_an_empty_stream_is_a_whole_one() -> None:
    written = encode([])
    assert [event["type"] for event in written] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert written[0]["response"]["id"] == written[2]["response"]["id"]


def test_only_the_first_choice_is_told() -> None:
    events: list[Event] = [Start(id="resp_1"), PartStart(0, Text(text="a"), choice=1), PartEnd(0)]
    assert encode(events)[-1]["response"]["output"] == []
