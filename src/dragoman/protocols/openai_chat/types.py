"""What a Chat Completions request looks like on the wire.

These types validate; unknown fields pass and are kept by ``request.py`` and ``messages.py``, which
read the body's own dictionaries once it is known to be well-formed. ``Raw`` stands for values that
nobody here looks into.

Source: ``openai.types.chat`` (openai 3.52), and the documented additions of OpenRouter (``reasoning``,
``reasoning_details``, ``cache_control``, ``images``), DeepSeek, Z.ai and Moonshot
(``reasoning_content``, ``thinking``), Model Studio (``enable_thinking``), vLLM (``video_url``) and
Google's compatible endpoint (``extra_content``).
"""

from __future__ import annotations

import msgspec

PROTOCOL_ID = "openai_chat"


class CacheControl(msgspec.Struct):
    type: str = "ephemeral"
    ttl: str | None = None


class ImageURL(msgspec.Struct):
    url: str
    detail: str | None = None


class MediaURL(msgspec.Struct):
    url: str


class InputAudio(msgspec.Struct):
    data: str
    format: str = "wav"


class File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Image(msgspec.Struct):
    """One of ``message.images``."""

    image_url: ImageURL | str


class ContentPart(msgspec.Struct):
    """One part of any kind; which fields count is ``type``'s to say."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageURL | str | None = None
    video_url: MediaURL | str | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    cache_control: CacheControl | None = None
    prompt_cache_breakpoint: dict[str, msgspec.Raw] | None = None


Content = str | list[ContentPart] | None


class FunctionCall(msgspec.Struct):
    name: str
    arguments: str | dict[str, msgspec.Raw] | None = None


class CustomCall(msgspec.Struct):
    name: str
    input: str = ""


class ToolCall(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    custom: CustomCall | None = None
    extra_content: dict[str, msgspec.Raw] | None = None
    cache_control: CacheControl | None = None


class ReasoningDetail(msgspec.Struct):
    type: str = ""
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None


class AudioId(msgspec.Struct):
    id: str


class Message(msgspec.Struct):
    role: str
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    audio: AudioId | None = None
    images: list[Image] | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    cache_control: CacheControl | None = None


class Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None


class Custom(msgspec.Struct):
    name: str
    description: str | None = None
    format: dict[str, msgspec.Raw] | None = None


class Tool(msgspec.Struct):
    type: str = "function"
    function: Function | None = None
    custom: Custom | None = None
    cache_control: CacheControl | None = None


class Named(msgspec.Struct):
    name: str


class AllowedTool(msgspec.Struct):
    type: str = "function"
    function: Named | None = None
    custom: Named | None = None


class AllowedTools(msgspec.Struct):
    tools: list[AllowedTool]
    mode: str = "auto"


class NamedToolChoice(msgspec.Struct):
    type: str = "function"
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct):
    name: str | None = None
    description: str | None = None
    schema: dict[str, msgspec.Raw] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Thinking(msgspec.Struct):
    type: str | None = None
    budget_tokens: int | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    summary: str | None = None


class ChatRequest(msgspec.Struct):
    messages: list[Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    user: str | None = None
    metadata: dict[str, msgspec.Raw] | None = None
    store: bool | None = None
    prompt_cache_key: str | None = None
    tools: list[Tool] | None = None
    tool_choice: NamedToolChoice | str | None = None
    functions: list[Function] | None = None
    function_call: Named | str | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    thinking: Thinking | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    cache_control: CacheControl | None = None
