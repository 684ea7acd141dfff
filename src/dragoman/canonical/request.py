"""One generation request, free of any protocol."""

from __future__ import annotations

from typing import Literal

import msgspec

from dragoman.canonical.parts import CacheHint, Extensions, Json, Part

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One turn. System and developer text stays in place among the messages; encoders whose target
    has a separate field lift it out. Tool results may stand in a ``tool`` or a ``user`` message."""

    role: Role
    parts: list[Part]
    name: str | None = None
    extensions: Extensions | None = None


class Tool(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A tool the model may call.

    ``function``: ``parameters`` is a JSON Schema object (None when absent). ``custom``: free-text
    input, ``format`` its grammar. ``hosted``: run by the provider itself; ``config`` is the tool as
    ``protocol`` writes it, and no other protocol can run it.
    """

    name: str
    kind: Literal["function", "custom", "hosted"] = "function"
    description: str | None = None
    parameters: dict[str, Json] | None = None
    strict: bool | None = None
    format: Json = None
    protocol: str | None = None
    config: Json = None
    cache: CacheHint | None = None
    extensions: Extensions | None = None


class ToolChoice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``tool`` demands the one tool in ``names``; otherwise ``names``, if any, limits the choice."""

    mode: Literal["auto", "none", "required", "tool"]
    names: list[str] = msgspec.field(default_factory=list)


class Settings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Sampling and limits, under their commonest names; None = the client did not say."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] | None = None
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
    metadata: dict[str, Json] | None = None
    store: bool | None = None


class OutputFormat(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Structured output. ``schema`` is a JSON Schema for ``json_schema``."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: dict[str, Json] | None = None
    strict: bool | None = None


class ReasoningConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How much the model should think, and whether the client sees it.

    ``mode`` is what was said about thinking itself: off, on (with ``budget_tokens``), or adaptive.
    ``effort`` is one of none, minimal, low, medium, high, xhigh, max. ``visible`` asks for the
    reasoning (or its summary, in the style of ``summary``: auto, concise, detailed) in the answer.
    """

    mode: Literal["off", "on", "adaptive"] | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    visible: bool | None = None
    summary: str | None = None


class StreamOptions(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How the client wants its stream: ``include_usage`` as in OpenAI's ``stream_options``;
    ``framing`` is ``json_array`` for Gemini without ``alt=sse``."""

    include_usage: bool = False
    framing: Literal["sse", "json_array", "ndjson"] = "sse"


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a client asked for."""

    model: str
    messages: list[Message]
    tools: list[Tool] = msgspec.field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    settings: Settings = msgspec.field(default_factory=Settings)
    output: OutputFormat | None = None
    reasoning: ReasoningConfig | None = None
    stream: bool = False
    stream_options: StreamOptions = msgspec.field(default_factory=StreamOptions)
    cache: CacheHint | None = None
    extensions: Extensions | None = None
