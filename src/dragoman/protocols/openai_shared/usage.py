"""OpenAI's ``usage`` object ⇄ disjoint buckets.

Sources: ``openai.types.completion_usage``; DeepSeek (``prompt_cache_hit_tokens``), Moonshot
(``cached_tokens``), OpenRouter (``cache_write_tokens``, ``image_tokens``), DashScope and LiteLLM
(``cache_creation_input_tokens``, ``cache_creation``).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.usage import Usage, split, whole

Count = int | float | None
"""Some servers write counts as floats."""


class CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class PromptDetails(msgspec.Struct):
    cached_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    cache_write_tokens: Count = None
    cache_creation_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: CacheCreation | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None


class WireUsage(msgspec.Struct):
    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count = None
    cached_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None


_KNOWN_DETAILS = {
    "prompt_tokens_details": frozenset(PromptDetails.__struct_fields__),
    "completion_tokens_details": frozenset(CompletionDetails.__struct_fields__),
}
_KNOWN = frozenset(WireUsage.__struct_fields__)
_NO_PROMPT_DETAILS = PromptDetails()
_NO_COMPLETION_DETAILS = CompletionDetails()
_NO_CACHE_CREATION = CacheCreation()


def decode_usage(wire: WireUsage) -> Usage:
    """Split an upstream's figures.

    Tokens that are in the total but neither in prompt nor completion are hidden reasoning: xAI
    counts it beside the completion, Google's compatible endpoint in the total alone.
    """
    prompt = wire.prompt_tokens_details or _NO_PROMPT_DETAILS
    completion = wire.completion_tokens_details or _NO_COMPLETION_DETAILS
    creation = prompt.cache_creation or _NO_CACHE_CREATION
    written = _first(
        prompt.cache_write_tokens,
        prompt.cache_creation_tokens,
        prompt.cache_creation_input_tokens,
        wire.cache_creation_input_tokens,
    )
    hour = whole(creation.ephemeral_1h_input_tokens)
    if creation.ephemeral_5m_input_tokens is not None:
        written = whole(creation.ephemeral_5m_input_tokens)
    else:
        written = max(0, written - hour)
    prompt_total, completion_total = whole(wire.prompt_tokens), whole(wire.completion_tokens)
    uncached, read, written, hour, audio, image = split(
        prompt_total,
        _first(
            prompt.cached_tokens,
            wire.prompt_cache_hit_tokens,
            wire.cached_tokens,
            wire.cache_read_input_tokens,
        ),
        written,
        hour,
        whole(prompt.audio_tokens),
        whole(prompt.image_tokens),
    )
    hidden = max(0, whole(wire.total_tokens) - prompt_total - completion_total)
    text, reasoning, output_audio, output_image = split(
        completion_total + hidden,
        max(hidden, whole(completion.reasoning_tokens)),
        whole(completion.audio_tokens),
        whole(completion.image_tokens),
    )
    return Usage(
        input=uncached,
        cache_read=read,
        cache_write_5m=written,
        cache_write_1h=hour,
        input_audio=audio,
        input_image=image,
        output=text,
        reasoning=reasoning,
        output_audio=output_audio,
        output_image=output_image,
    )


def unknown_usage(wire: dict[str, Any]) -> dict[str, Any]:
    """What a usage object, already found well-formed, says besides: prices, timings, prediction
    tokens. Zeros and nulls say nothing."""
    rest = {field: value for field, value in wire.items() if field not in _KNOWN and value}
    for field, known in _KNOWN_DETAILS.items():
        details = wire.get(field) or {}
        unknown = {f: value for f, value in details.items() if f not in known and value}
        if unknown:
            rest[field] = unknown
    return rest


def encode_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's overlapping figures; cache writes and image tokens are shown only when there are
    any, as few clients know them."""
    prompt: dict[str, Any] = {
        "cached_tokens": usage.cache_read,
        "audio_tokens": usage.input_audio,
    }
    completion: dict[str, Any] = {
        "reasoning_tokens": usage.reasoning,
        "audio_tokens": usage.output_audio,
    }
    if usage.input_image:
        prompt["image_tokens"] = usage.input_image
    if usage.output_image:
        completion["image_tokens"] = usage.output_image
    if usage.cache_write_5m or usage.cache_write_1h:
        prompt["cache_write_tokens"] = usage.cache_write_5m + usage.cache_write_1h
    if usage.cache_write_1h:
        prompt["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        }
    return {
        "prompt_tokens": usage.total_input,
        "completion_tokens": usage.total_output,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }


def _first(*counts: Count) -> int:
    """The first count that was given."""
    return next((whole(count) for count in counts if count is not None), 0)
