"""Parts → content blocks of a request, with notes for what a block cannot say."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
    CacheHint,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.protocols.anthropic_messages.media import media_block
from dragoman.protocols.anthropic_messages.names import Renamer
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID, WHOLE_BLOCK, Plain
from dragoman.protocols.base import ModelProfile

WireBlock = dict[str, Any]

CUSTOM_INPUT = "input"
"""The one property of the object that stands for a custom tool's free text, and for arguments that
are no JSON object."""

_PLAIN_OBJECT = msgspec.json.Decoder(Plain)


def cache_control(hint: CacheHint) -> dict[str, Any]:
    """``cache_control`` for ``hint``."""
    control: dict[str, Any] = {"type": "ephemeral"}
    if hint.ttl is not None:
        control["ttl"] = hint.ttl
    return control


def tool_input(arguments: str, custom: bool = False) -> tuple[Any, bool]:
    """A call's arguments as the object ``input`` must be, and whether they are that already.

    The text of an object is embedded as it is, so that no number or order of keys changes.
    """
    if custom:
        return {CUSTOM_INPUT: arguments}, False
    if not arguments.strip():
        return {}, True
    raw = arguments.encode()
    try:
        _PLAIN_OBJECT.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return {CUSTOM_INPUT: arguments}, False
    return msgspec.Raw(raw), True


class PartEncoder:
    """Encodes the parts of one request; names and ids are mapped alike wherever they occur.

    Sealed or foreign reasoning signatures never leave: the API refuses a thinking block whose
    signature it did not make, so the whole part is dropped.
    """

    def __init__(self, profile: ModelProfile, notes: Notes, tool_names: Renamer) -> None:
        self._profile = profile
        self._notes = notes
        self._tool_names = tool_names
        self._ids = Renamer()

    def encode(self, part: Part, path: str) -> WireBlock | None:
        """The block for ``part``; None with a note, or for empty text without one."""
        self._notes.foreign(path, part.extensions, PROTOCOL_ID)
        block = self._block(part, path)
        if block is None:
            return None
        extras = dict(own_extensions(part.extensions, PROTOCOL_ID))
        whole = extras.pop(WHOLE_BLOCK, None)
        if isinstance(whole, dict):
            block = dict(whole)
        if part.cache is not None:
            if isinstance(part, Reasoning):
                self._notes.dropped(f"{path}.cache", "thinking cannot be a cache breakpoint")
            else:
                block["cache_control"] = cache_control(part.cache)
        source = extras.pop("source", None)
        if isinstance(source, dict):
            block["source"] = {**block["source"], **source}
        block.update(extras)
        return block

    def call_id(self, id: str, path: str) -> str:
        """The id that stands for a call's ``id``, in the call and in its result."""
        mapped = self._ids(id)
        if mapped != id:
            self._notes.clamped(path, "the id has characters that are refused")
        return mapped

    def tool_name(self, name: str, path: str) -> str:
        """The name that stands for a tool's ``name``, wherever it is named."""
        mapped = self._tool_names(name)
        if mapped != name:
            self._notes.clamped(path, f"sent as '{mapped}'")
        return mapped

    def _block(self, part: Part, path: str) -> WireBlock | None:
        match part:
            case Text():
                return self._text(part.text, part, path)
            case Refusal():
                self._notes.emulated(path, "sent as plain text")
                return self._text(part.text, part, path)
            case Media():
                return media_block(part, path, self._notes)
            case ToolCall():
                return self._tool_use(part, path)
            case ToolResult():
                return self._tool_result(part, path)
            case Reasoning():
                return self._thinking(part, path)
            case Opaque():
                if part.protocol != PROTOCOL_ID or not isinstance(part.value, dict):
                    self._notes.dropped(path, f"only {part.protocol} knows it")
                    return None
                return dict(part.value)

    def _text(self, text: str, part: Part, path: str) -> WireBlock | None:
        if text.strip():
            return {"type": "text", "text": text}
        # "text content blocks must contain non-whitespace text"
        if text or part.cache is not None:
            self._notes.clamped(path, "blank text is refused")
        return None

    def _tool_use(self, call: ToolCall, path: str) -> WireBlock:
        arguments, exact = tool_input(call.arguments, call.custom)
        if not exact:
            self._notes.emulated(path, f"arguments are wrapped in an object as '{CUSTOM_INPUT}'")
        if call.signature is not None:
            self._notes.dropped(f"{path}.signature", "calls are not signed here")
        return {
            "type": "tool_use",
            "id": self.call_id(call.id, f"{path}.id"),
            "name": self.tool_name(call.name, path),
            "input": arguments,
        }

    def _tool_result(self, result: ToolResult, path: str) -> WireBlock:
        block: WireBlock = {
            "type": "tool_result",
            "tool_use_id": self.call_id(result.call_id, f"{path}.call_id"),
        }
        content = self._result_content(result, path)
        if content:
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        if result.custom:
            self._notes.emulated(f"{path}.custom", "answered as a function's call")
        return block

    def _result_content(self, result: ToolResult, path: str) -> str | list[WireBlock]:
        match result.content:
            case [Text(cache=None, extensions=None) as only]:
                return only.text  # a plain string may be blank, where a block may not
            case items:
                blocks = (
                    self.encode(item, f"{path}.content.{index}") for index, item in enumerate(items)
                )
                return [block for block in blocks if block is not None]

    def _thinking(self, reasoning: Reasoning, path: str) -> WireBlock | None:
        signature = reasoning.signature
        if signature is not None and signature.belongs_to(PROTOCOL_ID, self._profile.provider):
            if reasoning.redacted:
                return {"type": "redacted_thinking", "data": signature.value}
            value = signature.value
        elif self._profile.quirks.get("unsigned_thinking") and reasoning.text:
            if signature is not None:
                self._notes.dropped(f"{path}.signature", "made by another provider")
            value = ""
        else:
            self._notes.dropped(
                path, "unsigned" if signature is None else "signed by another provider"
            )
            return None
        if reasoning.summary:
            self._notes.renamed(f"{path}.summary", "thinking is summarised here as well")
        return {"type": "thinking", "thinking": reasoning.text, "signature": value}
