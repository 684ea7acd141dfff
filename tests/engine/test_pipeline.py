"""The straight line against scripted upstreams: fallback, commit point, deadlines, strictness."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    NotTranslatable,
    UpstreamBroken,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from dragoman.engine.call import Call
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.journey import Journey
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.records import Trace
from dragoman.engine.reply import Deadlines
from dragoman.governance.principal import Principal
from dragoman.protocols.base import ModelProfile, Target
from dragoman.protocols.registry import protocols
from dragoman.routing.channel import Channel, Endpoint
from dragoman.routing.plan import Plan
from dragoman.routing.select import RoutingTable
from dragoman.routing.verdict import DISCONNECTED
from tests.engine.scripted import RecordedAnswer, Script, ScriptedTransport

CHAT = "openai_chat"
SSE = "text/event-stream"


def chunk(text: str | None = None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


ROLE = chunk().replace(b'"delta": {}', b'"delta": {"role": "assistant"}')
DONE = b"data: [DONE]\n\n"
WHOLE = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()


class Run:
    """One request through a pipeline over scripted upstreams, one channel per script."""

    def __init__(
        self,
        *scripts: Script,
        client: str = CHAT,
        upstream: str = CHAT,
        stream: bool = True,
        strict: bool = False,
        body: dict[str, object] | None = None,
        channels: int | None = None,
        deadlines: Deadlines | None = None,
        timeout: float = 5.0,
        max_retries: int = 0,
        quirks: dict[str, object] | None = None,
        opener: str = "",
        ping: float = 15.0,
        target: Target | None = None,
    ) -> None:
        self.transport = ScriptedTransport(scripts)
        self.answer = RecordedAnswer()
        self.pipeline = Pipeline(
            protocols=protocols(),
            profile_of=lambda channel, protocol, model: ModelProfile(
                provider=channel.provider, model=model, quirks=quirks or {}
            ),
            transport=self.transport,
            dispatcher=Dispatcher(clock=time.monotonic, random=lambda: 0.0),
            deadlines=deadlines,
            ping_seconds=ping,
        )
        self.routing = RoutingTable(
            tuple(
                Channel(
                    id=number,
                    name=f"channel {number}",
                    provider="custom",
                    endpoints=(Endpoint(upstream, "http://up.test/v1"),),
                    priority=number,
                    timeout=timeout,
                    max_retries=max_retries,
                    opener=opener,
                )
                for number in range(1, (channels or len(scripts)) + 1)
            )
        )
        protocol = protocols()[client]
        request = {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
            **({"max_tokens": 9} if client == "anthropic_messages" else {}),
            **(body or {}),
        }
        request = {name: value for name, value in request.items() if value is not None}
        if client == "gemini_generate":
            del request["stream"]
        parsed = protocol.parse_request(json.dumps(request).encode(), target or Target())
        self.call = Call(
            protocol=protocol,
            parsed=parsed,
            principal=Principal(key_id="k", name="k"),
            strict=strict,
            trace=Trace(Journey(id="r1", protocol=client, started=0.0), "generate"),
        )

    async def go(self, *, fallback: bool = True) -> RecordedAnswer:
        order = self.routing.order("m", time.monotonic())
        plan = Plan(order, fallback=fallback)
        await self.pipeline.generate(self.call, plan, self.answer)
        return self.answer

    @property
    def attempts(self) -> Sequence[int]:
        return [attempt.channel.id for attempt in self.call.journey.attempts]


def run(r: Run, *, fallback: bool = True) -> RecordedAnswer:
    return asyncio.run(r.go(fallback=fallback))


def stream(*steps: bytes | float | GatewayError) -> Script:
    return Script(*steps, content_type=SSE)


GOOD = stream(ROLE, chunk("hello"), chunk(finish="stop"), DONE)

BEFORE_CONTENT = [
    Script(refuse=UpstreamUnreachable("refused")),
    Script(b'{"error":{"message":"busy"}}', status=500),
    Script(b'{"error":{"message":"slow down"}}', status=429),
    Script(b'{"error":{"message":"bad key"}}', status=401),
    Script(b"<html>", status=302),
    stream(ROLE, UpstreamBroken("cut")),
    stream(ROLE),
    stream(ROLE, b'data: {"error":{"message":"overloaded","code":503}}\n\n'),
    stream(b"data: {not json\n\n"),
    stream(5.0),
    Script(headers_after=5.0),
]


@pytest.mark.row("S2-45")
@pytest.mark.parametrize("bad", BEFORE_CONTENT, ids=range(len(BEFORE_CONTENT)))
def test_a_failure_before_content_costs_the_client_nothing(bad: Script) -> None:
    r = Run(bad, GOOD, timeout=0.05)
    answer = run(r)
    assert answer.status == 200
    assert b"hello" in answer.body
    assert b"error" not in answer.body
    assert answer.body.count(b'"role"') == 1
    assert r.attempts == [1, 2]
    assert answer.headers["dragoman-channel"] == "channel 2"


AFTER_CONTENT = [
    stream(ROLE, chunk("hel"), UpstreamBroken("cut")),
    stream(ROLE, chunk("hel")),
    stream(ROLE, chunk("hel"), b'data: {"error":{"message":"overloaded"}}\n\n'),
    stream(ROLE, chunk("hel"), b"data: {not json\n\n"),
    stream(ROLE, chunk("hel"), 5.0),
]


@pytest.mark.parametrize("client", [CHAT, "anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("bad", AFTER_CONTENT, ids=range(len(AFTER_CONTENT)))
def test_a_failure_after_content_is_an_error_in_the_stream(bad: Script, client: str) -> None:
    body = {"input": "hi"} if client == "openai_responses" else None
    r = Run(bad, GOOD, client=client, body=body, deadlines=Deadlines(idle=0.05))
    answer = run(r)
    assert b"hel" in answer.body
    assert b"error" in answer.body
    assert answer.ended
    assert r.attempts == [1], "what one channel began no other finishes"
    for clean_end in (b"[DONE]", b"message_stop", b"response.completed"):
        assert clean_end not in answer.body


@pytest.mark.parametrize("framing", ["sse", "json_array"])
@pytest.mark.parametrize("upstream", ["gemini_generate", CHAT])
def test_an_error_in_a_gemini_stream_keeps_its_framing(framing: str, upstream: str) -> None:
    gemini = b'data: {"candidates":[{"content":{"parts":[{"text":"hel"}],"role":"model"}}]}\n\n'
    steps = (gemini,) if upstream == "gemini_generate" else (ROLE, chunk("hel"))
    target = Target(
        model="m", stream=True, framing="json_array" if framing == "json_array" else "sse"
    )
    r = Run(
        stream(*steps, UpstreamBroken("cut")),
        client="gemini_generate",
        upstream=upstream,
        body={"contents": [{"parts": [{"text": "hi"}]}], "messages": None, "model": None},
        target=target,
    )
    body = run(r).body
    if framing == "json_array":
        chunks = json.loads(body)
        assert isinstance(chunks, list)
    else:
        chunks = [json.loads(line[6:]) for line in body.split(b"\n\n") if line]
    assert chunks[-1]["error"]["status"]
    assert "hel" in json.dumps(chunks[0])


def test_the_request_itself_is_at_fault_so_no_other_channel_is_asked() -> None:
    bad = Script(
        b'{"error":{"message":"context too long","code":"context_length_exceeded"}}', status=400
    )
    r = Run(bad, GOOD, stream=False)
    with pytest.raises(UpstreamRejected) as caught:
        run(r)
    assert caught.value.status == 400
    assert r.attempts == [1]


def test_at_most_three_attempts() -> None:
    bad = [Script(status=500) for _ in range(5)]
    r = Run(*bad, stream=False)
    with pytest.raises(UpstreamFailed):
        run(r)
    assert r.attempts == [1, 2, 3]


def test_fallback_can_be_switched_off() -> None:
    r = Run(Script(status=500), GOOD)
    with pytest.raises(UpstreamFailed):
        run(r, fallback=False)
    assert r.attempts == [1]


def test_a_stale_connection_is_tried_again_once_on_the_same_channel() -> None:
    stale = Script(refuse=UpstreamFailed("closed", code=DISCONNECTED))
    r = Run(stale, Script(WHOLE), stream=False, channels=1)
    assert run(r).body == WHOLE
    assert r.attempts == [1, 1]
    r = Run(stale, stale, Script(WHOLE), stream=False, channels=1)
    with pytest.raises(UpstreamFailed):
        run(r)
    assert r.attempts == [1, 1]


@pytest.mark.parametrize(
    "bad",
    [
        b'{"error":{"message":"over capacity"}}',
        b'{"base_resp":{"status_code":1002,"status_msg":"rate limit"},"choices":null}',
        b'{"choices":[]}',
        b'{"choices":[{"message":{},"error":{"message":"no","code":502},"finish_reason":"error"}]}',
        b"{not json",
        b"",
    ],
)
def test_an_error_with_http_200_is_an_error_although_bytes_are_forwarded(bad: bytes) -> None:
    r = Run(Script(bad), Script(WHOLE), stream=False)
    assert run(r).body == WHOLE
    assert r.attempts == [1, 2]
    told = r.call.journey.attempts[0].error
    assert told is not None
    assert ("shape" in told.message) is False


@pytest.mark.row("S2-19")
def test_same_protocol_forwards_the_bytes() -> None:
    r = Run(Script(WHOLE), stream=False, body={"unknown_field": {"b": 1, "a": 2}})
    answer = run(r)
    assert answer.body == WHOLE
    assert b'"unknown_field": {"b": 1, "a": 2}' in r.transport.requests[0].body
    assert r.call.trace.usage is not None
    assert (r.call.trace.usage.total_input, r.call.trace.usage.total_output) == (3, 1)


@pytest.mark.parametrize("client", [CHAT, "anthropic_messages"])
def test_a_finish_reason_always(client: str) -> None:
    """A null finish_reason sends one agent into an endless loop (430 requests in 45 s)."""
    answer = run(Run(stream(ROLE, chunk("hi"), DONE), client=client))
    assert (b'"finish_reason":"stop"' if client == CHAT else b'"end_turn"') in answer.body


def test_a_whole_answer_to_a_streamed_request_is_streamed() -> None:
    answer = run(Run(Script(WHOLE)))
    assert answer.headers["content-type"] == SSE
    assert answer.body.endswith(DONE)
    assert b'"hi"' in answer.body


def test_a_streamed_answer_to_a_plain_request_is_collected() -> None:
    answer = run(Run(GOOD, stream=False))
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "hello"


@pytest.mark.row("S2-40")
def test_silence_before_content_is_a_timeout() -> None:
    with pytest.raises(UpstreamTimeout, match="said nothing") as caught:
        run(Run(stream(ROLE, 5.0), timeout=0.05))
    assert caught.value.status == 504


def test_bytes_without_content_do_not_extend_the_first_deadline() -> None:
    steps: list[bytes | float] = []
    for _ in range(20):
        steps += [b": waiting\n\n", 0.02]
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        run(Run(stream(*steps), timeout=0.1))
    assert time.monotonic() - started < 0.35


def test_the_total_deadline_ends_an_endless_answer() -> None:
    steps: list[bytes | float] = []
    for _ in range(50):
        steps += [chunk("x"), 0.02]
    answer = run(Run(stream(*steps), deadlines=Deadlines(total=0.2)))
    assert b"longer than" in answer.body


def test_pings_keep_a_waiting_client_and_leave_fallback_open() -> None:
    r = Run(stream(ROLE, 0.3, UpstreamBroken("cut")), GOOD, ping=0.05)
    answer = run(r)
    assert answer.body.startswith(b":")
    assert b"hello" in answer.body
    assert b"error" not in answer.body
    assert r.attempts == [1, 2]


def test_all_failed_after_a_ping_is_an_error_in_the_stream() -> None:
    answer = run(Run(stream(0.2, UpstreamRateLimited("no")), ping=0.05))
    assert answer.begun
    assert b'"error"' in answer.body
    assert answer.ended


@pytest.mark.parametrize("stream_it", [True, False])
def test_strict_mode_names_what_would_be_lost(stream_it: bool) -> None:
    r = Run(
        Script(WHOLE),
        client=CHAT,
        upstream="anthropic_messages",
        strict=True,
        stream=stream_it,
        body={"logit_bias": {"1": 5}},
    )
    with pytest.raises(NotTranslatable, match="logit_bias"):
        run(r)
    assert not r.transport.requests, "nothing is sent upstream"


def test_lossy_translation_is_counted_in_a_header() -> None:
    whole = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "up",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    r = Run(
        Script(json.dumps(whole).encode()),
        upstream="anthropic_messages",
        stream=False,
        body={"logit_bias": {"1": 5}, "seed": 4},
    )
    assert "dropped=2" in run(r).headers["dragoman-translation"]


def test_a_client_that_leaves_closes_the_upstream() -> None:
    async def leave() -> Run:
        r = Run(stream(ROLE, chunk("hel"), 30.0))
        task = asyncio.ensure_future(r.go())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return r

    r = asyncio.run(leave())
    assert r.transport.closed == [False]


@pytest.mark.parametrize("client", [CHAT, "anthropic_messages", "openai_responses"])
def test_an_upstream_that_cannot_stream_is_asked_for_the_whole_and_the_client_kept_alive(
    client: str,
) -> None:
    quirks: dict[str, object] = {"unstreamed": True, "unstreamed_ping_seconds": 0.05}
    body = {"messages": None, "input": "hi"} if client == "openai_responses" else None
    r = Run(Script(WHOLE, headers_after=0.3), client=client, quirks=quirks, body=body)
    answer = run(r)
    assert "stream" not in json.loads(r.transport.requests[0].body)
    assert r.transport.requests[0].headers["accept"] == "application/json"
    assert answer.headers["content-type"] == SSE
    assert b"hi" in answer.body
    before, _, _ = answer.body.partition(b"hi")
    assert before.count(b"ping") + before.count(b": ") >= 2, "pings went out while it worked"
    assert answer.ended


@pytest.mark.parametrize(
    ("told", "least", "most"), [("in two minutes", 110, 121), ("never", None, None)]
)
def test_a_retry_after_that_is_a_date_counts_from_now(
    told: str, least: float | None, most: float | None
) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    busy = Script(b'{"error":{"message":"busy"}}', status=429)
    busy.headers = {"retry-after": when if told == "in two minutes" else told}
    with pytest.raises(UpstreamRateLimited) as caught:
        run(Run(busy))
    wait = caught.value.retry_after
    if least is None or most is None:
        assert wait is None
    else:
        assert wait is not None
        assert least <= wait <= most
