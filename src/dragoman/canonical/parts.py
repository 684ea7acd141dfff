"""What messages and answers are made of.

One vocabulary serves requests and responses. Binary data stays in the base64 text it came in:
nothing on the request's path needs the bytes. ``extensions`` holds, per protocol id, the fields that
only that protocol knows; they return when the target is the same protocol and are otherwise noted as
dropped.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dragoman.canonical.signature import Signature

Json = Any
"""A decoded JSON value, key order kept."""

Extensions = dict[str, dict[str, Json]]
"""Protocol id → field name → value."""


class CacheHint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A prompt-cache breakpoint after this part; ``ttl`` as Anthropic writes it (``5m``, ``1h``)."""

    ttl: str | None = None


class PartBase(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every part may carry besides its content."""

    cache: CacheHint | None = None
    extensions: Extensions | None = None


class Text(PartBase, tag="text"):
    """Plain text. Citations and annotations ride in ``extensions``."""

    text: str


MediaKind = Literal["image", "audio", "video", "document"]


class Media(PartBase, tag="media"):
    """An image, sound, film or file: exactly one of ``data``, ``url``, ``file_id``, ``text``.

    ``data`` is base64 without a ``data:`` prefix; ``media_type`` is a MIME type where known;
    ``file_id`` is a name in the upstream's own file store; ``text`` is an inline text document.
    """

    kind: MediaKind
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    detail: str | None = None


class ToolCall(PartBase, tag="tool_call"):
    """A call the model asks for. ``arguments`` is JSON text as produced (or, when ``custom``, free
    text); it may be invalid JSON, because models write it."""

    id: str
    name: str
    arguments: str = ""
    custom: bool = False
    signature: Signature | None = None


class Reasoning(PartBase, tag="reasoning"):
    """Thinking text and the proof that goes with it. ``redacted``: no readable text, the signature
    holds the encrypted reasoning. ``summary``: the text summarises hidden reasoning."""

    text: str = ""
    signature: Signature | None = None
    redacted: bool = False
    summary: bool = False


class Refusal(PartBase, tag="refusal"):
    """The model's stated refusal."""

    text: str


class Opaque(PartBase, tag="opaque"):
    """A block only ``protocol`` understands (hosted-tool calls and results, for example), kept whole."""

    protocol: str
    value: Json


class ToolResult(PartBase, tag="tool_result"):
    """What a tool answered. ``content`` holds Text and Media (and, opaque, what one protocol adds)."""

    call_id: str
    content: list[Text | Media | Opaque] = msgspec.field(default_factory=list)
    is_error: bool = False
    name: str | None = None
    custom: bool = False


Part = Text | Media | ToolCall | ToolResult | Reasoning | Refusal | Opaque


def set_extension(
    extensions: Extensions | None, protocol: str, field: str, value: Json
) -> Extensions:
    """Return ``extensions`` with ``protocol.field`` set, creating what is missing."""
    extensions = {} if extensions is None else extensions
    extensions.setdefault(protocol, {})[field] = value
    return extensions


def own_extensions(extensions: Extensions | None, protocol: str) -> dict[str, Json]:
    """The fields that ``protocol`` put there; empty when none."""
    return extensions.get(protocol, {}) if extensions else {}
