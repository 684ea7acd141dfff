"""What the Messages API looks like on the wire.

Source: ``anthropic.types`` and ``anthropic.types.beta`` of the Python SDK 2.11. The structs check the
types of the fields this codec reads and skip the rest unread; ``request`` and ``blocks`` read the
values from plain dictionaries, so that no unknown field is lost.
"""

from __future__ import annotations

from typing import Any

import msgspec

PROTOCOL_ID = "anthropic_messages"

OLD_VERSION = "2023-06-01"
NEW_VERSION = "2026-10-21"
"""Values of ``anthropic-version``. The newer refuses ``temperature``, ``top_p`` and ``top_k`` even at
their defaults, documents in assistant turns, and citations on user text."""

BILLING_HEADER = "x-anthropic-billing-header"
"""Claude Code's first system block starts with this. What follows differs from run to run, which
would spoil the prompt cache of every other provider. Also the request extension that holds the block.
"""
BETAS = "anthropic-beta"
"""The header that switches betas on, and the request extension that remembers the client's."""
WHOLE_BLOCK = "block"
"""The part extension that holds a block of which the part is only the readable text."""


class Plain(msgspec.Struct, gc=False):
    """Any JSON object."""


class CacheControl(msgspec.Struct, gc=False):
    type: str = ""
    ttl: str | None = None


class Source(msgspec.Struct, gc=False):
    """Where an image or a document comes from: base64, text, url, file or content."""

    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct, gc=False):
    """Any content block. Which fields must be there depends on ``type``; ``blocks`` knows."""

    type: str
    text: str | None = None
    source: str | Source | None = None
    id: str | None = None
    name: str | None = None
    input: Plain | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | Plain | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    title: str | None = None
    cache_control: CacheControl | None = None


class MessageIn(msgspec.Struct, gc=False):
    role: str
    content: str | list[Block] | None = None


class ToolIn(msgspec.Struct, gc=False):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: Plain | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoiceIn(msgspec.Struct, gc=False):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingIn(msgspec.Struct, gc=False):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class FormatIn(msgspec.Struct, gc=False):
    type: str
    schema: Plain | None = None


class OutputConfigIn(msgspec.Struct, gc=False):
    effort: str | None = None
    format: FormatIn | None = None


class MetadataIn(msgspec.Struct, gc=False):
    user_id: str | None = None


Sampling = float | msgspec.UnsetType | None
"""A null counts as present: the newer API version refuses the field whatever it holds."""


class RequestIn(msgspec.Struct, gc=False):
    """The body of ``POST /v1/messages`` and of ``/v1/messages/count_tokens``."""

    model: str = ""
    messages: list[MessageIn] = []
    system: str | list[Block] | None = None
    max_tokens: int | None = None
    stream: bool | None = None
    tools: list[ToolIn] | None = None
    tool_choice: ToolChoiceIn | None = None
    thinking: ThinkingIn | None = None
    output_config: OutputConfigIn | None = None
    output_format: FormatIn | None = None
    stop_sequences: list[str] | None = None
    temperature: Sampling = msgspec.UNSET
    top_p: Sampling = msgspec.UNSET
    top_k: int | msgspec.UnsetType | None = msgspec.UNSET
    metadata: MetadataIn | None = None
    service_tier: str | None = None
    cache_control: CacheControl | None = None


Count = int | float | None
"""Some compatible servers write counts as floats."""


class CacheCreation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count = None


class UsageIn(msgspec.Struct, gc=False):
    input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: CacheCreation | None = None
    output_tokens: Count = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class MessageOut(msgspec.Struct, gc=False):
    """A whole answer, and the ``message`` of ``message_start``."""

    id: str | None = None
    type: str | None = None
    role: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: UsageIn | None = None
    error: Plain | str | None = None


class Delta(msgspec.Struct, gc=False):
    """The ``delta`` of ``content_block_delta`` and of ``message_delta``."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """The ``data`` of any server-sent event, as far as every event needs it."""

    type: str = ""
    index: int | None = None
    delta: Delta | None = None
    usage: UsageIn | None = None
    error: Plain | str | None = None


class MessageStart(msgspec.Struct, gc=False):
    message: MessageOut


class BlockStart(msgspec.Struct, gc=False):
    content_block: Block


class TokenCount(msgspec.Struct, gc=False):
    input_tokens: int


OBJECT = msgspec.json.Decoder(dict[str, Any])
"""Any JSON object, whole and in order."""


def leftovers(value: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields of ``value`` outside ``known``; a null says as much as an absent field."""
    return {field: item for field, item in value.items() if field not in known and item is not None}


def field_names(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The names of a struct's fields, to tell known ones from leftovers."""
    return frozenset(struct.__struct_fields__)
