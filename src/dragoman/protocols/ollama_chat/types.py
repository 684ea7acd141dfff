"""What Ollama's ``/api/chat`` and ``/api/embed`` look like on the wire.

Sources: ``api/types.go`` and ``docs/openapi.yaml`` of ollama/ollama, docs.ollama.com. Fields that the
canonical form has no place for are not listed: they are carried as they are (``leftovers``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from dragoman.canonical.parts import Extensions

PROTOCOL_ID = "ollama_chat"
NO_ARGUMENTS = msgspec.Raw(b"{}")

SETTINGS_BY_OPTION = {
    "num_predict": "max_output_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Ollama's ``options`` → canonical settings. All other options ride in extensions."""


class FunctionCall(msgspec.Struct):
    """``arguments`` is an object; servers that imitate Ollama send it as a string, too. It stays raw,
    so that key order and spelling survive."""

    name: str
    arguments: msgspec.Raw = NO_ARGUMENTS
    index: int | None = None


class ToolCall(msgspec.Struct):
    """``id`` is absent in older versions; ``type`` is only ever ``function``."""

    function: FunctionCall
    id: str | None = None
    type: str | None = None


class ChatMessage(msgspec.Struct):
    """A turn, in requests and answers. ``images`` are base64 without any prefix."""

    role: str = ""
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class ToolFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: ToolFunction | None = None


class Options(msgspec.Struct):
    """The options that every model understands; the rest are the runner's."""

    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class ChatRequest(msgspec.Struct):
    """``stream`` is on unless it is switched off; ``think`` is a switch or a level's name."""

    model: str = ""
    messages: list[ChatMessage] = []
    tools: list[Tool] | None = None
    format: str | dict[str, Any] | None = None
    options: Options | None = None
    think: bool | str | None = None
    stream: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class ChatAnswer(msgspec.Struct):
    """A whole answer, or one line of a streamed one. ``error`` is the whole content of a failure."""

    model: str | None = None
    created_at: str | None = None
    message: ChatMessage | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    logprobs: list[Any] | None = None
    error: Any = None


class EmbedRequest(msgspec.Struct):
    model: str = ""
    input: str | list[str] | None = None
    dimensions: int | None = None


class EmbedAnswer(msgspec.Struct):
    """``embedding`` is the form of the older ``/api/embeddings``, which imitations mix up."""

    model: str | None = None
    embeddings: list[list[float]] | None = None
    embedding: list[float] | None = None
    prompt_eval_count: int | None = None
    error: Any = None


def leftovers(value: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The fields of ``value`` that are not ``known``."""
    return {name: field for name, field in value.items() if name not in known}


def as_extensions(fields: dict[str, Any]) -> Extensions | None:
    """``fields`` as extensions of this protocol; None when there are none."""
    return {PROTOCOL_ID: fields} if fields else None


_IMAGE_TYPES = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)


def image_type(data: str) -> str | None:
    """The MIME type that base64 ``data`` begins like. Ollama's images do not say it, and other
    protocols demand it."""
    return next((mime for start, mime in _IMAGE_TYPES if data.startswith(start)), None)


_text = msgspec.json.Decoder(str)


def arguments_text(raw: msgspec.Raw) -> str:
    """A call's arguments as JSON text. Raises msgspec.DecodeError for a malformed string."""
    data = bytes(raw)
    if data.startswith(b'"'):
        return _text.decode(data)
    return "{}" if data == b"null" else data.decode("utf-8", "replace")
