"""Messages through the ``anthropic`` package, streamed with its own accumulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import anthropic
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from tests.support.clients.base import Ask, Call, Failed, Outcome

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_RAW_EVENTS = (
    "message_start",
    "message_delta",
    "message_stop",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
)


class AnthropicMessages:
    """``client.messages``."""

    protocol: ClassVar[str] = "anthropic_messages"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)

    def ask(self, question: Ask) -> Outcome:
        """See Client."""
        return self._send(question, _opening(question))

    def follow(
        self, question: Ask, answer: Outcome, results: Sequence[str], prompt: str
    ) -> Outcome:
        """See Client."""
        content: list[Any] = [
            {"type": "tool_result", "tool_use_id": call.id, "content": result}
            for call, result in zip(answer.calls, results, strict=False)
        ]
        if prompt:
            content.append({"type": "text", "text": prompt})
        messages = [*_opening(question), answer.turn, {"role": "user", "content": content}]
        return self._send(question, messages)

    def _send(self, question: Ask, messages: list[Any]) -> Outcome:
        options: dict[str, Any] = {
            "model": question.model,
            "max_tokens": 8192,
            "messages": messages,
        }
        if question.system:
            options["system"] = question.system
        if question.tools:
            options["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
                for tool in question.tools
            ]
        if question.schema is not None:
            form = {"type": "json_schema", "schema": question.schema}
            options["output_config"] = {"format": form}
        if question.think:
            options["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        try:
            if question.stream:
                return _outcome(self._streamed(options))
            answer = self.sdk.messages.create(**options)
        except anthropic.APIStatusError as error:
            # In a stream the SDK reports the status of the response it came in, 200.
            status = None if error.status_code == 200 else error.status_code
            raise Failed(status, str(error), dict(error.response.headers)) from error
        except anthropic.AnthropicError as error:
            raise Failed(None, str(error), {}) from error
        return _outcome(Message.model_validate(answer.to_dict()))

    def _streamed(self, options: dict[str, Any]) -> Message:
        open_block: int | None = None
        with self.sdk.messages.stream(**options) as stream:
            for loose in stream:
                if loose.type not in _RAW_EVENTS:
                    continue  # the SDK's own conveniences
                raw = loose.to_dict()
                for name in ("snapshot", "parsed_snapshot"):
                    raw.pop(name, None)
                if loose.type == "content_block_start":
                    assert open_block is None, "content blocks must not overlap"
                    open_block = loose.index
                elif loose.type == "content_block_stop":
                    assert open_block == loose.index
                    open_block = None
                    raw.pop("content_block", None)
                elif loose.type == "message_stop":
                    raw.pop("message", None)
                _EVENT.validate_python(raw)
            final = stream.get_final_message()
        return Message.model_validate(final.to_dict())


def _opening(question: Ask) -> list[Any]:
    if not question.images:
        return [{"role": "user", "content": question.prompt}]
    images = [{"type": "image", "source": _source(image)} for image in question.images]
    return [{"role": "user", "content": [*images, {"type": "text", "text": question.prompt}]}]


def _source(image: str) -> dict[str, Any]:
    if image.startswith("http"):
        return {"type": "url", "url": image}
    return {"type": "base64", "media_type": "image/png", "data": image}


def _outcome(answer: Message) -> Outcome:
    usage = answer.usage
    cached = usage.cache_read_input_tokens or 0
    outcome = Outcome(
        model=answer.model,
        finish=str(answer.stop_reason),
        input_tokens=usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
        output_tokens=usage.output_tokens,
        cached_tokens=cached,
    )
    blocks = []
    for block in answer.content:
        raw = block.to_dict(exclude_none=True)
        raw.pop("parsed_output", None)
        blocks.append(raw)
        if block.type == "text":
            outcome.text += block.text
        elif block.type == "thinking":
            outcome.reasoning += block.thinking
        elif block.type == "tool_use":
            outcome.calls.append(Call(block.id, block.name, dict(block.input)))
    if answer.stop_reason == "refusal":
        outcome.refusal, outcome.text = outcome.text, ""
    outcome.turn = {"role": "assistant", "content": blocks}
    return outcome
