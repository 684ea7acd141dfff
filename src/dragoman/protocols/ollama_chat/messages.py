"""The canonical messages as Ollama's: one text, one thinking text, images and calls per turn."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
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
from dragoman.canonical.request import Message
from dragoman.protocols.ollama_chat.types import NO_ARGUMENTS, PROTOCOL_ID, image_type

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BETWEEN_TEXTS = "\n\n"


def encode_messages(messages: list[Message], notes: Notes) -> list[dict[str, Any]]:
    """All messages in order. A message that holds tool results becomes several."""
    names: dict[str, str] = {}
    return [
        wire
        for index, message in enumerate(messages)
        for wire in _encode_message(message, f"messages.{index}", names, notes)
    ]


class _Turn:
    """One wire message as it grows."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.thinking: list[str] = []
        self.images: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def empty(self) -> bool:
        return not (self.texts or self.thinking or self.images or self.calls)

    def wire(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"role": self.role, "content": _BETWEEN_TEXTS.join(self.texts)}
        if self.thinking:
            fields["thinking"] = _BETWEEN_TEXTS.join(self.thinking)
        if self.images:
            fields["images"] = self.images
        if self.calls:
            fields["tool_calls"] = self.calls
        return fields


def _encode_message(
    message: Message, path: str, names: dict[str, str], notes: Notes
) -> list[dict[str, Any]]:
    own = dict(own_extensions(message.extensions, PROTOCOL_ID))
    notes.foreign(path, message.extensions, PROTOCOL_ID)
    if message.name is not None:
        notes.dropped(f"{path}.name", "speakers have no names")
    role = own.pop("role", message.role)
    if role == "developer":
        role = "system"
        notes.renamed(f"{path}.role", "system")
    if sum(isinstance(part, Text) for part in message.parts) > 1:
        notes.renamed(f"{path}.parts", "texts are joined")
    encoded: list[dict[str, Any]] = []
    turn = _Turn(role)
    for number, part in enumerate(message.parts):
        where = f"{path}.parts.{number}"
        if isinstance(part, ToolResult):
            if not turn.empty():
                encoded.append(turn.wire())
                turn = _Turn(role)
            encoded.append(_encode_result(part, where, names, notes))
        else:
            _add(turn, part, where, names, notes)
    if not turn.empty() or not encoded:
        encoded.append(turn.wire())
    encoded[0] = {**own, **encoded[0]}
    return encoded


def _add(turn: _Turn, part: Part, path: str, names: dict[str, str], notes: Notes) -> None:
    """Put ``part`` into ``turn``, or note why not."""
    _note_common(part, path, notes)
    match part:
        case Text():
            if part.text:
                turn.texts.append(part.text)
        case Media():
            _add_media(turn, part, path, notes)
        case Reasoning():
            _add_reasoning(turn, part, path, notes)
        case ToolCall():
            names[part.id] = part.name
            turn.calls.append(_encode_call(part, len(turn.calls), path, notes))
        case Refusal():
            turn.texts.append(part.text)
            notes.emulated(path, "a refusal is plain text")
        case Opaque():
            notes.dropped(path, f"only {part.protocol} knows it")
        case ToolResult():
            raise AssertionError("tool results are messages of their own")


def _note_common(part: Part, path: str, notes: Notes) -> None:
    if part.cache is not None:
        notes.dropped(f"{path}.cache", "prompt caching is automatic")
    notes.foreign(path, part.extensions, PROTOCOL_ID)


def _add_reasoning(turn: _Turn, part: Reasoning, path: str, notes: Notes) -> None:
    if part.redacted:
        notes.dropped(path, "encrypted reasoning is of use to its maker only")
        return
    if part.signature is not None:
        notes.dropped(f"{path}.signature", "thinking is not signed")
    if part.summary:
        notes.renamed(f"{path}.summary", "sent as thinking")
    if part.text:
        turn.thinking.append(part.text)


def _add_media(turn: _Turn, part: Media, path: str, notes: Notes) -> None:
    if part.kind == "image" and part.data is not None:
        turn.images.append(part.data)
        if part.media_type != image_type(part.data):
            notes.renamed(f"{path}.media_type", "told by the data itself")
        for field in ("name", "detail"):
            if getattr(part, field) is not None:
                notes.dropped(f"{path}.{field}")
    elif part.kind == "image":
        notes.dropped(path, "images are sent as data only")
    elif part.kind == "document" and (text := _document_text(part)) is not None:
        turn.texts.append(f"{part.name}:\n{text}" if part.name else text)
        notes.emulated(path, "the document's text is part of the message")
    else:
        notes.dropped(path, f"{part.kind} is not understood")


def _document_text(part: Media) -> str | None:
    """The text of a document that is text; None for any other."""
    if part.text is not None:
        return part.text
    kind = part.media_type or ""
    if part.data is None or not (kind.startswith("text/") or kind == "application/json"):
        return None
    try:
        return base64.b64decode(part.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _encode_call(call: ToolCall, index: int, path: str, notes: Notes) -> dict[str, Any]:
    own = dict(own_extensions(call.extensions, PROTOCOL_ID))
    if call.signature is not None:
        notes.dropped(f"{path}.signature", "calls are not signed")
    arguments, exact = object_arguments(call)
    if not exact:
        notes.emulated(f"{path}.arguments", "put into an object")
    if call.custom:
        notes.emulated(f"{path}.custom", "a function with one text argument")
    function = {"index": index, "name": call.name, "arguments": arguments}
    inner = own.pop("function", {})
    return {**own, "id": call.id, "function": {**inner, **function}}


def object_arguments(call: ToolCall) -> tuple[msgspec.Raw, bool]:
    """(the arguments as a JSON object, whether they were one). Free text and invalid JSON become the
    object's one field ``input``."""
    if not call.custom:
        text = call.arguments.strip()
        if not text:
            return NO_ARGUMENTS, True
        try:
            _object.decode(text)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return msgspec.Raw(text.encode()), True
    return msgspec.Raw(msgspec.json.encode({"input": call.arguments})), False


def _encode_result(
    result: ToolResult, path: str, names: dict[str, str], notes: Notes
) -> dict[str, Any]:
    _note_common(result, path, notes)
    content = _Turn("tool")
    if result.is_error:
        content.texts.append("Error:")
        notes.emulated(f"{path}.is_error", "said in the text")
    if result.custom:
        notes.emulated(f"{path}.custom", "the result of a function")
    if sum(isinstance(part, Text) for part in result.content) > 1:
        notes.renamed(f"{path}.content", "texts are joined")
    for number, part in enumerate(result.content):
        _add(content, part, f"{path}.content.{number}", names, notes)
    fields = content.wire()
    if name := result.name or names.get(result.call_id):
        fields["tool_name"] = name
    fields["tool_call_id"] = result.call_id
    return fields
