"""Canonical messages → the items of an upstream's ``input``.

A reasoning part goes back only to the provider whose signature it bears; without one, only if it is
an item of this protocol (its id means something there). Everything else is dropped with a note: the
API looks up bare ids and refuses those it never gave.
"""

from __future__ import annotations

import hashlib
from typing import Any

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
    Media,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import Message, Request
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.content import InputEncoder, encode_output, note_cache
from dragoman.protocols.openai_responses.items import (
    encode_call,
    encode_image,
    encode_reasoning,
    identity,
    is_content,
    without_id,
)
from dragoman.protocols.openai_responses.tools import call_names

_MAX_CALL_ID = 64
"""The API refuses longer ones."""


def _shorten(item: dict[str, Any]) -> None:
    """Write an assistant's plain text in the short form if the item has no id: the long one wants
    one."""
    match item:
        case {
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": [], **rest}],
        } if not rest and "id" not in item:
            item["content"] = text


class HistoryEncoder:
    """``encode`` once, then read ``instructions`` and ``items``."""

    def __init__(self, request: Request, profile: ModelProfile, notes: Notes) -> None:
        self.instructions: str | None = None
        self.items: list[dict[str, Any]] = []
        self._request = request
        self._profile = profile
        self._notes = notes
        self._native = marks.born_here(request.extensions)
        self._names = call_names(request.tools)
        self._input = InputEncoder(
            notes,
            native=self._native,
            breakpoints=bool(profile.quirks.get("cache_breakpoints")),
        )

    def encode(self) -> None:
        """Write every message."""
        for index, message in enumerate(self._request.messages):
            path = f"messages.{index}"
            self._notes.foreign(path, message.extensions, marks.ID)
            if message.name is not None:
                self._notes.dropped(f"{path}.name", "messages have no name here")
            if message.role == "assistant":
                self._assistant(message, path)
            elif not self._is_instructions(message):
                self._client(message, path)
        for item in self.items:
            _shorten(item)

    def _is_instructions(self, message: Message) -> bool:
        if marks.INSTRUCTIONS not in marks.own(message.extensions) or self.items:
            return False
        match message.parts:
            case [Text(text=text)]:
                self.instructions = text
                return True
        return False

    def _client(self, message: Message, path: str) -> None:
        """A message of any role but the assistant's: tool results and items of their own stand
        between its texts as they came."""
        role = "user" if message.role == "tool" else message.role
        content: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            where = f"{path}.parts.{index}"
            self._notes.foreign(where, part.extensions, marks.ID)
            item = self._client_item(part, where)
            if item is not None:
                self._flush(message, role, content)
                content = []
                self.items.append(item)
            elif (encoded := self._input.encode(part, where)) is not None:
                content.append(encoded)
        if content or not message.parts:
            self._flush(message, role, content)

    def _flush(self, message: Message, role: str, content: list[dict[str, Any]]) -> None:
        if content or not message.parts:
            said = marks.own(message.extensions).get(marks.ITEM, {})
            item = {"type": "message", **said, "role": role, "content": content}
            self.items.append(item | marks.fields(message.extensions))

    def _client_item(self, part: Part, path: str) -> dict[str, Any] | None:
        match part:
            case ToolResult():
                return self._result(part, path)
            case Opaque(protocol=marks.ID) if marks.CONTENT not in marks.own(part.extensions):
                return dict(part.value)
            case ToolCall():
                return self._call(part, path)
            case _:
                return None

    def _result(self, part: ToolResult, path: str) -> dict[str, Any]:
        own = marks.ITEM in marks.own(part.extensions)
        if part.cache is not None:
            note_cache(self._notes, path)
        if part.is_error:
            self._notes.dropped(f"{path}.is_error", "an output is not marked as an error here")
        item: dict[str, Any] = {
            "type": "custom_tool_call_output" if part.custom else "function_call_output",
            **identity(part),
        }
        if part.call_id:
            item["call_id"] = part.call_id if own else self._call_id(part.call_id, path)
        content = [
            encoded
            for at, piece in enumerate(part.content)
            if (encoded := self._result_part(piece, f"{path}.content.{at}")) is not None
        ]
        match content:
            case []:
                item["output"] = ""
            case [{"type": "input_text", "text": text, **rest}] if not rest:
                item["output"] = text
            case _:
                item["output"] = content
        if part.name is not None:
            item["name"] = part.name
        return item | marks.fields(part.extensions)

    def _result_part(self, piece: Text | Media | Opaque, path: str) -> dict[str, Any] | None:
        self._notes.foreign(path, piece.extensions, marks.ID)
        return self._input.encode(piece, path)

    def _assistant(self, message: Message, path: str) -> None:
        content: list[dict[str, Any]] | None = None
        for index, part in enumerate(message.parts):
            where = f"{path}.parts.{index}"
            self._notes.foreign(where, part.extensions, marks.ID)
            if part.cache is not None:
                note_cache(self._notes, where)
            if is_content(part):
                content = self._say(part, content)
                continue
            item = self._assistant_item(part, where)
            if item is not None:
                content = None
                self.items.append(item)

    def _say(self, part: Any, content: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """Put a content part into the open message, or into a new one; returns what is open.

        Only a message that came from this wire may hold several parts: others are written in the
        short form, which needs no id.
        """
        mine = marks.own(part.extensions)
        if content is not None and self._native and marks.ITEM not in mine:
            content.append(encode_output(part))
            return content
        content = [encode_output(part)]
        said = {"type": "message", "role": "assistant", **identity(part)}
        self.items.append({**said, "content": content, **mine.get(marks.MESSAGE, {})})
        return content

    def _assistant_item(self, part: Part, path: str) -> dict[str, Any] | None:
        match part:
            case ToolCall():
                return self._call(part, path)
            case Reasoning():
                return self._reasoning(part, path)
            case ToolResult():
                return self._result(part, path)
            case Opaque(protocol=marks.ID):
                return dict(part.value)
            case Media(kind="image", data=str()) if marks.ITEM in marks.own(part.extensions):
                return encode_image(part, identity(part))
            case _:
                self._notes.dropped(path, "the assistant's messages hold only text here")
                return None

    def _call(self, part: ToolCall, path: str) -> dict[str, Any]:
        if part.signature is not None:
            self._notes.dropped(f"{path}.signature", "calls bear no signature here")
        item = encode_call(part, self._names, identity(part))
        if marks.ITEM not in marks.own(part.extensions):
            item["call_id"] = self._call_id(part.id, path)
            if "arguments" in item:
                item["arguments"] = item["arguments"] or "{}"
        return item

    def _call_id(self, call_id: str, path: str) -> str:
        if len(call_id) <= _MAX_CALL_ID:
            return call_id
        self._notes.renamed(f"{path}.id", f"longer than {_MAX_CALL_ID} characters")
        return f"call_{hashlib.blake2s(call_id.encode(), digest_size=12).hexdigest()}"

    def _reasoning(self, part: Reasoning, path: str) -> dict[str, Any] | None:
        signature = part.signature
        if signature is None:
            returns = marks.ITEM in marks.own(part.extensions)
        else:
            returns = signature.belongs_to(marks.ID, self._profile.provider)
        if not returns:
            self._notes.dropped(path, "reasoning of another provider")
            return None
        said = identity(part)
        encrypted = None
        if signature is not None:
            item_id, encrypted = without_id(signature)
            if item_id is not None:
                said.setdefault("id", item_id)
        return encode_reasoning(part, encrypted, said, as_content=not part.summary)
