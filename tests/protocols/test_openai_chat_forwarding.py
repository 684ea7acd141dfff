"""Chat to chat: bytes pass through, and only what must change is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.errors import UpstreamBroken, UpstreamFailed
from dragoman.canonical.events import Event, Finished, UsageUpdate
from dragoman.canonical.response import Finish, FinishReason
from dragoman.canonical.signature import Origin, Signature, seal
from dragoman.protocols.base import ModelProfile, Parsed, StreamRelay, Target, all_events
from dragoman.protocols.openai_chat import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_chat"
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))
ORIGIN = Origin("openai_chat", "p", "m")
# Odd spacing, escapes, duplicate-looking numbers: nothing of it may be touched.
BODY = (
    b'{ "model":"m", "messages":[ {"role":"user","content":"\\u00e9  x"} ], "z":1.0, "a":[1, 2]%s}'
)


def parse(body: bytes) -> Parsed:
    return PROTOCOL.parse_request(body, Target())


def repeat(body: bytes, model: str = "m", **quirks: Any) -> bytes:
    profile = ModelProfile(model=model, quirks=quirks)
    return PROTOCOL.repeat_request(parse(body), profile).body


def test_nothing_to_change() -> None:
    assert repeat(BODY % b"") == BODY % b""
    asked = BODY % b', "stream": true, "stream_options": {"include_usage": true}'
    assert repeat(asked) == asked
    streaming = BODY % b', "stream": true'
    assert repeat(streaming, stream_usage=False) == streaming


def test_another_model() -> None:
    assert repeat(BODY % b"", model="other") == (
        b'{"model":"other","messages":[ {"role":"user","content":"\\u00e9  x"} ],"z":1.0,"a":[1, 2]}'
    )


def test_usage_is_asked_for_in_streams() -> None:
    sent = repeat(BODY % b', "stream": true, "stream_options": null')
    assert sent.endswith(b'"stream":true,"stream_options":{"include_usage":true}}')
    sent = repeat(BODY % b', "stream_options": {"x": [1,  2]}, "stream": true')
    assert b'"stream_options":{"x":[1,  2],"include_usage":true},"stream":true' in sent


def test_a_provider_that_refuses_what_others_take_gets_the_body_anew() -> None:
    body = BODY % b', "temperature": 2, "seed": 1, "max_completion_tokens": 9'
    profile = ModelProfile(
        model="m",
        drops=frozenset({"seed"}),
        quirks={"forwards": False, "temperature_range": [0, 1]},
    )
    encoded = PROTOCOL.repeat_request(parse(body), profile)
    assert json.loads(encoded.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "\u00e9  x"}],
        "max_tokens": 9,
        "temperature": 1,
        "z": 1.0,
        "a": [1, 2],
    }
    assert {note.path for note in encoded.notes} == {"settings.seed", "settings.temperature"}


def test_the_model_may_come_from_the_path() -> None:
    parsed = PROTOCOL.parse_request(
        b'{"messages":[{"role":"user","content":"x"}]}', Target(model="real")
    )
    body = PROTOCOL.repeat_request(parsed, ModelProfile()).body
    assert json.loads(body)["model"] == "real"


def test_sealed_proofs_of_others_are_not_forwarded() -> None:
    foreign = seal(Signature("c2ln", Origin("anthropic_messages", "anthropic", "claude")))
    details = [{"type": "reasoning.text", "text": "t", "signature": foreign}]
    body = {
        "model": "m",
        "messages": [{"role": "assistant", "content": "x", "reasoning_details": details}],
    }
    sent = repeat(json.dumps(body).encode())
    assert foreign.encode() not in sent
    assert json.loads(sent)["messages"][0]["reasoning_content"] == "t"


def relay(include_usage: bool = False) -> StreamRelay:
    options = b', "stream": true, "stream_options": {"include_usage": true}'
    parsed = parse(BODY % (options if include_usage else b', "stream": true'))
    return PROTOCOL.stream_relay(parsed, ORIGIN)


def forward(flow: StreamRelay, *chunks: bytes) -> tuple[bytes, list[Event]]:
    out: list[bytes] = []
    events: list[Event] = []
    for chunk in chunks:
        data, seen = flow.feed(chunk)
        out.append(data)
        events += seen
    data, seen = flow.finish()
    return b"".join([*out, data]), events + seen


def sse(*chunks: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "r", "created": 5, "model": "m", "choices": [choice]}


USAGE = {"id": "r", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
def test_bytes_pass_untouched_and_are_read(name: str, data: st.DataObject) -> None:
    wire = (FIXTURES / name).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=9)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    sent, events = forward(relay(include_usage=True), *pieces)
    assert sent == wire
    assert events == all_events(PROTOCOL.stream_decoder(ORIGIN), [wire])


def test_usage_that_the_client_did_not_ask_for_is_kept_back() -> None:
    inline = {**chunk("stop", content="x"), "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    kept = sse({"choices": [], "prompt_filter_results": []}, inline, done=False)
    sent, events = forward(relay(), kept + sse(USAGE))
    assert sent == kept + b"data: [DONE]\n\n"
    assert sum(isinstance(event, UsageUpdate) for event in events) == 1
    assert forward(relay(include_usage=True), kept + sse(USAGE))[0] == kept + sse(USAGE)


def test_a_missing_finish_reason_is_added_before_done() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    sent, events = forward(
        relay(),
        sse(chunk(content="a"), chunk(index=1, tool_calls=[call]), chunk("length", index=2)),
    )
    *others, done = sent.split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    added = [json.loads(line.removeprefix(b"data: ")) for line in others[-2:]]
    assert [c["choices"][0]["finish_reason"] for c in added] == ["stop", "tool_calls"]
    assert {(c["id"], c["created"], c["model"], c["object"]) for c in added} == {
        ("r", 5, "m", "chat.completion.chunk")
    }
    assert Finished(Finish(reason=FinishReason.TOOL_CALLS), 1) in events


def test_a_missing_finish_reason_is_added_at_the_end() -> None:
    wire = sse(chunk("stop", content="a"), chunk(index=1, content="b"), done=False)
    sent, _ = forward(relay(), wire)
    assert sent.startswith(wire)
    added = json.loads(sent.removeprefix(wire).removeprefix(b"data: "))
    assert added["choices"] == [
        {"index": 1, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    ]


def test_errors_come_after_what_preceded_them() -> None:
    good = sse(chunk(content="a"), done=False)
    flow = relay()
    data, events = flow.feed(good + sse({"error": {"message": "x"}}))
    assert data == good
    assert events
    with pytest.raises(UpstreamFailed):
        flow.finish()


def test_a_cut_stream_is_broken() -> None:
    flow = relay()
    flow.feed(sse(chunk(content="a"), done=False))
    assert not flow.ended
    with pytest.raises(UpstreamBroken):
        flow.finish()
