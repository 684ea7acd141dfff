"""Sampling and limits of a request, both ways."""

from __future__ import annotations

from typing import Any

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json
from dragoman.canonical.request import Request, Settings
from dragoman.protocols.anthropic_messages.types import MetadataIn, field_names, leftovers
from dragoman.protocols.base import ModelProfile

DEFAULT_MAX_TOKENS = 8192
"""``max_tokens`` is mandatory. Where neither the client nor the model's profile says one, this is what
every Claude model since 3.5 can write."""

_ANSWERS_ALWAYS: dict[str, Json] = {
    "n": 1,
    "seed": None,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "modalities": ["text"],
    "verbosity": "medium",
    "metadata": {},
    "store": False,
}
"""Settings the API lacks → the value that describes what it does anyway."""

_TIER_OF_WORD = {"standard_only": "default"}
"""``service_tier`` as OpenAI names it; ``auto`` is called the same."""
_WORD_OF_TIER = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

_METADATA = field_names(MetadataIn)

THINKING_TOP_P = 0.95
"""The least ``top_p`` that is accepted with thinking."""


def decode_settings(document: dict[str, Any]) -> tuple[Settings, dict[str, Json]]:
    """A checked body → (settings, what is left over of ``metadata``)."""
    metadata = document.get("metadata") or {}
    tier = document.get("service_tier")
    return (
        Settings(
            max_output_tokens=document.get("max_tokens"),
            temperature=document.get("temperature"),
            top_p=document.get("top_p"),
            top_k=document.get("top_k"),
            stop=document.get("stop_sequences"),
            service_tier=_TIER_OF_WORD.get(tier, tier) if tier is not None else None,
            user=metadata.get("user_id"),
        ),
        leftovers(metadata, _METADATA),
    )


def output_limit(request: Request, profile: ModelProfile, notes: Notes) -> int:
    """``max_tokens``, before room is made for thinking."""
    asked, ceiling = request.settings.max_output_tokens, profile.max_output_tokens
    if asked is None:
        return ceiling or DEFAULT_MAX_TOKENS
    if ceiling is not None and asked > ceiling:
        notes.clamped("settings.max_output_tokens", f"the model writes at most {ceiling}")
        return ceiling
    return asked


def encode_settings(
    request: Request, profile: ModelProfile, *, thinking: bool, notes: Notes
) -> dict[str, Any]:
    """Every setting but ``max_tokens``; ``thinking`` on limits sampling."""
    settings = _without_refused(request.settings, profile, notes)
    wire = _sampling(settings, profile, thinking, notes)
    stop = settings.get("stop")
    if stop is not None:
        # "each stop sequence must contain non-whitespace"
        wire["stop_sequences"] = [sequence for sequence in stop if sequence.strip()]
        if len(wire["stop_sequences"]) != len(stop):
            notes.dropped("settings.stop", "stop sequences of white space are refused")
            if not wire["stop_sequences"]:
                del wire["stop_sequences"]
    tier = settings.get("service_tier")
    if tier is not None:
        if tier in _WORD_OF_TIER:
            wire["service_tier"] = _WORD_OF_TIER[tier]
        else:
            notes.dropped("settings.service_tier", "no such tier")
    if settings.get("user") is not None:
        wire["metadata"] = {"user_id": settings["user"]}
    for field, always in _ANSWERS_ALWAYS.items():
        value = settings.get(field)
        if value is None:
            continue
        if value == always:
            notes.renamed(f"settings.{field}", "this is what it always does")
        else:
            notes.dropped(f"settings.{field}", "there is no such setting")
    return wire


def _without_refused(settings: Settings, profile: ModelProfile, notes: Notes) -> dict[str, Any]:
    """The settings that were made and that the provider takes."""
    kept: dict[str, Any] = {}
    for field in settings.__struct_fields__:
        value = getattr(settings, field)
        if value is None or field == "max_output_tokens":
            continue  # a limit is mandatory here; ``output_limit`` sees to it
        if field in profile.drops:
            notes.dropped(f"settings.{field}", "the provider refuses it")
        else:
            kept[field] = value
    return kept


def _sampling(
    settings: dict[str, Any], profile: ModelProfile, thinking: bool, notes: Notes
) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    temperature = settings.get("temperature")
    if temperature is not None:
        if thinking and temperature != 1:
            notes.dropped("settings.temperature", "it cannot be chosen while thinking")
        else:
            wire["temperature"] = min(max(temperature, 0), 1)
            if wire["temperature"] != temperature:
                notes.clamped("settings.temperature", f"sent as {wire['temperature']}")
    top_p = settings.get("top_p")
    if top_p is not None:
        if thinking and not THINKING_TOP_P <= top_p <= 1:
            notes.dropped("settings.top_p", "it cannot be below 0.95 while thinking")
        elif "temperature" in wire and profile.quirks.get("exclusive_sampling"):
            notes.dropped("settings.top_p", "it cannot go with a temperature")
        else:
            wire["top_p"] = top_p
    if settings.get("top_k") is not None:
        if thinking:
            notes.dropped("settings.top_k", "it cannot be chosen while thinking")
        else:
            wire["top_k"] = settings["top_k"]
    return wire
