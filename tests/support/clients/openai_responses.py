"""Responses through the ``openai`` package, streamed with its own strict accumulator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar, get_args

import openai
import pydantic
from openai.types.responses import Response, ResponseStreamEvent

from tests.support.clients.base import Ask, Call, Failed, Outcome, image_url
from tests.support.clients.openai_chat import failed

# By their ``type``, because a mismatch with the whole union is told once for each of its members.
_EVENTS: dict[str, type[pydantic.BaseModel]] = {
    get_args(one.model_fields["type"].annotation)[0]: one
    for one in get_args(get_args(ResponseStreamEvent)[0])
}


class OpenAIResponses:
    """``client.responses``, stateless: nothing stored, encrypted reasoning carried along."""

    protocol: ClassVar[str] = "openai_responses"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)

    def ask(self, question: Ask) -> Outcome:
        """See Client."""
        return self._send(question, _opening(question))

    def follow(
        self, question: Ask, answer: Outcome, results: Sequence[str], prompt: str
    ) -> Outcome:
        """See Client."""
        items = [*_opening(question), *answer.turn]
        items += [
            {"type": "function_call_output", "call_id": call.id, "output": result}
            for call, result in zip(answer.calls, results, strict=False)
        ]
        if prompt:
            items.append({"role": "user", "content": prompt})
        return self._send(question, items)

    def _send(self, question: Ask, items: list[Any]) -> Outcome:
        options: dict[str, Any] = {"model": question.model, "input": items, "store": False}
        if question.system:
            options["instructions"] = question.system
        if question.tools:
            options["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.schema,
                    "strict": True,
                }
                for tool in question.tools
            ]
        if question.schema is not None:
            form = {"type": "json_schema", "name": "answer", "schema": question.schema}
            options["text"] = {"format": {**form, "strict": True}}
        if question.think:
            options["reasoning"] = {"effort": "high", "summary": "auto"}
            options["include"] = ["reasoning.encrypted_content"]
        try:
            if question.stream:
                return _outcome(self._streamed(options))
            answer = self.sdk.responses.create(**options)
        except openai.OpenAIError as error:
            raise failed(error) from error
        return _outcome(Response.model_validate(answer.to_dict()))

    def _streamed(self, options: dict[str, Any]) -> Response:
        numbers: list[int] = []
        kinds: list[str] = []
        final: Response | None = None
        with self.sdk.responses.create(**options, stream=True) as events:
            for loose in events:
                raw: dict[str, Any] = loose.to_dict()
                if loose.type == "response.failed":
                    _know_code(raw["response"]["error"])
                event: Any = _EVENTS[loose.type].model_validate(raw)
                numbers.append(event.sequence_number)
                kinds.append(event.type)
                if event.type == "error":
                    raise Failed(None, event.message, {})
                if event.type == "response.failed":
                    raise Failed(None, event.response.error.message, {})
                if event.type in ("response.completed", "response.incomplete"):
                    final = event.response
        assert kinds[0] == "response.created"
        assert numbers == sorted(set(numbers)), "sequence numbers rise"
        assert final is not None, f"no terminal event, only {kinds}"
        return final


# OpenAI sends these too, and Codex acts on them, though the SDK's list lacks them.
_UNLISTED_CODES = ("server_is_overloaded", "insufficient_quota", "context_length_exceeded")


def _know_code(error: dict[str, Any]) -> None:
    if error["code"] in _UNLISTED_CODES:
        error["code"] = "server_error"


def _opening(question: Ask) -> list[Any]:
    if not question.images:
        return [{"role": "user", "content": question.prompt}]
    parts: list[dict[str, Any]] = [{"type": "input_text", "text": question.prompt}]
    parts += [
        {"type": "input_image", "image_url": image_url(image), "detail": "auto"}
        for image in question.images
    ]
    return [{"role": "user", "content": parts}]


def _outcome(answer: Response) -> Outcome:
    outcome = Outcome(model=answer.model, finish=str(answer.status))
    if answer.incomplete_details:
        outcome.finish = str(answer.incomplete_details.reason)
    for item in answer.output:
        if item.type == "message":
            for part in item.content:
                if part.type == "output_text":
                    outcome.text += part.text
                else:
                    outcome.refusal += part.refusal
        elif item.type == "reasoning":
            outcome.reasoning += "".join(part.text for part in item.summary)
            outcome.reasoning += "".join(part.text for part in item.content or ())
        elif item.type == "function_call":
            outcome.calls.append(Call(item.call_id, item.name, json.loads(item.arguments)))
    if answer.usage:
        outcome.input_tokens = answer.usage.input_tokens
        outcome.output_tokens = answer.usage.output_tokens
        outcome.cached_tokens = answer.usage.input_tokens_details.cached_tokens
    outcome.turn = [item.to_dict(exclude_none=True) for item in answer.output]
    return outcome
