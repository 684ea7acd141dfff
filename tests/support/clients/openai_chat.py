"""Chat Completions through the ``openai`` package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.support.clients.base import Ask, Call, Failed, Outcome, image_url


def failed(error: openai.OpenAIError) -> Failed:
    """What an SDK exception says."""
    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None)
    return Failed(status, str(error), dict(response.headers) if response is not None else {})


class OpenAIChat:
    """``client.chat.completions``."""

    protocol: ClassVar[str] = "openai_chat"

    def __init__(self, url: str, key: str) -> None:
        self.sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20)

    def ask(self, question: Ask) -> Outcome:
        """See Client."""
        return self._send(question, _opening(question))

    def follow(
        self, question: Ask, answer: Outcome, results: Sequence[str], prompt: str
    ) -> Outcome:
        """See Client."""
        messages = [*_opening(question), answer.turn]
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(answer.calls, results, strict=False)
        ]
        if prompt:
            messages.append({"role": "user", "content": prompt})
        return self._send(question, messages)

    def _send(self, question: Ask, messages: list[Any]) -> Outcome:
        options: dict[str, Any] = {"model": question.model, "messages": messages}
        if question.tools:
            options["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.schema,
                    },
                }
                for tool in question.tools
            ]
        if question.schema is not None:
            form = {"name": "answer", "schema": question.schema, "strict": True}
            options["response_format"] = {"type": "json_schema", "json_schema": form}
        if question.think:
            options["reasoning_effort"] = "high"
        try:
            if question.stream:
                usage = {"include_usage": True}
                with self.sdk.chat.completions.create(
                    **options, stream=True, stream_options=usage
                ) as chunks:
                    return _outcome(_joined(chunks))
            answer = self.sdk.chat.completions.create(**options)
        except openai.OpenAIError as error:
            raise failed(error) from error
        return _outcome(ChatCompletion.model_validate(answer.to_dict()))


def _opening(question: Ask) -> list[Any]:
    content: Any = question.prompt
    if question.images:
        urls = [image_url(image) for image in question.images]
        content = [
            {"type": "text", "text": question.prompt},
            *({"type": "image_url", "image_url": {"url": url}} for url in urls),
        ]
    system = [{"role": "system", "content": question.system}] if question.system else []
    return [*system, {"role": "user", "content": content}]


def _outcome(answer: ChatCompletion) -> Outcome:
    (choice,) = answer.choices
    message = choice.message
    usage = answer.usage
    details = usage.prompt_tokens_details if usage else None
    extra = message.model_extra or {}
    return Outcome(
        text=message.content or "",
        reasoning=extra.get("reasoning_content") or extra.get("reasoning") or "",
        refusal=message.refusal or "",
        calls=[
            Call(call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or ()
            if call.type == "function"
        ],
        finish=choice.finish_reason,
        model=answer.model,
        input_tokens=usage.prompt_tokens if usage else 0,
        output_tokens=usage.completion_tokens if usage else 0,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        turn=message.to_dict(exclude_none=True),
    )


def _joined(chunks: Iterable[ChatCompletionChunk]) -> ChatCompletion:
    """Put the chunks together as a careful client would; raises on what no client could use."""
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    head: dict[str, Any] = {}
    usage: Any = None
    finish: str | None = None
    for loose in chunks:
        chunk = ChatCompletionChunk.model_validate(loose.to_dict())
        head = head or {"id": chunk.id, "created": chunk.created, "model": chunk.model}
        usage = chunk.usage.to_dict() if chunk.usage else usage
        for choice in chunk.choices:
            assert choice.index == 0
            finish = choice.finish_reason or finish
            delta = choice.delta.to_dict(exclude_none=True)
            for piece in delta.pop("tool_calls", ()):  # type: ignore[attr-defined]
                _merge_call(calls, piece)
            _merge(message, delta)
    message.setdefault("content", None)
    message.setdefault("refusal", None)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    choice_body = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return ChatCompletion.model_validate(
        {**head, "object": "chat.completion", "choices": [choice_body], "usage": usage}
    )


def _merge(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "role":
            message["role"] = value
        elif name == "reasoning_details":
            _merge_details(message.setdefault(name, []), value)
        elif isinstance(value, str):
            message[name] = message.get(name, "") + value
        elif isinstance(value, list):
            message[name] = [*message.get(name, []), *value]
        else:
            message[name] = value


def _merge_details(known: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    """OpenRouter's ``reasoning_details``: pieces of one ``index`` and ``type`` are one detail."""
    for piece in pieces:
        same = [
            one
            for one in known
            if (one.get("index"), one.get("type")) == (piece.get("index"), piece.get("type"))
        ]
        if not same:
            known.append(dict(piece))
            continue
        for name, value in piece.items():
            if name in ("text", "summary", "data") and value:
                same[0][name] = (same[0].get(name) or "") + value
            elif value is not None:
                same[0][name] = value


def _merge_call(calls: dict[int, dict[str, Any]], piece: dict[str, Any]) -> None:
    index = piece["index"]
    if index not in calls:
        # The first piece must say who is called: every client keys on that.
        assert piece["id"]
        assert piece["function"]["name"]
        calls[index] = {"id": piece["id"], "type": "function", "function": {"arguments": ""}}
    call = calls[index]
    assert piece.get("id", call["id"]) == call["id"]
    function = piece.get("function", {})
    call["function"]["arguments"] += function.get("arguments", "")
    if function.get("name"):
        call["function"].setdefault("name", function["name"])
    for name, value in piece.items():
        if name not in ("index", "id", "type", "function"):
            call[name] = value
