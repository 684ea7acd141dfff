"""Legacy completions, both ways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import (
    InvalidRequest,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
)
from dragoman.canonical.notes import Action
from dragoman.canonical.parts import Media, Reasoning, Refusal, Text, ToolCall, ToolResult
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    Request,
    Settings,
    StreamOptions,
    Tool,
)
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile, Parsed, Target, all_events
from dragoman.protocols.openai_completions import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_completions"
ORIGIN = Origin("openai_completions", "p", "m")
REQUEST = Request(model="asked-for", messages=[])
STREAM = (FIXTURES / "stream.sse").read_bytes()
HI = Message(role="user", parts=[Text(text="hi")])


def parse(**fields: Any) -> Parsed:
    return PROTOCOL.parse_request(json.dumps({"model": "m", **fields}).encode(), Target())


def decode(**fields: Any) -> Request:
    return PROTOCOL.decode_request(parse(**fields))


def encode(request: Request, **profile: Any) -> tuple[dict[str, Any], dict[str, Action]]:
    encoded = PROTOCOL.encode_request(request, ModelProfile(**profile))
    return json.loads(encoded.body), {note.path: note.action for note in encoded.notes}


def answer(**choice: Any) -> Response:
    body = {"id": "r", "model": "m", "created": 1, "choices": [{"index": 0, **choice}]}
    return PROTOCOL.decode_response(json.dumps(body).encode(), ORIGIN)


def chunks(response: Response, request: Request = REQUEST) -> list[dict[str, Any]]:
    encoder = PROTOCOL.stream_encoder(request)
    data = b"".join([encoder.feed(event) for event in replay(response)]) + encoder.finish()
    lines = data.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


def test_a_prompt_is_a_user_message() -> None:
    for prompt in ("Go on", ["Go on"]):
        message = Message(role="user", parts=[Text(text="Go on")])
        assert decode(prompt=prompt).messages == [message]


@pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1, 2]], "", [""]])
def test_other_prompts_can_only_be_forwarded(prompt: Any) -> None:
    parsed = parse(prompt=prompt)
    assert PROTOCOL.repeat_request(parsed, ModelProfile(model="m")).body == parsed.body
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOL.decode_request(parsed)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "x", "model": ""}, "model"),
        ({"prompt": "x", "logprobs": True}, "logprobs"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_a_recorded_request_comes_and_goes() -> None:
    body = (FIXTURES / "request.json").read_bytes()
    request = PROTOCOL.decode_request(PROTOCOL.parse_request(body, Target()))
    assert request.settings.max_output_tokens == 8
    assert (request.settings.logprobs, request.settings.top_logprobs) == (True, 2)
    assert request.settings.stop == ["\n"]
    assert request.stream_options.include_usage
    assert request.extensions == {
        "openai_completions": {"suffix": "!", "echo": False, "best_of": 1}
    }
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert encoded.notes == []
    assert PROTOCOL.decode_request(PROTOCOL.parse_request(encoded.body, Target())) == request
    assert json.loads(encoded.body) == {**json.loads(body), "stop": ["\n"]}


known: dict[str, Any] = {
    "max_tokens": st.integers(1, 99),
    "temperature": st.integers(0, 2),
    "logprobs": st.integers(0, 5),
    "stop": st.sampled_from(["x", ["x", "y"]]),
    "n": st.integers(1, 2),
    "suffix": st.just("s"),
    "echo": st.booleans(),
    "x_unknown": st.sampled_from([1, {"a": [None]}]),
    "stream_options": st.just({"x": 1}),
}


@given(st.fixed_dictionaries({"prompt": st.sampled_from(["a", ["é"]])}, optional=known))
def test_a_request_survives(fields: dict[str, Any]) -> None:
    request = decode(**fields)
    written = PROTOCOL.encode_request(request, ModelProfile())
    assert written.notes == []
    assert PROTOCOL.decode_request(PROTOCOL.parse_request(written.body, Target())) == request


def test_a_conversation_becomes_a_transcript() -> None:
    messages = [
        Message(role="developer", parts=[Text(text="Be brief.")]),
        HI,
        Message(role="assistant", parts=[ToolCall(id="c", name="f", arguments='{"a":1}')]),
        Message(role="tool", parts=[ToolResult(call_id="c", content=[Text(text="42")])]),
    ]
    body, notes = encode(Request(model="m", messages=messages))
    assert body["prompt"] == (
        'System: Be brief.\n\nUser: hi\n\nAssistant: [calls f with {"a":1}]\n\nTool: 42\n\nAssistant:'
    )
    assert notes["messages"] is Action.EMULATED
    prefilled = [HI, Message(role="assistant", parts=[Text(text="Well,")])]
    body, _ = encode(Request(model="m", messages=prefilled))
    assert body["prompt"] == "User: hi\n\nAssistant: Well,"


def test_what_a_completion_cannot_say_is_noted() -> None:
    image = Media(kind="image", data="AA==")
    request = Request(
        model="m",
        messages=[Message(role="user", parts=[Text(text="x"), image], name="ada")],
        tools=[Tool(name="f")],
        output=OutputFormat(kind="json_object"),
        settings=Settings(top_k=3, store=True, top_logprobs=1, modalities=["text"]),
    )
    body, notes = encode(request)
    assert body == {"model": "m", "prompt": "x"}
    assert notes == {
        "messages.0.parts.1": Action.DROPPED,
        "messages.0.name": Action.DROPPED,
        "tools.0": Action.DROPPED,
        "output": Action.DROPPED,
        "settings.top_k": Action.DROPPED,
        "settings.store": Action.DROPPED,
        "settings.top_logprobs": Action.DROPPED,
        "settings.modalities": Action.RENAMED,
    }


def test_the_limit() -> None:
    """Unsaid, the official API stops after 16 tokens."""
    request = Request(model="m", messages=[HI])
    assert encode(request, max_output_tokens=900)[0]["max_tokens"] == 900
    assert "max_tokens" not in encode(request)[0]
    request.settings.max_output_tokens = 1000
    body, notes = encode(request, max_output_tokens=900)
    assert body["max_tokens"] == 900
    assert notes == {"settings.max_output_tokens": Action.CLAMPED}


def test_a_recorded_answer_whole_and_streamed() -> None:
    whole = PROTOCOL.decode_response((FIXTURES / "response.json").read_bytes(), ORIGIN)
    assert whole.choices[0].parts == [Text(text=" and on")]
    assert whole.choices[0].finish == Finish(reason=FinishReason.LENGTH)
    assert whole.usage == Usage(input=2, output=2)
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs[0] == {
        "token": " and",
        "logprob": -0.5,
        "top_logprobs": [{"token": " and", "logprob": -0.5}, {"token": " or", "logprob": -1.5}],
        "text_offset": 4,
    }
    assert collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])) == whole
    written = PROTOCOL.encode_response(whole, REQUEST)
    Completion.model_validate_json(written)
    assert PROTOCOL.decode_response(written, ORIGIN) == whole


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    cuts.sort()
    pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    whole = all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])
    assert all_events(PROTOCOL.stream_decoder(ORIGIN), pieces) == whole


def test_an_answer_streams() -> None:
    response = Response(
        id="r",
        model="m",
        created=1,
        choices=[
            Choice(
                parts=[Reasoning(text="hidden"), Text(text="a"), Refusal(text="b")],
                logprobs=[{"token": "a", "logprob": -1.0}],
                finish=Finish(reason=FinishReason.TOOL_CALLS),
            ),
            Choice(index=1, parts=[]),
        ],
        usage=Usage(input=1, output=2),
    )
    asked = Request(model="m", messages=[], stream_options=StreamOptions(include_usage=True))
    *others, last = chunks(response, asked)
    assert all(chunk["usage"] is None for chunk in others)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 3
    said = [chunk["choices"][0] for chunk in chunks(response)]
    assert [(c["text"], c["finish_reason"]) for c in said] == [
        ("a", None),
        ("b", None),
        ("", "stop"),
    ]
    assert said[0]["logprobs"] == {
        "tokens": ["a"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{}],
        "text_offset": [0],
    }
    assert {chunk["object"] for chunk in chunks(response)} == {"text_completion"}


def test_a_finish_reason_is_always_written() -> None:
    for response in (Response(), Response(choices=[Choice(parts=[Text(text="x")])])):
        assert chunks(response)[-1]["choices"][0]["finish_reason"] == "stop"


def test_what_more_is_known_of_the_end() -> None:
    response = answer(text="x", finish_reason="stop", stop_reason="END")
    assert response.choices[0].finish == Finish(
        reason=FinishReason.STOP_SEQUENCE, stop_sequence="END"
    )
    again = PROTOCOL.decode_response(PROTOCOL.encode_response(response, REQUEST), ORIGIN)
    assert again == response
    assert chunks(response)[-1]["choices"][0]["stop_reason"] == "END"


def test_broken_answers_and_errors() -> None:
    for body in (b"{}", b'{"choices": []}', b'{"choices": [{"text": 1}]}'):
        with pytest.raises(UpstreamBroken):
            PROTOCOL.decode_response(body, ORIGIN)
    with pytest.raises(UpstreamRateLimited):
        PROTOCOL.decode_response(b'{"error": {"code": 429, "message": "x"}}', ORIGIN)
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    with pytest.raises(UpstreamOverloaded):
        decoder.feed(b'data: {"error": {"code": 503, "message": "x"}}\n\n')
    error = PROTOCOL.stream_encoder(REQUEST).error(UpstreamFailed("m"))
    assert error.startswith(b'data: {"error":')
    assert b"[DONE]" not in error


def test_a_cut_stream_is_broken() -> None:
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    decoder.feed(STREAM[: STREAM.index(b"data", 10)])
    with pytest.raises(UpstreamBroken):
        decoder.finish()


def test_forwarding() -> None:
    flow = PROTOCOL.stream_relay(parse(prompt="x", stream=True), ORIGIN)
    sent, events = flow.feed(STREAM)
    assert flow.ended
    usage = STREAM.rindex(b"data: {")
    assert sent == STREAM[:usage] + b"data: [DONE]\n\n"
    assert events == all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])
    flow = PROTOCOL.stream_relay(parse(prompt="x", stream=True), ORIGIN)
    chunk = b'data: {"id": "r", "choices": [{"text": "a"}]}\n\n'
    sent, _ = flow.feed(chunk + b"data: [DONE]\n\n")
    added = json.loads(sent.split(b"\n\n")[1].removeprefix(b"data: "))
    assert added["choices"][0]["finish_reason"] == "stop"
    assert added["object"] == "text_completion"
    body = json.loads(PROTOCOL.repeat_request(parse(prompt="x", stream=True), ModelProfile()).body)
    assert body["stream_options"] == {"include_usage": True}
