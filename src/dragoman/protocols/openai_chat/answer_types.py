"""What a Chat Completions answer looks like on the wire, whole and in chunks.

As lenient as real servers are sloppy: everything may be missing or null. Sources as in ``types.py``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.protocols.openai_chat.types import ContentPart, Image, ReasoningDetail
from dragoman.protocols.openai_shared.stream_decoder import ChunkBase, ChunkChoiceBase
from dragoman.protocols.openai_shared.usage import WireUsage
from dragoman.protocols.wire_json import ABSENT


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Custom(msgspec.Struct):
    name: str | None = None
    input: str | None = None


class ToolCall(msgspec.Struct):
    """One of ``tool_calls``, whole or a piece."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: dict[str, Any] | None = None


class Audio(msgspec.Struct):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class Message(msgspec.Struct):
    """``message`` of a whole answer and ``delta`` of a chunk."""

    content: str | list[ContentPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    images: list[Image] | None = None
    annotations: list[Any] | None = None


class Delta(msgspec.Struct):
    """As Message; what is rare is left plain and looked at when it comes."""

    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    images: list[dict[str, Any]] | None = None
    annotations: list[Any] | None = None


class Logprobs(msgspec.Struct):
    content: list[Any] | None = None
    refusal: list[Any] | None = None


class Choice(msgspec.Struct):
    message: Message
    index: int | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: Any = None
    logprobs: Logprobs | None = None
    error: Any = None


class ChunkChoice(ChunkChoiceBase, kw_only=True):
    delta: Delta | None = None
    logprobs: Logprobs | None = None


class Chunk(ChunkBase, kw_only=True):
    choices: list[ChunkChoice] | None = None


class Completion(msgspec.Struct):
    choices: list[Choice] | None = None
    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    service_tier: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    base_resp: Any = None


class GlanceChoice(msgspec.Struct):
    finish_reason: str | None = None
    error: msgspec.Raw = ABSENT


class Glance(msgspec.Struct):
    """The little that forwarding needs of a Completion, and the places where errors hide."""

    choices: list[GlanceChoice] | None = None
    model: str | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = ABSENT
    base_resp: msgspec.Raw = ABSENT
