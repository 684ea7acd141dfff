"""generateContent through the ``google-genai`` package."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from google import genai
from google.genai import errors, types

from tests.support.clients.base import Ask, Call, Failed, Outcome


class GeminiGenerate:
    """``client.models``."""

    protocol: ClassVar[str] = "gemini_generate"

    def __init__(self, url: str, key: str) -> None:
        options = types.HttpOptions(base_url=url, timeout=20_000)
        self.sdk = genai.Client(api_key=key, http_options=options)

    def ask(self, question: Ask) -> Outcome:
        """See Client."""
        return self._send(question, _opening(question))

    def follow(
        self, question: Ask, answer: Outcome, results: Sequence[str], prompt: str
    ) -> Outcome:
        """See Client."""
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id or None, name=call.name, response={"output": result}
                )
            )
            for call, result in zip(answer.calls, results, strict=False)
        ]
        if prompt:
            parts.append(types.Part(text=prompt))
        contents = [*_opening(question), answer.turn, types.Content(role="user", parts=parts)]
        return self._send(question, contents)

    def _send(self, question: Ask, contents: list[Any]) -> Outcome:
        config = types.GenerateContentConfig(
            system_instruction=question.system or None,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        if question.tools:
            declarations = [
                types.FunctionDeclaration(
                    name=tool.name,
                    description=tool.description,
                    parameters_json_schema=tool.schema,
                )
                for tool in question.tools
            ]
            config.tools = [types.Tool(function_declarations=declarations)]
        if question.schema is not None:
            config.response_mime_type = "application/json"
            config.response_json_schema = question.schema
        if question.think:
            config.thinking_config = types.ThinkingConfig(
                include_thoughts=True, thinking_budget=2048
            )
        options: dict[str, Any] = {"model": question.model, "contents": contents, "config": config}
        try:
            if question.stream:
                return _outcome(list(self.sdk.models.generate_content_stream(**options)))
            return _outcome([self.sdk.models.generate_content(**options)])
        except errors.APIError as error:
            headers = getattr(error.response, "headers", None) or {}
            raise Failed(error.code, str(error), dict(headers)) from error


def _opening(question: Ask) -> list[Any]:
    parts = [types.Part(text=question.prompt)]
    for image in question.images:
        if image.startswith("http"):
            file = types.FileData(mime_type="image/png", file_uri=image)
            parts.append(types.Part(file_data=file))
        else:
            blob = types.Blob(mime_type="image/png", data=base64.b64decode(image))
            parts.append(types.Part(inline_data=blob))
    return [types.Content(role="user", parts=parts)]


def _outcome(chunks: Iterable[types.GenerateContentResponse]) -> Outcome:
    outcome = Outcome()
    parts: list[types.Part] = []
    for chunk in chunks:
        outcome.model = chunk.model_version or outcome.model
        usage = chunk.usage_metadata
        if usage:
            outcome.input_tokens = usage.prompt_token_count or 0
            outcome.cached_tokens = usage.cached_content_token_count or 0
            visible, hidden = usage.candidates_token_count, usage.thoughts_token_count
            outcome.output_tokens = (visible or 0) + (hidden or 0)
            total = outcome.input_tokens + outcome.output_tokens
            assert usage.total_token_count in (None, total), "the total is the sum"
        for candidate in chunk.candidates or ():
            if candidate.finish_reason:
                outcome.finish = candidate.finish_reason.value
            parts += (candidate.content.parts if candidate.content else None) or []
    for part in parts:
        if part.function_call:
            call = part.function_call
            outcome.calls.append(Call(call.id or "", str(call.name), dict(call.args or {})))
        elif part.thought:
            outcome.reasoning += part.text or ""
        else:
            outcome.text += part.text or ""
    outcome.turn = types.Content(role="model", parts=parts)
    return outcome
