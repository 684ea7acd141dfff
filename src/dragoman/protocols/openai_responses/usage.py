"""The Responses API's ``usage`` ⇄ disjoint buckets.

Cache writes are kept for 30 minutes or 12 hours here; they are billed apart from reads, so the short
ones go into the 5-minute bucket and the long ones into the 1-hour bucket. Source:
``openai.types.responses.response_usage``.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.usage import Usage
from dragoman.protocols.openai_responses.types import UsageBody
from dragoman.protocols.openai_shared import usage as shared

_LONG = "ttl_12h_tokens"
_SHORT = "ttl_30m_tokens"


def decode_usage(wire: UsageBody) -> Usage:
    """Split an upstream's figures; their sums stay the same."""
    details = wire.input_tokens_details
    prompt: shared.PromptDetails | None = details
    if details is not None and (written := details.cache_write_tokens_details):
        prompt = shared.PromptDetails(
            cached_tokens=details.cached_tokens,
            audio_tokens=details.audio_tokens,
            image_tokens=details.image_tokens,
            cache_creation=shared.CacheCreation(written.get(_SHORT) or 0, written.get(_LONG) or 0),
        )
    return shared.decode_usage(
        shared.WireUsage(
            prompt_tokens=wire.input_tokens,
            completion_tokens=wire.output_tokens,
            total_tokens=wire.total_tokens,
            prompt_tokens_details=prompt,
            completion_tokens_details=wire.output_tokens_details,
        )
    )


def encode_usage(usage: Usage) -> dict[str, Any]:
    """The overlapping figures of this API."""
    read: dict[str, Any] = {
        "cached_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
    }
    if usage.cache_write_1h:
        read["cache_write_tokens_details"] = {
            _SHORT: usage.cache_write_5m,
            _LONG: usage.cache_write_1h,
        }
    written: dict[str, Any] = {"reasoning_tokens": usage.reasoning}
    for details, audio, image in (
        (read, usage.input_audio, usage.input_image),
        (written, usage.output_audio, usage.output_image),
    ):
        if audio:
            details["audio_tokens"] = audio
        if image:
            details["image_tokens"] = image
    return {
        "input_tokens": usage.total_input,
        "input_tokens_details": read,
        "output_tokens": usage.total_output,
        "output_tokens_details": written,
        "total_tokens": usage.total,
    }
