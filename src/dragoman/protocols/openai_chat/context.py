"""What encoding a request needs to know all the way down, and the quirks it understands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import Unavailable
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import CacheHint, Extensions, Json, own_extensions
from dragoman.canonical.signature import Signature
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.openai_chat.types import PROTOCOL_ID


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """``ModelProfile.quirks`` of this protocol.

    forwards
        False: the body of a client of this protocol is not sent as it is, but read and written anew,
        because the provider refuses, or ignores, what others take.
    max_tokens_field
        Name of the output limit; the official API wants ``max_completion_tokens``.
    developer_role
        The upstream knows role ``developer``; otherwise such messages become ``system``.
    join_text
        Content must be one string: the texts of a message are joined.
    reasoning_history
        Where earlier reasoning goes: ``reasoning_content``, ``reasoning`` (both plain text),
        ``reasoning_details`` (OpenRouter), ``think`` (MiniMax: before the text, between ``<think>``
        and ``</think>``) or ``none``.
    reasoning_required
        An earlier answer without reasoning gets an empty ``reasoning_content``: DeepSeek and Moonshot,
        when they think, refuse a conversation whose tool calls come without it.
    reasoning_style
        How reasoning is asked for: ``effort`` (``reasoning_effort``), ``thinking`` (``thinking:
        {type, budget_tokens}`` beside ``reasoning_effort``: Z.ai, Moonshot, DeepSeek),
        ``enable_thinking`` (with ``thinking_budget``: Model Studio) or ``openrouter`` (``reasoning:
        {effort | max_tokens, exclude}``). Without it, the spelling that the client used, or effort.
    thinking_on
        ``thinking.type`` that turns thinking on; MiniMax says ``adaptive``.
    thinking_takes
        What may be said beside ``thinking.type``: ``budget`` (``thinking.budget_tokens``) and
        ``effort`` (``reasoning_effort``). A budget that may not becomes the nearest effort.
    efforts
        The efforts the model takes; others move to the nearest. Empty: any.
    json_schema
        ``response_format`` knows ``json_schema``; otherwise the schema is told in a system message.
    custom_tools, allowed_tools
        Custom (free-text) tools and ``tool_choice: allowed_tools``; only the official API has them.
    cache_control
        True: parts may carry ``cache_control``; ``"breakpoint"``: the official API's
        ``prompt_cache_breakpoint``; False: the upstream caches by itself.
    tool_media
        Tool messages may hold images; otherwise they move to a user message after the results.
    assistant_images
        Assistant messages may hold ``images``, as OpenRouter answers them.
    document_input, file_url, video_input
        Content parts ``file`` (with ``file_url``: whose ``file_data`` is a URL) and ``video_url``.
    stream_usage
        ``stream_options.include_usage`` may be sent.
    stop_limit
        How many stop sequences are allowed.
    top_k
        ``top_k`` may be sent.
    temperature_range
        The lowest and the highest temperature that is taken; others move to the nearest.
    call_id_pattern, call_id_length
        Tool-call ids that do not match become hexadecimal digits of this length (the official API
        refuses ids of more than 40 characters, Mistral all but 9 letters and digits).
    """

    forwards: bool = True
    max_tokens_field: str = "max_tokens"
    developer_role: bool = False
    join_text: bool = False
    reasoning_history: str = "reasoning_content"
    reasoning_required: bool = False
    reasoning_style: str | None = None
    thinking_on: str = "enabled"
    thinking_takes: tuple[str, ...] = ("budget", "effort")
    efforts: tuple[str, ...] = ()
    json_schema: bool = True
    custom_tools: bool = False
    allowed_tools: bool = False
    cache_control: bool | str = False
    tool_media: bool = False
    assistant_images: bool = False
    document_input: bool = True
    file_url: bool = False
    video_input: bool = False
    stream_usage: bool = True
    stop_limit: int = 4
    top_k: bool = False
    temperature_range: tuple[float, float] | None = None
    call_id_pattern: str | None = None
    call_id_length: int = 40


_NO_QUIRKS = Quirks()


class Context:
    """One encoding: its notes, the provider's facts, and the small decisions every level shares."""

    __slots__ = ("drops", "notes", "provider", "quirks")

    def __init__(self, profile: ModelProfile) -> None:
        """Raises Unavailable if the channel's quirks are not what they should be."""
        self.notes = Notes()
        self.drops = profile.drops
        self.provider = profile.provider
        self.quirks = _read_quirks(profile.quirks)

    def signature(self, signature: Signature | None, path: str) -> str | None:
        """The bare value if it may go to this provider; otherwise it is noted as dropped."""
        if signature is None:
            return None
        if signature.belongs_to(PROTOCOL_ID, self.provider):
            return signature.value
        self.notes.dropped(f"{path}.signature", f"made by {signature.origin.protocol}")
        return None

    def cache(self, wire: dict[str, Json], hint: CacheHint | None, path: str) -> None:
        """Write a cache breakpoint into ``wire``."""
        if hint is None:
            return
        style = self.quirks.cache_control
        if style == "breakpoint":
            wire["prompt_cache_breakpoint"] = {"mode": "explicit"}
            if hint.ttl is not None:
                self.notes.clamped(f"{path}.cache.ttl", "the upstream's own lifetime")
        elif style:
            wire["cache_control"] = {"type": "ephemeral"}
            if hint.ttl is not None:
                wire["cache_control"]["ttl"] = hint.ttl
        else:
            self.notes.dropped(f"{path}.cache", "the upstream caches prompts by itself")

    def extend(self, wire: dict[str, Json], extensions: Extensions | None, path: str) -> None:
        """Give back this protocol's own fields; note everyone else's."""
        if extensions:
            self.notes.foreign(path, extensions, PROTOCOL_ID)
            merge_missing(wire, own_extensions(extensions, PROTOCOL_ID))

    def call_id(self, call_id: str) -> str:
        """``call_id`` in a form that the upstream takes; call and result get the same one."""
        pattern = self.quirks.call_id_pattern
        if pattern is None or re.fullmatch(pattern, call_id):
            return call_id
        return hashlib.sha256(call_id.encode()).hexdigest()[: self.quirks.call_id_length]


def merge_missing(wire: dict[str, Json], extra: Mapping[str, Json]) -> None:
    """Add to ``wire`` what it lacks, object by object; names with ``_`` first are not for the wire."""
    for field, value in extra.items():
        if field.startswith("_"):
            continue
        known = wire.setdefault(field, value)
        if known is not value and isinstance(known, dict) and isinstance(value, dict):
            merge_missing(known, value)


def _read_quirks(quirks: Mapping[str, Any]) -> Quirks:
    if not quirks:
        return _NO_QUIRKS
    try:
        return msgspec.convert(dict(quirks), Quirks)
    except msgspec.ValidationError as error:
        raise Unavailable(f"The channel's quirks are not valid: {error}.") from None
