"""Ollama's chat answers, whole and streamed, as upstreams give them and as clients get them."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import (
    Unavailable,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamModelMissing,
    UpstreamOverloaded,
)
from dragoman.canonical.events import Event, Finished, PartDelta, PartEnd, PartStart, Start
from dragoman.canonical.parts import Media, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Target, all_events
from dragoman.protocols.ollama_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "ollama_chat"
ORIGIN = Origin("ollama_chat", "ollama", "qwen3:8b")
REQUEST = Request(model="asked-for", messages=[])
STREAM = (FIXTURES / "stream_tools.ndjson").read_bytes()


def decode(body: bytes | dict[str, Any]) -> Response:
    return PROTOCOL.decode_response(
        body if isinstance(body, bytes) else json.dumps(body).encode(), ORIGIN
    )


def stream(*lines: dict[str, Any]) -> Response:
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [data]))


def encoded(events: list[Event]) -> list[dict[str, Any]]:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    data = b"".join(encoder.feed(event) for event in events) + encoder.finish()
    return [json.loads(line) for line in data.splitlines()]


def test_a_whole_answer_is_understood() -> None:
    response = decode((FIXTURES / "answer.json").read_bytes())
    choice = response.choices[0]
    assert choice.parts == [Reasoning(text="The tool said 22."), Text(text="It is 22 degrees.")]
    assert choice.finish is not None
    assert choice.finish.reason is FinishReason.STOP
    assert choice.finish.extensions is not None
    assert choice.finish.extensions["ollama_chat"]["total_duration"] == 5191566416
    assert response.usage == Usage(input=26, output=298)
    assert response.created == 1779964265


def test_a_stream_is_understood() -> None:
    response = collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM]))
    reasoning, text, first, second = response.choices[0].parts
    assert reasoning == Reasoning(text="I need the weather.")
    assert text == Text(text="One moment.")
    assert first == ToolCall(
        id="call_k3fj29sl", name="get_temperature", arguments='{"city":"New York"}'
    )
    assert isinstance(second, ToolCall)
    assert second.id.startswith("call_1_")
    assert response.choices[0].finish is not None
    assert response.choices[0].finish.reason is FinishReason.TOOL_CALLS
    assert response.usage == Usage(input=182, output=41)


def test_made_up_ids_are_stable_and_differ_between_answers() -> None:
    def ids(created_at: str) -> list[str]:
        call = {"function": {"name": "now", "arguments": {}}}
        message = {"content": "", "tool_calls": [call, call]}
        response = decode({"message": message, "created_at": created_at, "done": True})
        return [part.id for part in response.choices[0].parts if isinstance(part, ToolCall)]

    today, tomorrow = ids("2026-05-28T10:31:05Z"), ids("2026-05-29T10:31:05Z")
    assert today == ids("2026-05-28T10:31:05Z")
    assert len({*today, *tomorrow}) == 4


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_split_of_the_bytes_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(edges)]
    whole = all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])
    assert all_events(PROTOCOL.stream_decoder(ORIGIN), chunks) == whole


def test_the_last_line_needs_no_newline() -> None:
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    events = decoder.feed(STREAM.rstrip(b"\n"))
    assert not decoder.ended
    events += decoder.finish()
    assert decoder.ended
    assert events == all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])


@pytest.mark.parametrize("lines", range(7))
def test_a_stream_cut_short_is_broken(lines: int) -> None:
    cut = b"".join(STREAM.splitlines(keepends=True)[:lines])
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    decoder.feed(cut)
    with pytest.raises(UpstreamBroken):
        decoder.finish()


def test_an_error_line_is_raised_after_what_preceded_it() -> None:
    first, second = (FIXTURES / "stream_error.ndjson").read_bytes().splitlines(keepends=True)
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    assert decoder.feed(first)
    with pytest.raises(UpstreamFailed, match="out of memory"):
        decoder.feed(second)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ('model "x" not found, try pulling it first', UpstreamModelMissing),
        ("server busy, please try again.  maximum pending requests exceeded", UpstreamOverloaded),
        ("an error was encountered while running the model", UpstreamFailed),
    ],
)
def test_errors_under_status_200_are_judged_by_their_text(
    message: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        decode({"error": message})


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"message":3}', b'{"done":true}'])
def test_nonsense_is_a_broken_upstream(body: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        decode(body)


@pytest.mark.parametrize("line", [b"[]", b"<html>", b'{"message":3}', b"data: {}"])
def test_nonsense_in_a_stream_is_a_broken_upstream(line: bytes) -> None:
    decoder = PROTOCOL.stream_decoder(ORIGIN)
    with pytest.raises(UpstreamBroken):
        decoder.feed(line + b"\n")


def test_sloppy_imitations_are_tolerated() -> None:
    response = stream(
        {"message": {"content": None}},
        {"message": {"content": "a", "thinking": ""}, "done": None},
        {"message": {"tool_calls": [{"function": {"name": "f", "arguments": '{"x": 1}'}}]}},
        {"message": None, "done_reason": "stop", "eval_count": -3},
        {"message": {"content": "after the end"}},
    )
    text, call = response.choices[0].parts
    assert text == Text(text="a")
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"x": 1}'
    assert response.usage == Usage()
    assert response.model == "qwen3:8b"


@pytest.mark.parametrize(
    ("word", "reason", "raw"),
    [
        ("stop", FinishReason.STOP, None),
        (None, FinishReason.STOP, None),
        ("length", FinishReason.LENGTH, None),
        ("load", FinishReason.STOP, "load"),
        ("unload", FinishReason.STOP, "unload"),
        ("moderation", FinishReason.STOP, "moderation"),
    ],
)
def test_finish_reasons(word: str | None, reason: FinishReason, raw: str | None) -> None:
    response = decode({"message": {"content": "x"}, "done": True, "done_reason": word})
    finish = response.choices[0].finish
    assert finish is not None
    assert (finish.reason, finish.raw) == (reason, raw)
    back = json.loads(PROTOCOL.encode_response(response, REQUEST))
    assert back["done_reason"] == (word or "stop")


@pytest.mark.parametrize("reason", list(FinishReason))
def test_every_finish_reason_has_a_word(reason: FinishReason) -> None:
    response = Response(choices=[Choice(parts=[Text(text="x")], finish=Finish(reason=reason))])
    word = "length" if reason is FinishReason.LENGTH else "stop"
    assert json.loads(PROTOCOL.encode_response(response, REQUEST))["done_reason"] == word
    last = encoded(list(replay(response)))[-1]
    assert (last["done"], last["done_reason"]) == (True, word)


pieces = st.text(min_size=1, max_size=6)
calls = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"name": pieces}, optional={"arguments": st.dictionaries(pieces, st.integers())}
        )
    },
    optional={"id": pieces},
)
answers = st.fixed_dictionaries(
    {
        "message": st.fixed_dictionaries(
            {"role": st.just("assistant"), "content": st.text(max_size=6)},
            optional={
                "thinking": st.text(max_size=6),
                "images": st.lists(st.just("iVBORw0KGgo="), max_size=1),
                "tool_calls": st.lists(calls, max_size=3),
            },
        ),
        "done": st.just(True),
    },
    optional={
        "model": st.just("qwen3:8b"),
        "created_at": st.sampled_from(["2026-05-28T10:31:05.118042914Z", "yesterday"]),
        "done_reason": st.sampled_from(["stop", "length", "load", "new"]),
        "prompt_eval_count": st.integers(0, 9),
        "eval_count": st.integers(0, 9),
        "total_duration": st.integers(0, 9),
        "remote_host": st.just("https://ollama.com"),
        "future": st.none() | st.booleans(),
    },
)


@given(answers)
def test_nothing_is_lost_on_the_way_through_the_canonical_form(answer: dict[str, Any]) -> None:
    response = decode(answer)
    assert decode(PROTOCOL.encode_response(response, REQUEST)).choices == response.choices
    again = decode(PROTOCOL.encode_response(response, REQUEST))
    assert (again.created, again.extensions) == (
        response.created,
        response.extensions if "created_at" in answer else again.extensions,
    )


@given(answers)
def test_a_stream_of_one_line_says_what_a_whole_answer_says(answer: dict[str, Any]) -> None:
    assert stream(answer) == decode(answer)


@given(answers)
def test_streaming_to_a_client_says_the_same(answer: dict[str, Any]) -> None:
    response = decode(answer)
    streamed = stream(*encoded(list(replay(response))))
    assert streamed.choices == response.choices
    assert (streamed.model, streamed.created) == (response.model, response.created)
    if response.usage is not None:
        assert streamed.usage == response.usage


def test_overlapping_parts_of_other_protocols_come_out_whole() -> None:
    one, two = ToolCall(id="a", name="f"), ToolCall(id="b", name="g")
    lines = encoded(
        [
            Start(model="gpt", created=0),
            PartStart(0, one),
            PartStart(1, two),
            PartDelta(1, '{"y":'),
            PartDelta(0, '{"x":1}'),
            PartDelta(1, "2}"),
            PartEnd(0),
            PartDelta(7, "never started"),
            PartStart(2, Text(text="dropped"), 1),
            PartDelta(2, "another choice"),
            Finished(Finish(reason=FinishReason.TOOL_CALLS)),
        ]
    )
    seen = [line["message"].get("tool_calls", [{}])[0].get("function") for line in lines]
    assert seen == [
        {"index": 0, "name": "f", "arguments": {"x": 1}},
        {"index": 1, "name": "g", "arguments": {"y": 2}},
        None,
    ]
    assert lines[0]["created_at"] == "1970-01-01T00:00:00Z"
    assert [line["done"] for line in lines] == [False, False, True]


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        (Refusal(text="No."), "content", "No."),
        (Media(kind="image", data="iVBORw0KGgo="), "images", ["iVBORw0KGgo="]),
        (Media(kind="audio", data="AAAA"), "content", ""),
        (ToolCall(id="a", name="f", arguments="{broken"), "tool_calls", None),
        (Reasoning(text="Hm."), "thinking", "Hm."),
    ],
)
def test_parts_of_other_protocols_have_a_form(part: Part, field: str, value: Any) -> None:
    response = Response(choices=[Choice(parts=[part])])
    whole = json.loads(PROTOCOL.encode_response(response, REQUEST))
    streamed = encoded(list(replay(response)))
    for line in (whole, streamed[0]):
        if part == Media(kind="audio", data="AAAA"):
            assert line["message"] == {"role": "assistant", "content": ""}
        elif value is None:
            assert line["message"][field][0]["function"]["arguments"] == {"input": "{broken"}
        else:
            assert line["message"][field] == value
    assert whole["model"] == "asked-for"


def test_log_probabilities_pass() -> None:
    odds = [{"token": "Hi", "logprob": -0.1, "top_logprobs": [{"token": "Hi", "logprob": -0.1}]}]
    lines = [
        {"message": {"content": "Hi"}, "logprobs": odds, "done": False},
        {"message": {"content": ""}, "logprobs": odds, "done": True},
    ]
    response = stream(*lines)
    assert response.choices[0].logprobs == odds * 2
    assert json.loads(PROTOCOL.encode_response(response, REQUEST))["logprobs"] == odds * 2
    assert encoded(list(replay(response)))[0]["logprobs"] == odds * 2


def test_an_empty_stream_still_ends_properly() -> None:
    assert encoded([]) == [
        {
            "model": "asked-for",
            "created_at": "1970-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
        }
    ]


def test_stream_errors_and_keep_alives() -> None:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    assert encoder.error(Unavailable("No channel.")) == b'{"error":"No channel."}\n'
    assert encoder.ping() == b""


def test_the_relay_forwards_every_byte_and_reads_along() -> None:
    parsed = PROTOCOL.parse_request((FIXTURES / "request.json").read_bytes(), Target())
    relay = PROTOCOL.stream_relay(parsed, ORIGIN)
    out, events = b"", []
    for start in range(0, len(STREAM), 100):
        data, seen = relay.feed(STREAM[start : start + 100])
        out += data
        events += seen
    data, seen = relay.finish()
    assert out + data == STREAM
    assert relay.ended
    assert events + seen == all_events(PROTOCOL.stream_decoder(ORIGIN), [STREAM])


def test_the_relay_raises_errors_after_the_lines_before_them() -> None:
    first, second = (FIXTURES / "stream_error.ndjson").read_bytes().splitlines(keepends=True)
    parsed = PROTOCOL.parse_request((FIXTURES / "request.json").read_bytes(), Target())
    relay = PROTOCOL.stream_relay(parsed, ORIGIN)
    data, events = relay.feed(first + second)
    assert data == first
    assert len(events) == 3
    with pytest.raises(UpstreamFailed):
        relay.feed(b"")
    cut = PROTOCOL.stream_relay(parsed, ORIGIN)
    cut.feed(first)
    with pytest.raises(UpstreamBroken):
        cut.finish()
