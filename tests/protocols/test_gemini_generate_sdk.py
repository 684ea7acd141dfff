"""Google's own Python SDK, against what the encoders write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import CreditExhausted, GatewayError, RateLimited
from dragoman.canonical.parts import Part, Reasoning, Text, ToolCall
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import Target
from dragoman.protocols.gemini_generate import PROTOCOL

FOREIGN = Signature("??>>sig", Origin("anthropic_messages", "anthropic", "claude"))


class Gateway:
    """Answers the SDK through the codecs, without a socket, and keeps the requests."""

    def __init__(self, *turns: Iterable[Part] | GatewayError) -> None:
        self.turns = list(turns)
        self.requests: list[Request] = []
        options = types.HttpOptions(
            base_url="http://gateway",
            httpx_client=httpx2.Client(transport=httpx2.MockTransport(self._answer)),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        self.client = genai.Client(api_key="sk-gw-test", http_options=options)

    def _answer(self, http: httpx2.Request) -> httpx2.Response:
        stream = "stream" in http.url.path
        model = http.url.path.rpartition("/")[2].partition(":")[0]
        target = Target(model=model, stream=stream)
        request = PROTOCOL.decode_request(PROTOCOL.parse_request(http.content, target))
        self.requests.append(request)
        turn = self.turns.pop(0)
        if isinstance(turn, GatewayError) and not stream:
            reply = PROTOCOL.encode_error(turn, "req")
            return httpx2.Response(reply.status, headers=reply.headers, content=reply.body)
        encoder = PROTOCOL.stream_encoder(request)
        if isinstance(turn, GatewayError):
            return httpx2.Response(200, content=encoder.error(turn))
        response = Response(
            id="r",
            model="answering-model",
            choices=[Choice(parts=list(turn), finish=Finish(reason=FinishReason.STOP))],
            usage=Usage(input=3, output=4, reasoning=5),
            service_tier="default",
        )
        if not stream:
            return httpx2.Response(200, content=PROTOCOL.encode_response(response, request))
        data = b"".join(encoder.feed(event) for event in replay(response))
        return httpx2.Response(200, content=data + encoder.finish())


def test_a_whole_answer() -> None:
    call = ToolCall(id="c1", name="f", arguments='{"a": 1}', signature=FOREIGN)
    gateway = Gateway([Reasoning(text="hm"), Text(text="Hello."), call])
    answer = gateway.client.models.generate_content(model="some-model", contents="hi")
    assert answer.candidates is not None
    content = answer.candidates[0].content
    assert content is not None
    assert content.parts is not None
    assert content.parts[0].thought
    assert content.parts[1].text == "Hello."
    assert answer.function_calls is not None
    assert answer.function_calls[0].args == {"a": 1}
    assert answer.candidates[0].finish_reason is types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.total_token_count == 12
    assert answer.model_version == "answering-model"
    assert gateway.requests[0].model == "some-model"


def test_a_chat_carries_foreign_signatures_back() -> None:
    """Streamed, so that the history has one content per chunk and the signature in one of its own."""
    first = [Reasoning(text="Let me see.", signature=FOREIGN), Text(text="It is so.")]
    gateway = Gateway(first, [Text(text="Yes.")])
    chat = gateway.client.chats.create(model="m")
    texts = [chunk.text or "" for chunk in chat.send_message_stream("Is it so?")]
    assert "".join(texts) == "It is so."
    assert chat.send_message("Really?").text == "Yes."
    again = gateway.requests[1].messages
    assert [message.role for message in again] == ["user", "assistant", "user"]
    thought, text = again[1].parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.signature) == ("Let me see.", FOREIGN)
    assert text == Text(text="It is so.")


def test_functions_are_called_by_the_sdk() -> None:
    call = ToolCall(id="c1", name="add", arguments='{"a": 2, "b": 3}', signature=FOREIGN)
    gateway = Gateway([call], [Text(text="5")])

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    config = types.GenerateContentConfig(tools=[add])
    answer = gateway.client.models.generate_content(model="m", contents="2 + 3?", config=config)
    assert answer.text == "5"
    asked, called = gateway.requests
    assert asked.tools[0].parameters is not None
    assert set(asked.tools[0].parameters["properties"]) == {"a", "b"}
    returned, result = called.messages[1].parts[0], called.messages[2].parts[0]
    assert isinstance(returned, ToolCall)
    assert (returned.id, returned.signature) == ("c1", FOREIGN)
    assert getattr(result, "call_id", None) == "c1"
    assert getattr(result, "content", None) == [Text(text='{"result":5}')]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (CreditExhausted("No credit is left."), 402, "RESOURCE_EXHAUSTED"),
        (RateLimited("Slow down.", retry_after=3), 429, "RESOURCE_EXHAUSTED"),
    ],
)
def test_errors_are_raised(error: GatewayError, code: int, status: str) -> None:
    gateway = Gateway(error, error)
    with pytest.raises(errors.ClientError) as caught:
        gateway.client.models.generate_content(model="m", contents="hi")
    assert (caught.value.code, caught.value.status) == (code, status)
    with pytest.raises(errors.ClientError) as caught:
        list(gateway.client.models.generate_content_stream(model="m", contents="hi"))
    assert (caught.value.code, caught.value.message) == (code, error.message)


def test_every_request_option_of_the_sdk_is_taken() -> None:
    gateway = Gateway([Text(text="{}")])
    config: dict[str, Any] = {
        "system_instruction": "be brief",
        "temperature": 1,
        "top_k": 40,
        "stop_sequences": ["x"],
        "response_mime_type": "application/json",
        "response_schema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        "thinking_config": {"thinking_level": "low", "include_thoughts": True},
        "safety_settings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"}
        ],
        "service_tier": "flex",
        "tools": [{"google_search": {}}],
        "tool_config": {"function_calling_config": {"mode": "VALIDATED"}},
    }
    gateway.client.models.generate_content(
        model="m", contents="hi", config=types.GenerateContentConfig(**config)
    )
    request = gateway.requests[0]
    assert request.messages[0].role == "system"
    assert request.settings.top_k == 40
    assert request.settings.service_tier == "flex"
    assert request.output is not None
    assert request.output.schema == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
    }
    assert request.reasoning is not None
    assert (request.reasoning.effort, request.reasoning.visible) == ("low", True)
    assert [tool.config for tool in request.tools] == [{"googleSearch": {}}]
    assert json.dumps(request.extensions)
