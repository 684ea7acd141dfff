"""Messages → ``contents``: who speaks, what was called, and which thoughts may go back."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    PartBase,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.canonical.request import Message
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gemini_generate import media
from dragoman.protocols.gemini_generate.parts import (
    THOUGHT,
    arguments_object,
    own_fields,
    response_value,
    with_own,
)
from dragoman.protocols.gemini_generate.tools import safe_name
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID

# Google documents it for histories that another model produced: the validator lets the call pass.
# https://ai.google.dev/gemini-api/docs/thought-signatures
PLACEHOLDER = "skip_thought_signature_validator"

Written = dict[str, Json]


class PartWriter:
    """Writes parts; ``calls`` names the function behind each call id, which a result must repeat."""

    def __init__(self, profile: ModelProfile, notes: Notes, calls: Mapping[str, str]) -> None:
        self.notes = notes
        self._profile = profile
        self._calls = calls
        self._nests_media = bool(profile.quirks.get("function_response_parts", False))

    def about(self, message: Message, path: str) -> None:
        """Note what of the message itself cannot be said."""
        self.notes.foreign(path, message.extensions, PROTOCOL_ID)
        if message.name is not None:
            self.notes.dropped(f"{path}.name", "Gemini's contents have no names")

    def common(self, part: PartBase, path: str) -> None:
        """Note what of any part cannot be said."""
        if part.cache is not None:
            self.notes.dropped(f"{path}.cache", "Gemini caches by itself")
        if part.extensions:
            self.notes.foreign(path, part.extensions, PROTOCOL_ID)

    def write(self, part: Part, path: str) -> list[Written]:
        """The wire parts for ``part``: one, none if it must be dropped, or more after a tool's result."""
        written: Written | None = None
        match part:
            case Text():
                written = {"text": part.text}
                if not part.text and not own_fields(part.extensions):
                    written = None  # an empty part is refused, and says nothing
            case ToolCall():
                written = self._call(part, path)
            case ToolResult():
                return self._result(part, path)
            case Media():
                written = self._media(part, path)
            case Reasoning():
                written = self._reasoning(part, path)
            case Refusal():
                written = {"text": part.text}
                self.notes.emulated(path, "a refusal is plain text here")
            case Opaque():
                return self._opaque(part, path)
        if written is None:
            return []
        self.common(part, path)
        return [with_own(written, part)]

    def _call(self, part: ToolCall, path: str) -> Written:
        args, faithful = arguments_object(part)
        if not faithful:
            self.notes.emulated(path, "its arguments are wrapped in an object")
        name = safe_name(part.name)
        if name != part.name:
            self.notes.clamped(f"{path}.name", f"sent as {name}")
        written: Written = {"functionCall": {"id": part.id, "name": name, "args": args}}
        if part.signature is not None:
            if part.signature.belongs_to(PROTOCOL_ID, self._profile.provider):
                written["thoughtSignature"] = part.signature.value
            else:
                self.notes.dropped(f"{path}.signature", "made by another provider")
        return written

    def _reasoning(self, part: Reasoning, path: str) -> Written | None:
        signature = part.signature
        ours = (
            THOUGHT in own_extensions(part.extensions, PROTOCOL_ID)
            if signature is None
            else signature.belongs_to(PROTOCOL_ID, self._profile.provider)
        )
        if not ours:
            self.notes.dropped(path, "reasoning of another provider")
            return None
        written: Written = {"thought": True}
        if not part.redacted:
            written["text"] = part.text
        if signature is not None:
            written["thoughtSignature"] = signature.value
        return written

    def _media(self, part: Media, path: str) -> Written | None:
        written = media.to_wire(part, own_extensions(part.extensions, PROTOCOL_ID))
        if written is None:
            self.notes.dropped(path, "the file is stored with another provider")
            return None
        if part.text is not None:
            self.notes.emulated(path, "sent as a text file")
        if part.detail == "auto":
            self.notes.renamed(f"{path}.detail", "as always here")
        elif part.detail is not None:
            self.notes.dropped(f"{path}.detail", "Gemini's resolution is set in other steps")
        return written

    def _opaque(self, part: Opaque, path: str) -> list[Written]:
        if part.protocol != PROTOCOL_ID or not isinstance(part.value, dict):
            self.notes.dropped(path, f"only {part.protocol} knows it")
            return []
        self.common(part, path)
        return [part.value]

    def _result(self, part: ToolResult, path: str) -> list[Written]:
        self.common(part, path)
        name = part.name or self._calls.get(part.call_id)
        if name is None:
            name = part.call_id
            self.notes.emulated(f"{path}.name", "no call has this id; the id stands for the name")
        if part.custom:
            self.notes.emulated(path, "a function's result")
        texts: list[str] = []
        nested: list[Json] = []
        after: list[Written] = []
        for index, item in enumerate(part.content):
            where = f"{path}.content.{index}"
            if isinstance(item, Text):
                self.common(item, where)
                texts.append(item.text)
            elif written := self.write(item, where):
                if self._nests_media or isinstance(item, Opaque):
                    nested += written
                else:
                    self.notes.emulated(where, "follows the result as a part of its own")
                    after += written
        response: Written = {
            "id": part.call_id,
            "name": safe_name(name),
            "response": response_value(part, "\n".join(texts)),
        }
        if nested:
            response["parts"] = nested
        return [with_own({"functionResponse": response}, part), *after]


class Contents:
    """Builds ``contents``: neighbours of one role become one content, because Google counts the
    results in a content against the calls of the one before."""

    def __init__(self, writer: PartWriter, profile: ModelProfile, notes: Notes) -> None:
        self.writer = writer
        self._notes = notes
        self._needs_signature = bool(profile.quirks.get("thought_signature_required", False))
        self._done: list[Written] = []
        self._open: Written = {}
        self._parts: list[Written] = []
        self._after: list[Written] = []  # media out of results; the results must stay together

    def add(self, message: Message, path: str) -> None:
        """Write one message that is no leading system message."""
        self.writer.about(message, path)
        if message.role in ("system", "developer"):
            self._notes.emulated(path, "sent as the user's words, in its place")
        self.open(
            "model" if message.role == "assistant" else "user", own_fields(message.extensions)
        )
        for index, part in enumerate(message.parts):
            self.part(part, f"{path}.parts.{index}")

    def open(self, role: str, fields: Written) -> None:
        """Let the parts that follow be ``role``'s, in a new content if it has ``fields``."""
        if fields or self._open.get("role") != role:
            self._close()
            self._open = {"role": role, **fields}

    def part(self, part: Part, path: str) -> None:
        """Write one part of the open content."""
        written = self.writer.write(part, path)
        if isinstance(part, ToolCall) and self._needs_signature:
            self._sign(written[0], path)
        if isinstance(part, ToolResult):
            self._after += written[1:]
            written = written[:1]
        self._parts += written

    def finish(self) -> list[Written]:
        """Everything written."""
        self._close()
        return self._done

    def _sign(self, call: Written, path: str) -> None:
        """Only the first call of a step has to be signed."""
        first = not any("functionCall" in part for part in self._parts)
        if first and "thoughtSignature" not in call:
            call["thoughtSignature"] = PLACEHOLDER
            self._notes.emulated(f"{path}.signature", "a placeholder that Google documents")

    def _close(self) -> None:
        parts = self._parts + self._after
        if parts:
            self._done.append({**self._open, "parts": parts})
        self._open, self._parts, self._after = {}, [], []
