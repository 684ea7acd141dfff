"""One whole answer, free of any protocol."""

from __future__ import annotations

import enum

import msgspec

from dragoman.canonical.parts import Extensions, Json, Part
from dragoman.canonical.usage import Usage


class FinishReason(enum.StrEnum):
    """Why generation ended (OpenTelemetry's names where it has one)."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    ERROR = "error"


class Finish(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How one choice ended. ``stop_sequence`` is the string that matched; ``raw`` is the upstream's
    own word where it says more than ``reason`` (Gemini ``RECITATION``, for example)."""

    reason: FinishReason
    stop_sequence: str | None = None
    raw: str | None = None
    extensions: Extensions | None = None


class Choice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One candidate answer. ``logprobs`` is a list in OpenAI's shape: token, logprob, bytes,
    top_logprobs."""

    index: int = 0
    parts: list[Part] = msgspec.field(default_factory=list)
    finish: Finish | None = None
    logprobs: list[Json] | None = None
    extensions: Extensions | None = None


class Response(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What an upstream answered; ``model`` is the name that answered, ``created`` Unix seconds."""

    id: str = ""
    model: str = ""
    choices: list[Choice] = msgspec.field(default_factory=list)
    usage: Usage | None = None
    created: int | None = None
    service_tier: str | None = None
    extensions: Extensions | None = None
