"""``usage`` ⇄ disjoint buckets.

Source: ``anthropic.types.usage``, ``message_delta_usage``, ``output_tokens_details``. ``input_tokens``
is uncached already; cache reads and writes stand beside it. ``output_tokens`` contains thinking.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.parts import Json
from dragoman.canonical.usage import Usage, split, whole
from dragoman.protocols.anthropic_messages.types import UsageIn, field_names, leftovers

_KNOWN = field_names(UsageIn)

_TIER_OF_WORD = {"standard": "default"}
_WORD_OF_TIER = {"default": "standard"}


def decode_usage(usage: UsageIn) -> Usage:
    """The buckets; whatever is absent or negative counts as nothing."""
    written = whole(usage.cache_creation_input_tokens)
    hour = 0
    if usage.cache_creation is not None:
        hour = whole(usage.cache_creation.ephemeral_1h_input_tokens)
        if usage.cache_creation_input_tokens is None:
            written = hour + whole(usage.cache_creation.ephemeral_5m_input_tokens)
    details = usage.output_tokens_details
    five_minutes, hour = split(written, hour)
    output, reasoning = split(
        whole(usage.output_tokens), whole(details.thinking_tokens) if details else 0
    )
    return Usage(
        input=whole(usage.input_tokens),
        cache_read=whole(usage.cache_read_input_tokens),
        cache_write_5m=five_minutes,
        cache_write_1h=hour,
        output=output,
        reasoning=reasoning,
    )


def decode_tier(usage: UsageIn | None) -> str | None:
    """``usage.service_tier`` under the name OpenAI gives it."""
    tier = None if usage is None else usage.service_tier
    return None if tier is None else _TIER_OF_WORD.get(tier, tier)


def usage_rest(usage: Json) -> dict[str, Json]:
    """What the buckets do not say: ``server_tool_use``, ``inference_geo``, ``iterations`` …"""
    return leftovers(usage, _KNOWN) if isinstance(usage, dict) else {}


def merge_usage(first: UsageIn, later: UsageIn) -> UsageIn:
    """The counts of a stream so far: figures are cumulative, absent ones keep their value."""
    merged = UsageIn()
    for field in UsageIn.__struct_fields__:
        value = getattr(later, field)
        setattr(merged, field, getattr(first, field) if value is None else value)
    return merged


def encode_usage(usage: Usage | None, tier: str | None, rest: Json = None) -> dict[str, Any]:
    """The whole ``usage`` object. Media input has no bucket of its own here and counts as input."""
    usage = usage or Usage()
    wire: dict[str, Any] = {
        "input_tokens": usage.input + usage.input_audio + usage.input_image,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.total_output,
    }
    if usage.reasoning:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if tier is not None:
        wire["service_tier"] = _WORD_OF_TIER.get(tier, tier)
    if isinstance(rest, dict):
        wire |= rest
    return wire
