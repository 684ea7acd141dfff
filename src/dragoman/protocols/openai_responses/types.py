"""What the Responses API looks like on the wire, as far as the codecs read it.

Sources: the request, item and event types of the ``openai`` package (``openai.types.responses``,
3.52). Unknown fields are no error; they are found again with ``marks.leftovers``.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from dragoman.protocols.openai_shared.usage import CompletionDetails, Count, PromptDetails

Object = dict[str, Any]
ENCRYPTED_REASONING = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"
"""Values of ``include`` that the codecs act upon."""

Positive = Annotated[int, msgspec.Meta(ge=1)]


class TextConfig(msgspec.Struct, kw_only=True):
    """``text``: structured output and verbosity."""

    format: Object | None = None
    verbosity: str | None = None


class TextFormat(msgspec.Struct, kw_only=True):
    """``text.format``; the JSON Schema form is flat."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: Object | None = None
    strict: bool | None = None


class ReasoningOptions(msgspec.Struct, kw_only=True):
    """``reasoning``. ``generate_summary`` is the older name of ``summary``."""

    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class RequestBody(msgspec.Struct, kw_only=True):
    """The body of ``POST /responses``. The second block is known but has no canonical home."""

    model: str | None = None
    input: str | list[Object] | None = None
    instructions: str | None = None
    tools: list[Object] | None = None
    tool_choice: str | Object | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningOptions | None = None
    max_output_tokens: Positive | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Object | None = None

    previous_response_id: str | None = None
    conversation: str | Object | None = None
    prompt: Object | None = None
    background: bool | None = None
    truncation: str | None = None
    max_tool_calls: int | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Object | None = None
    safety_identifier: str | None = None
    context_management: list[Object] | None = None
    moderation: Object | None = None
    access_programs: Object | None = None
    image: Object | None = None
    client_metadata: Object | None = None


class MessageItem(msgspec.Struct, kw_only=True):
    """A message of any role; ``type`` may be missing (the "easy" form)."""

    type: str | None = None
    role: str
    content: str | list[Object]
    id: str | None = None
    status: str | None = None


class FunctionCall(msgspec.Struct, kw_only=True):
    type: str
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class CustomToolCall(msgspec.Struct, kw_only=True):
    type: str
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str | None = None
    status: str | None = None


class ToolOutput(msgspec.Struct, kw_only=True):
    """``function_call_output`` and ``custom_tool_call_output``."""

    type: str
    call_id: str | None = None
    output: str | list[Object]
    name: str | None = None
    id: str | None = None
    status: str | None = None


class ReasoningItem(msgspec.Struct, kw_only=True):
    type: str
    summary: list[Object] | None = None
    content: list[Object] | None = None
    encrypted_content: str | None = None
    id: str | None = None
    status: str | None = None


class ImageCall(msgspec.Struct, kw_only=True):
    """``image_generation_call``; ``result`` is base64."""

    type: str
    result: str | None = None
    output_format: str | None = None
    id: str | None = None
    status: str | None = None


class AdditionalTools(msgspec.Struct, kw_only=True):
    """Tools that become available at this point of the input (Codex)."""

    type: str
    tools: list[Object]


class TextContent(msgspec.Struct, kw_only=True):
    """``input_text`` and ``output_text``; only output has ``annotations`` and ``logprobs``."""

    type: str
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: Object | None = None


class RefusalContent(msgspec.Struct, kw_only=True):
    type: str
    refusal: str


class ImageContent(msgspec.Struct, kw_only=True):
    type: str
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: Object | None = None


class FileContent(msgspec.Struct, kw_only=True):
    type: str
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: Object | None = None


class AudioData(msgspec.Struct, kw_only=True):
    data: str
    format: str


class AudioContent(msgspec.Struct, kw_only=True):
    type: str
    input_audio: AudioData


class FunctionTool(msgspec.Struct, kw_only=True):
    type: str
    name: str
    description: str | None = None
    parameters: Object | None = None
    strict: bool | None = None


class CustomTool(msgspec.Struct, kw_only=True):
    type: str
    name: str
    description: str | None = None
    format: Object | None = None


class NamespaceTool(msgspec.Struct, kw_only=True):
    """A named group of function and custom tools."""

    type: str
    name: str
    tools: list[Object]


class InputDetails(PromptDetails):
    """``audio_tokens`` and ``image_tokens`` come from compatible servers only."""

    cache_write_tokens_details: dict[str, int | None] | None = None


class UsageBody(msgspec.Struct):
    input_tokens: Count = None
    output_tokens: Count = None
    total_tokens: Count = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: CompletionDetails | None = None


class ResponseBody(msgspec.Struct, kw_only=True):
    """The ``response`` object, whole or inside a stream's lifecycle events."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Object] | None = None
    usage: UsageBody | None = None
    incomplete_details: Object | None = None
    error: Any = None
    service_tier: str | None = None


class StreamEvent(msgspec.Struct, kw_only=True):
    """Any event of the stream. Fields whose type differs between events stay open."""

    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    delta: Any = None
    logprobs: Any = None
    item: Any = None
    part: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    annotation: Any = None
    summary_index: int | None = None
    response: msgspec.Raw = msgspec.Raw(b"{}")
    error: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
