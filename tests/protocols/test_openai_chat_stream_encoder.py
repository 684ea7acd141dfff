"""Streams for clients, read back by the official SDK's own stream helper."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk, ParsedChatCompletion

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import UpstreamFailed
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
from dragoman.canonical.request import ReasoningConfig, Request, StreamOptions, Tool
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.canonical.usage import Usage
from dragoman.protocols.openai_chat import PROTOCOL

REQUEST = Request(model="asked-for", messages=[])
HEAD = Start(id="r", model="m", created=7)
STOP = Finish(reason=FinishReason.STOP)
FOREIGN = Signature("c2ln", Origin("anthropic_messages", "anthropic", "claude"))


def chunks(events: list[Event], request: Request = REQUEST) -> list[dict[str, Any]]:
    """What the client gets, without the final ``[DONE]``."""
    encoder = PROTOCOL.stream_encoder(request)
    data = b"".join([encoder.feed(event) for event in events]) + encoder.finish()
    lines = data.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def deltas(events: list[Event], request: Request = REQUEST) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks(events, request)]


def understood(wire: list[dict[str, Any]]) -> ParsedChatCompletion[None]:
    """The answer that the SDK makes of the chunks, each of which it must find valid."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in wire:
        list(state.handle_chunk(ChatCompletionChunk.model_validate(chunk)))
    return state.get_final_completion()


def streamed(*parts: Part, request: Request = REQUEST) -> Any:
    response = Response(id="r", model="m", choices=[Choice(parts=list(parts), finish=STOP)])
    message: Any = understood(chunks(list(replay(response)), request)).choices[0].message
    return message


def test_text_live() -> None:
    wire = chunks(
        [
            HEAD,
            PartStart(0, Text(text="")),
            PartDelta(0, "Hel"),
            PartDelta(0, "lo"),
            PartEnd(0),
            Finished(STOP),
        ]
    )
    assert [chunk["choices"][0]["delta"] for chunk in wire] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in wire] == [None, None, None, "stop"]
    heads = {(c["id"], c["object"], c["created"], c["model"]) for c in wire}
    assert heads == {("r", "chat.completion.chunk", 7, "m")}
    assert understood(wire).choices[0].message.content == "Hello"


def test_parallel_calls_live() -> None:
    wire = chunks(
        [
            HEAD,
            PartStart(0, ToolCall(id="a", name="f")),
            PartStart(1, ToolCall(id="b", name="g")),
            PartDelta(1, '{"y"'),
            PartDelta(0, '{"x"'),
            PartDelta(1, ":2}"),
            PartDelta(0, ":1}", signature=FOREIGN),
            PartEnd(0),
            PartEnd(1),
        ]
    )
    assert wire[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    completion = understood(wire)
    calls = completion.choices[0].message.tool_calls
    assert calls is not None
    assert [(c.id, c.function.name, c.function.arguments) for c in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", '{"y":2}'),
    ]
    assert completion.choices[0].finish_reason == "tool_calls"
    signed = calls[0].model_dump()["extra_content"]
    assert signed == {"google": {"thought_signature": seal(FOREIGN)}}


def test_two_choices() -> None:
    wire = chunks(
        [
            HEAD,
            PartStart(0, Text(text=""), 0),
            PartStart(1, Text(text=""), 1),
            PartDelta(1, "b"),
            PartDelta(0, "a"),
            Finished(STOP, 1),
        ]
    )
    completion = understood(wire)
    assert [choice.message.content for choice in completion.choices] == ["a", "b"]
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]


def test_reasoning_and_its_proof() -> None:
    message = streamed(
        Reasoning(text="one", signature=FOREIGN),
        Reasoning(redacted=True, signature=FOREIGN),
        Reasoning(text="two", signature=FOREIGN),
        Text(text="x"),
    )
    assert message.content == "x"
    assert message.reasoning_content == "onetwo"
    proof = seal(FOREIGN)
    assert message.reasoning_details == [
        {"type": "reasoning.text", "text": "one", "signature": proof, "index": 0},
        {"type": "reasoning.encrypted", "data": proof, "index": 1},
        {"type": "reasoning.text", "text": "two", "signature": proof, "index": 2},
    ]


def test_unproved_reasoning_is_text_alone() -> None:
    events: list[Event] = [PartStart(0, Reasoning()), PartDelta(0, "t"), PartEnd(0)]
    assert deltas(events)[1:-1] == [{"reasoning_content": "t"}]


def test_reasoning_that_the_client_excluded() -> None:
    request = Request(model="m", messages=[], reasoning=ReasoningConfig(visible=False))
    message = streamed(Reasoning(text="t", signature=FOREIGN), Text(text="x"), request=request)
    assert message.model_extra == {}


def test_pictures_sound_refusals_and_details() -> None:
    own = {"openai_chat": {"id": "a1", "transcript": "hello", "expires_at": 9}}
    detail = Opaque(protocol="openai_chat", value={"type": "reasoning.dream", "v": 1})
    message = streamed(
        detail,
        Refusal(text="no"),
        Media(kind="image", media_type="image/png", data="AA=="),
        Media(kind="image", url="https://e/x"),
        Media(kind="audio", data="BB==", extensions=own),
    )
    assert message.refusal == "no"
    assert [image["image_url"]["url"] for image in message.images] == [
        "data:image/png;base64,AA==",
        "https://e/x",
    ]
    assert message.audio.model_dump() == {
        "id": "a1",
        "data": "BB==",
        "transcript": "hello",
        "expires_at": 9,
    }
    assert message.reasoning_details == [{"type": "reasoning.dream", "v": 1, "index": 0}]


def test_sound_live() -> None:
    def heard(transcript: str) -> dict[str, dict[str, Any]]:
        return {"openai_chat": {"id": "a1", "expires_at": 9, "transcript": transcript}}

    wire = chunks(
        [
            PartStart(0, Media(kind="audio", data="")),
            PartDelta(0, "AA", extensions=heard("hel")),
            PartDelta(0, "BB", extensions=heard("hello")),
            PartEnd(0),
        ]
    )
    message: Any = understood(wire).choices[0].message
    assert (message.audio.id, message.audio.data) == ("a1", "AABB")
    assert (message.audio.transcript, message.audio.expires_at) == ("hello", 9)


def test_a_picture_in_pieces() -> None:
    picture = Media(kind="image", media_type="image/png", data="")
    wire = deltas([PartStart(0, picture), PartDelta(0, "AA"), PartDelta(0, "=="), PartEnd(0)])
    (image,) = wire[1]["images"]
    assert image["image_url"] == {"url": "data:image/png;base64,AA=="}


def test_a_proof_that_comes_last() -> None:
    wire = deltas(
        [PartStart(0, Reasoning()), PartDelta(0, "t"), PartDelta(0, signature=FOREIGN), PartEnd(0)]
    )
    detail = {"type": "reasoning.text", "text": "t", "signature": seal(FOREIGN), "index": 0}
    assert wire[1:3] == [{"reasoning_content": "t"}, {"reasoning_details": [detail]}]


def test_a_call_to_a_custom_tool_comes_back_as_one() -> None:
    request = Request(model="m", messages=[], tools=[Tool(name="run", kind="custom")])
    events: list[Event] = [
        PartStart(0, ToolCall(id="c", name="run")),
        PartDelta(0, '{"input":'),
        PartDelta(0, '"ls -l"}'),
        PartEnd(0),
    ]
    assert deltas(events, request)[1:-1] == [
        {
            "tool_calls": [
                {"index": 0, "id": "c", "type": "custom", "custom": {"name": "run", "input": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "custom": {"input": "ls -l"}}]},
    ]


def test_the_old_functions_form_is_answered_in_kind() -> None:
    request = Request(model="m", messages=[], extensions={"openai_chat": {"_functions": True}})
    wire = chunks(
        [
            PartStart(0, ToolCall(id="c", name="f")),
            PartDelta(0, "{}"),
            PartEnd(0),
            PartStart(1, ToolCall(id="d", name="g")),
            PartDelta(1, "{}"),
            Finished(Finish(reason=FinishReason.TOOL_CALLS)),
        ],
        request,
    )
    completion = understood(wire)
    called = completion.choices[0].message.function_call
    assert called is not None
    assert (called.name, called.arguments) == ("f", "{}")
    assert wire[-1]["choices"][0]["finish_reason"] == "function_call"


def test_logprobs_and_annotations() -> None:
    annotation = {"type": "url_citation"}
    wire = chunks(
        [
            PartStart(0, Text(text="")),
            PartDelta(0, "a", logprobs=[{"token": "a"}]),
            PartDelta(0, extensions={"openai_chat": {"annotations": [annotation]}}),
        ]
    )
    assert wire[1]["choices"][0]["logprobs"] == {"content": [{"token": "a"}], "refusal": None}
    assert wire[2]["choices"][0]["delta"] == {"annotations": [annotation]}


def test_usage_only_when_asked_for() -> None:
    events: list[Event] = [
        HEAD,
        PartStart(0, Text(text="x")),
        UsageUpdate(Usage(input=3, output=2)),
    ]
    assert all("usage" not in chunk for chunk in chunks(events))
    asked = Request(
        model="m", messages=[], stream=True, stream_options=StreamOptions(include_usage=True)
    )
    *others, last = chunks(events, asked)
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 5
    assert understood([*others, last]).usage is not None


@pytest.mark.parametrize("events", [[], [HEAD], [HEAD, PartStart(0, Text(text=""))]])
def test_a_finish_reason_is_always_written(events: list[Event]) -> None:
    """opencode asked again 430 times in 45 seconds when it was null."""
    wire = chunks(events)
    assert wire[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert wire[-1]["choices"][0]["finish_reason"] == "stop"


def test_what_more_is_known_of_the_end() -> None:
    end = Finish(reason=FinishReason.STOP_SEQUENCE, stop_sequence="END", raw="end_turn")
    last = chunks([HEAD, PartStart(0, Text(text="x")), Finished(end)])[-1]["choices"][0]
    assert (last["finish_reason"], last["stop_reason"]) == ("stop", "END")
    assert last["native_finish_reason"] == "end_turn"


def test_the_head_keeps_what_the_upstream_added() -> None:
    head = Start(id="r", service_tier="flex", extensions={"openai_chat": {"provider": "P"}})
    (first, *_) = chunks([head, PartStart(0, Text(text="x"))])
    assert (first["service_tier"], first["provider"]) == ("flex", "P")
    assert first["model"] == "asked-for"


def test_an_error_ends_the_stream_without_done() -> None:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    data = encoder.error(UpstreamFailed("It broke.", code="x"))
    assert json.loads(data.removeprefix(b"data: ")) == {
        "error": {"message": "It broke.", "type": "server_error", "param": None, "code": "x"}
    }
    assert b"[DONE]" not in data
    assert encoder.ping() == b": keep-alive\n\n"
