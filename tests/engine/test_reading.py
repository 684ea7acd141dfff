"""Reading an event stream to its end, and estimating what no upstream has counted."""

from __future__ import annotations

import asyncio
import json

import pytest

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Reasoning, Text
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.engine import reading
from dragoman.engine.reading import decoder_for, read_to_end
from dragoman.engine.reply import UpstreamReply
from dragoman.governance.tokens import text_tokens
from dragoman.protocols.registry import protocol

GRADIO = Origin("gradio", "gradio", "m")
CHAT = Origin("openai_chat", "custom", "m")


class Chunks(UpstreamReply):
    """An answer that is there already; ``left`` are the chunks that nobody has asked for."""

    def __init__(self, *left: bytes) -> None:
        self.left = list(left)

    async def chunk(self) -> bytes:
        return self.left.pop(0) if self.left else b""


def event(message: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(message).encode() + b"\n\n"


def step(text: object, msg: str = "process_generating") -> bytes:
    return event({"msg": msg, "output": {"data": [text]}, "success": True})


def test_nothing_is_read_past_the_end() -> None:
    """Some upstreams leave the connection open after the last word."""
    reply = Chunks(step("Wait…"), step("Four.", "process_completed"), b"never read")
    decoder = decoder_for(protocol("gradio"), GRADIO, lambda: 17, whole=True)
    response = asyncio.run(read_to_end(reply, decoder))
    assert response.choices[0].parts == [Text(text="Four.")]
    assert reply.left == [b"never read"]


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    decoder = decoder_for(protocol("gradio"), GRADIO, lambda: 17)
    with pytest.raises(UpstreamBroken):
        asyncio.run(read_to_end(Chunks(step("Half an")), decoder))


def test_the_answer_is_limited_and_not_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_REPLY_BYTES", 1000)
    whole = "x" * 900
    states = [step(whole) for _ in range(20)]
    decoder = decoder_for(protocol("gradio"), GRADIO, lambda: 17)
    reply = Chunks(*states, step(whole, "process_completed"))
    assert asyncio.run(read_to_end(reply, decoder)).choices[0].parts == [Text(text=whole)]
    decoder = decoder_for(protocol("gradio"), GRADIO, lambda: 17)
    with pytest.raises(UpstreamBroken, match="exceeds 1000 bytes"):
        asyncio.run(read_to_end(Chunks(step("x" * 1001, "process_completed")), decoder))


def test_usage_that_nobody_reports_is_estimated() -> None:
    thought = {"role": "assistant", "content": "x" * 40, "metadata": {"title": "Thinking"}}
    wire = step([thought, {"role": "assistant", "content": "y" * 80}], "process_completed")
    decoder = decoder_for(protocol("gradio"), GRADIO, lambda: 17)
    response = collect([*decoder.feed(wire), *decoder.finish()])
    assert [type(part) for part in response.choices[0].parts] == [Reasoning, Text]
    assert response.usage is not None
    assert response.usage.estimated
    wanted = round(text_tokens("x" * 40)), round(text_tokens("y" * 80))
    assert (response.usage.reasoning, response.usage.output) == wanted
    assert response.usage.input == 17


def test_usage_that_is_reported_is_left_alone() -> None:
    def never() -> int:
        raise AssertionError("nothing is to be estimated")

    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }
    decoder = decoder_for(protocol("openai_chat"), CHAT, never)
    response = collect([*decoder.feed(event(chunk) + b"data: [DONE]\n\n"), *decoder.finish()])
    assert response.usage == Usage(input=7, output=3)
