"""Streams from upstreams, tidy and sloppy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
)
from dragoman.canonical.events import Event, Finished, PartDelta, PartEnd, PartStart, UsageUpdate
from dragoman.canonical.parts import Media, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.response import Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import all_events
from dragoman.protocols.openai_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_chat"
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))
ORIGIN = Origin("openai_chat", "openrouter", "m")


def events_of(data: bytes) -> list[Event]:
    return all_events(PROTOCOL.stream_decoder(ORIGIN), [data])


def recorded(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def sse(*chunks: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def delta(finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": fields, "finish_reason": finish}
    return {"id": "r", "model": "m", "created": 1, "choices": [choice]}


def call(index: int | None = None, **fields: Any) -> dict[str, Any]:
    at = {} if index is None else {"index": index}
    return delta(tool_calls=[{**at, **fields}])


def function(name: str | None = None, arguments: Any = None) -> dict[str, Any]:
    said = {"name": name, "arguments": arguments}
    return {field: value for field, value in said.items() if value is not None}


def collected(*chunks: Any, done: bool = True) -> Response:
    return collect(events_of(sse(*chunks, done=done)))


def parts_of(*chunks: Any) -> list[Part]:
    return collected(*chunks, delta("stop")).choices[0].parts


def calls_of(*chunks: Any) -> list[tuple[str, str]]:
    return [(p.name, p.arguments) for p in parts_of(*chunks) if isinstance(p, ToolCall)]


def test_a_recorded_stream_says_what_the_whole_answer_says() -> None:
    whole = PROTOCOL.decode_response(recorded("response.json"), ORIGIN)
    streamed = collect(events_of(recorded("stream.sse")))
    assert whole.extensions is not None
    del whole.extensions["openai_chat"]["usage"]  # the last chunk comes when the head has left
    assert streamed == whole


def test_a_recorded_stream_of_openrouter() -> None:
    response = collect(events_of(recorded("stream_openrouter.sse")))
    format = {"openai_chat": {"format": "anthropic-claude-v1"}}
    proof = Signature("c2ln", ORIGIN)
    assert response.choices[0].parts == [
        Reasoning(text="Let me", signature=proof, extensions=format),
        Reasoning(redacted=True, signature=Signature("ZW5j", ORIGIN)),
        Text(text="Here"),
        Media(kind="image", media_type="image/png", data="iVBORw0KGgo="),
    ]
    assert response.choices[0].finish == Finish(reason=FinishReason.STOP, raw="end_turn")
    assert response.usage == Usage(
        input=4, cache_read=2, cache_write_5m=4, output=2, output_image=3
    )


def test_interleaved_calls_and_choices() -> None:
    response = collect(events_of(recorded("stream_interleaved.sse")))
    assert response.choices[0].parts == [
        ToolCall(id="call_a", name="f", arguments='{"x":1}'),
        ToolCall(id="call_b", name="g", arguments='{"y":2}'),
    ]
    assert response.choices[1].parts == [Text(text="second")]
    assert [choice.finish for choice in response.choices] == [
        Finish(reason=FinishReason.TOOL_CALLS),
        Finish(reason=FinishReason.LENGTH),
    ]


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_any_split_gives_the_same_events(name: str, data: st.DataObject) -> None:
    wire = recorded(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=20)))
    chunks = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert all_events(PROTOCOL.stream_decoder(ORIGIN), chunks) == events_of(wire)
    assert events_of(wire.replace(b"\n", b"\r\n")) == events_of(wire)


@pytest.mark.parametrize("name", STREAMS)
def test_every_part_ends_before_the_finish(name: str) -> None:
    open_parts: set[int] = set()
    for event in events_of(recorded(name)):
        match event:
            case PartStart():
                open_parts.add(event.index)
            case PartDelta():
                assert event.index in open_parts
            case PartEnd():
                open_parts.remove(event.index)
    assert open_parts == set()


def test_calls_without_index_or_id() -> None:
    whole = [
        call(function=function("f", '{"a":1}')),
        call(function=function("g", {"b": 2})),
    ]
    assert calls_of(*whole) == [("f", '{"a":1}'), ("g", '{"b":2}')]
    ids = [part.id for part in parts_of(*whole) if isinstance(part, ToolCall)]
    assert len(set(ids)) == 2
    assert all(ids)
    pieces = [call(id="x", function=function("f", "{")), call(function=function(None, "}"))]
    assert calls_of(*pieces) == [("f", "{}")]


def test_calls_that_share_an_index() -> None:
    """Google's compatible endpoint: every parallel call has index 0 and an id of its own."""
    assert calls_of(
        call(0, id="x", function=function("f", "{}")),
        call(0, id="y", function=function("f", '{"b":1}')),
    ) == [("f", "{}"), ("f", '{"b":1}')]


def test_ids_that_change_with_every_piece() -> None:
    assert calls_of(
        call(0, id="x1", function=function("f", '{"a"')),
        call(0, id="x2", function=function(None, ":1}")),
    ) == [("f", '{"a":1}')]


def test_a_name_that_is_repeated() -> None:
    assert calls_of(
        call(0, id="x", function=function("f", '{"a"')),
        call(0, id="x", function=function("f", ":1}")),
    ) == [("f", '{"a":1}')]


def test_a_name_that_comes_late() -> None:
    assert calls_of(
        call(0, id="x", type="function"),
        call(0, function=function(None, '{"a"')),
        call(0, function=function("f", ":1}")),
    ) == [("f", '{"a":1}')]


def test_an_empty_piece_after_the_last_is_no_call() -> None:
    assert calls_of(
        call(0, id="x", function=function("f", "{}")), call(1, function=function(None, ""))
    ) == [("f", "{}")]


def test_the_old_function_call() -> None:
    response = collected(
        delta(function_call=function("f", "")),
        delta(function_call=function(None, "{}")),
        delta("function_call"),
    )
    assert response.choices[0].finish == Finish(reason=FinishReason.TOOL_CALLS)
    (part,) = response.choices[0].parts
    assert isinstance(part, ToolCall)
    assert (part.name, part.arguments) == ("f", "{}")


def test_custom_calls_and_thought_signatures() -> None:
    custom, signed = parts_of(
        call(0, id="c", type="custom", custom={"name": "run", "input": "l"}),
        call(0, custom={"input": "s"}),
        call(
            1,
            id="d",
            function=function("f", "{}"),
            extra_content={"google": {"thought_signature": "c2ln"}},
        ),
    )
    assert custom == ToolCall(id="c", name="run", arguments="ls", custom=True)
    assert isinstance(signed, ToolCall)
    assert signed.signature == Signature("c2ln", ORIGIN)


def test_other_deltas() -> None:
    assert parts_of(
        delta(reasoning="a"),
        delta(reasoning_content="b", reasoning=None),
        delta(content="x"),
        delta(refusal="no"),
        delta(audio={"id": "a1", "data": "AA"}),
        delta(audio={"data": "BB", "transcript": "hel"}),
        delta(audio={"transcript": "lo", "expires_at": 9}),
    ) == [
        Reasoning(text="ab"),
        Text(text="x"),
        Refusal(text="no"),
        Media(
            kind="audio",
            data="AABB",
            extensions={"openai_chat": {"id": "a1", "transcript": "hello", "expires_at": 9}},
        ),
    ]


def test_content_as_parts() -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]
    assert parts_of(
        delta(content=thinking), delta(content=[{"type": "text", "text": "a"}]), delta(content="b")
    ) == [Reasoning(text="t"), Text(text="ab")]


def test_logprobs_travel_with_their_text() -> None:
    chunk = delta(content="a")
    chunk["choices"][0]["logprobs"] = {"content": [{"token": "a"}]}
    again = delta(reasoning_content=None)
    again["choices"][0]["logprobs"] = {"content": [{"token": "b"}]}
    response = collected(chunk, again, delta("stop"))
    assert response.choices[0].logprobs == [{"token": "a"}, {"token": "b"}]


def test_logprobs_that_come_alone() -> None:
    chunk = delta()
    chunk["choices"][0]["logprobs"] = {"content": [{"token": "a"}]}
    for before in ([], [call(0, id="x", function=function("f", "{}"))]):
        response = collected(*before, chunk, delta("stop"))
        assert response.choices[0].logprobs == [{"token": "a"}]


def test_a_signature_after_the_call_has_begun() -> None:
    (part,) = parts_of(
        call(0, id="x", function=function("f", "{}")),
        call(0, extra_content={"google": {"thought_signature": "c2ln"}}),
    )
    assert isinstance(part, ToolCall)
    assert part.signature == Signature("c2ln", ORIGIN)


def test_a_call_that_never_gets_a_name_keeps_its_arguments() -> None:
    assert calls_of(call(0, id="x", function=function(None, "{}"))) == [("", "{}")]


def test_a_proof_ends_the_thought() -> None:
    def thought(**fields: Any) -> dict[str, Any]:
        return delta(reasoning_details=[{"type": "reasoning.text", **fields}])

    one, two = parts_of(thought(text="a", signature="c2ln"), thought(text="b", signature="c2ln"))
    proof = Signature("c2ln", ORIGIN)
    assert one == Reasoning(text="a", signature=proof)
    assert two == Reasoning(text="b", signature=proof)
    # A gateway like this one tells the thought again with its proof.
    (told,) = parts_of(delta(reasoning_content="ab"), thought(text="ab", signature="c2ln"))
    assert told == Reasoning(text="ab", signature=proof)


def test_comments_empty_data_and_null_deltas() -> None:
    nothing = {"id": "r", "model": "m", "choices": [{"index": 0, "delta": None}]}
    data = b": ping\n\ndata:\n\n" + sse({"choices": []}, nothing, delta(content="x"), delta("stop"))
    assert collect(events_of(data)).choices[0].parts == [Text(text="x")]


def test_the_head_comes_from_the_first_chunk_with_an_answer() -> None:
    """Azure begins with an empty chunk about its content filter."""
    empty = {"id": "", "model": "", "choices": [], "prompt_filter_results": []}
    response = collected(empty, {**delta(content="x"), "provider": "P"}, delta("stop"))
    assert (response.id, response.model, response.created) == ("r", "m", 1)
    assert response.extensions == {"openai_chat": {"provider": "P"}}


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {**delta(content="x"), "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        {**delta(), "x_groq": {"id": "q", "usage": {"prompt_tokens": 3, "completion_tokens": 2}}},
        {
            "choices": [
                {"index": 0, "delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
            ]
        },
    ],
)
def test_wherever_the_usage_is(chunk: dict[str, Any]) -> None:
    assert collected(delta(content="x"), chunk, delta("stop")).usage == Usage(input=3, output=2)


def test_usage_that_is_repeated_is_told_once() -> None:
    chunk = {**delta(content="x"), "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    events = events_of(sse(chunk, chunk, delta("stop")))
    assert sum(isinstance(event, UsageUpdate) for event in events) == 1


def test_a_finish_reason_repeated_or_early() -> None:
    response = collected(delta("stop", content="a"), delta("stop", content="b"), delta("length"))
    assert response.choices[0].parts == [Text(text="ab")]
    assert response.choices[0].finish == Finish(reason=FinishReason.LENGTH)


def test_the_end_without_done() -> None:
    assert collected(delta("stop", content="a"), done=False).choices[0].parts == [Text(text="a")]
    with pytest.raises(UpstreamBroken):
        collected(delta(content="a"), done=False)
    with pytest.raises(UpstreamBroken):
        events_of(b"")
    with pytest.raises(UpstreamBroken):
        events_of(b"data: [DONE]\n\n")


def test_done_without_a_finish_reason() -> None:
    events = events_of(sse(delta(content="a")))
    assert events[-1] == Finished(Finish(reason=FinishReason.STOP))
    events = events_of(sse(call(0, id="x", function=function("f", "{}"))))
    assert events[-1] == Finished(Finish(reason=FinishReason.TOOL_CALLS))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (sse({"error": {"message": "x", "code": 429}}), UpstreamRateLimited),
        (sse({"error": {"message": "x", "type": "overloaded_error"}}), UpstreamOverloaded),
        (sse({"error": "oops", "error_type": "generation"}), UpstreamFailed),
        (sse([{"error": {"code": 503, "message": "x"}}]), UpstreamOverloaded),
        (b'event: error\ndata: {"message": "x"}\n\n', UpstreamFailed),
        (sse({**delta(), "choices": [{"error": {"code": 502, "message": "x"}}]}), UpstreamFailed),
        (sse({"base_resp": {"status_code": 1002, "status_msg": "x"}}), UpstreamRateLimited),
        (b"data: oops\n\n", UpstreamBroken),
        (sse({"choices": {}}), UpstreamBroken),
        (sse(delta(content=3)), UpstreamBroken),
        (sse(delta(images=[{"image_url": 3}])), UpstreamBroken),
    ],
)
def test_errors_within_the_stream(data: bytes, error: type[UpstreamError]) -> None:
    with pytest.raises(error):
        events_of(sse(delta(content="a"), done=False) + data)


def test_nothing_is_read_after_the_end() -> None:
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    decoder.feed(sse(delta("stop", content="a")))
    assert decoder.ended
    assert decoder.feed(sse(delta(content="b"))) == []
    assert decoder.finish() == []
