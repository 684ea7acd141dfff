"""What the official Python SDK makes of our answers, our streams, and above all our errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import openai
import pytest
from pydantic import BaseModel

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import CreditExhausted, UpstreamBroken
from dragoman.canonical.events import Event, PartDelta, PartStart, Start
from dragoman.canonical.parts import Reasoning, Text, ToolCall
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Target, all_events
from dragoman.protocols.openai_responses import PROTOCOL

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai_responses"
ORIGIN = Origin("openai_responses", "openai", "gpt-5.6")
REQUEST = PROTOCOL.decode_request(
    PROTOCOL.parse_request(b'{"model":"m","input":"hi","stream":true}', Target())
)
FOREIGN = Response(
    id="msg_01",
    model="claude",
    choices=[
        Choice(
            parts=[
                Reasoning(text="Let me think."),
                Text(text='{"city": "Paris"}'),
                ToolCall(id="toolu_1", name="get_weather", arguments='{"city":"Paris"}'),
                ToolCall(id="toolu_2", name="get_weather", arguments=""),
            ],
            finish=Finish(reason=FinishReason.TOOL_CALLS),
        )
    ],
    usage=Usage(input=3, output=4),
)


def client(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> openai.OpenAI:
    """The SDK, answered with ``body``."""
    kind = "text/event-stream" if body.startswith((b"event:", b":")) else "application/json"
    sent = {"content-type": kind, **(headers or {})}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, headers=sent, content=body))
    return openai.OpenAI(
        api_key="sk-x",
        base_url="http://gateway/v1",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
    )


def stream(events: list[Event], then: Callable[..., bytes] | None = None) -> bytes:
    encoder = PROTOCOL.stream_encoder(REQUEST)
    wire = encoder.ping() + b"".join(encoder.feed(event) for event in events)
    return wire + (encoder.finish() if then is None else then(encoder))


OWN = all_events(PROTOCOL.stream_decoder(ORIGIN), [(FIXTURES / "stream.sse").read_bytes()])


class City(BaseModel):
    city: str


def test_a_whole_answer() -> None:
    sdk = client(PROTOCOL.encode_response(FOREIGN, REQUEST))
    answer = sdk.responses.create(model="m", input="hi")
    assert answer.output_text == '{"city": "Paris"}'
    assert [item.type for item in answer.output] == [
        *("reasoning", "message", "function_call", "function_call"),
    ]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7


def test_a_parsed_answer() -> None:
    sdk = client(PROTOCOL.encode_response(FOREIGN, REQUEST))
    assert sdk.responses.parse(model="m", input="hi", text_format=City).output_parsed == City(
        city="Paris"
    )


@pytest.mark.parametrize("events", [list(replay(FOREIGN)), OWN], ids=["foreign", "own"])
def test_the_stream_helper_takes_every_event(events: list[Event]) -> None:
    with client(stream(events)).responses.stream(model="m", input="hi") as helper:
        kinds = [event.type for event in helper]
        final = helper.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text
    calls = [item for item in final.output if item.type == "function_call"]
    assert {call.arguments for call in calls} <= {'{"city":"Paris"}', "{}"}


def test_plain_iteration() -> None:
    sdk = client(stream(list(replay(FOREIGN))))
    deltas = [
        event.delta
        for event in sdk.responses.create(model="m", input="hi", stream=True)
        if event.type == "response.output_text.delta"
    ]
    assert "".join(deltas) == '{"city": "Paris"}'


BROKEN = UpstreamBroken("The upstream broke off.")
BEGUN: list[Event] = [Start(id="x", model="m"), PartStart(0, Text(text="")), PartDelta(0, "Hel")]


@pytest.mark.parametrize("events", [[], BEGUN], ids=["before anything", "in the middle"])
def test_an_error_is_raised_by_plain_iteration(events: list[Event]) -> None:
    sdk = client(stream(events, lambda encoder: encoder.error(BROKEN)))
    with pytest.raises(openai.APIError, match="broke off"):
        list(sdk.responses.create(model="m", input="hi", stream=True))


@pytest.mark.parametrize("events", [[], BEGUN], ids=["before anything", "in the middle"])
def test_an_error_is_raised_by_the_stream_helper(events: list[Event]) -> None:
    sdk = client(stream(events, lambda encoder: encoder.error(BROKEN)))
    with (
        pytest.raises(openai.APIError, match="broke off"),
        sdk.responses.stream(model="m", input="hi") as helper,
    ):
        helper.until_done()


def test_codex_sees_why_a_response_failed() -> None:
    wire = stream(BEGUN, lambda encoder: encoder.error(CreditExhausted("No credit left.")))
    events = iter(client(wire).responses.create(model="m", input="hi", stream=True))
    failed = next(event for event in events if event.type == "response.failed")
    assert failed.response.error is not None
    assert failed.response.error.code == "insufficient_quota"
    with pytest.raises(openai.APIError):
        next(events)


def test_http_errors_become_the_sdks() -> None:
    reply = PROTOCOL.encode_error(CreditExhausted("No credit left."), "req_1")
    sdk = client(reply.body, reply.status, dict(reply.headers))
    with pytest.raises(openai.APIStatusError) as caught:
        sdk.responses.create(model="m", input="hi")
    assert caught.value.code == "insufficient_quota"
    assert caught.value.request_id == "req_1"


def test_token_counts() -> None:
    assert PROTOCOL.token_count is not None
    sdk = client(PROTOCOL.token_count.encode_response(11))
    assert sdk.responses.input_tokens.count(model="m", input="hi").input_tokens == 11
