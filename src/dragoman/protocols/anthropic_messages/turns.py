"""Messages → ``system`` and alternating turns.

The API wants: system text apart (models with the quirk ``system_messages`` also take it as a message
right after a user turn), user and assistant in turns beginning with the user, and in a user turn the
results of the calls just made before anything else. Source: platform.claude.com/docs, "Working with
messages", "Mid-conversation system messages" and "Handle tool calls".
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.canonical.request import Message
from dragoman.protocols.anthropic_messages.parts import PartEncoder, WireBlock
from dragoman.protocols.anthropic_messages.types import PROTOCOL_ID
from dragoman.protocols.base import ModelProfile

OPENING = "."
"""The text of the user turn put before a conversation that has none; blank text is refused."""

_THINKING = ("thinking", "redacted_thinking")


class Turn(msgspec.Struct):
    """One entry of ``messages`` in the making."""

    role: str
    blocks: list[WireBlock]
    results: list[WireBlock] = []
    extras: dict[str, Json] = {}

    def wire(self) -> dict[str, Any]:
        return {"role": self.role, "content": [*self.results, *self.blocks], **self.extras}


class Turns:
    """``add`` each message, then ``finish``; read ``system`` and ``messages``."""

    def __init__(self, profile: ModelProfile, encoder: PartEncoder, notes: Notes) -> None:
        self.system: list[WireBlock] = []
        self._turns: list[Turn] = []
        self._native_system = bool(profile.quirks.get("system_messages"))
        self._encoder = encoder
        self._notes = notes
        self._unanswered: set[str] = set()
        self._moved: list[tuple[str, WireBlock]] = []
        self._last_said = ""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The wire's ``messages``."""
        return [turn.wire() for turn in self._turns]

    @property
    def mid_loop(self) -> bool:
        """The conversation ends with results of calls that were made without thinking first."""
        match [turn for turn in self._turns if turn.role != "system"]:
            case [
                *_,
                Turn(role="assistant", blocks=[first, *_]),
                Turn(role="user", results=[_, *_]),
            ]:
                return first["type"] not in _THINKING
            case _:
                return False

    def add(self, index: int, message: Message) -> None:
        """Take the message at ``index`` of the conversation."""
        path = f"messages.{index}"
        self._notes.foreign(path, message.extensions, PROTOCOL_ID)
        if message.name is not None:
            self._notes.dropped(f"{path}.name", "messages carry no names")
        match message.role:
            case "system" | "developer":
                self._instruct(path, message)
            case "assistant":
                self._answer(path, message)
            case _:
                self._ask(path, message)

    def finish(self) -> None:
        """Make the whole what the API accepts."""
        for path, _ in self._moved:
            self._notes.dropped(path, "no user turn follows that could hold it")
        if not self._turns or self._turns[0].role != "user":
            self._notes.emulated("messages", "a conversation begins with the user")
            self._turns.insert(0, Turn("user", [{"type": "text", "text": OPENING}]))
        self._strip_end()

    def _instruct(self, path: str, message: Message) -> None:
        if message.role == "developer":
            self._notes.renamed(f"{path}.role", "sent as system")
        extras = own_extensions(message.extensions, PROTOCOL_ID)
        leading = not self._turns and not extras
        native = self._native_system and not self._unanswered and self._follows_user()
        blocks: list[WireBlock] = []
        for place, part in enumerate(message.parts):
            where = f"{path}.parts.{place}"
            match part:
                case Media():
                    self._move(part, where)
                case Opaque() if not (leading or native):
                    self._notes.dropped(where, "only a system message can hold it")
                case Text() | Opaque():
                    blocks += self._encoded(part, where)
                case _:
                    self._misplaced(part, where)
        if leading:
            self.system += blocks
        elif native:
            if blocks or extras:
                self._push("system", blocks, extras=extras)
        else:
            self._notes.emulated(path, "system text in the conversation is sent in a user turn")
            for field in extras:
                self._notes.dropped(f"{path}.{field}", "only a system message can hold it")
            self._push("user", blocks)

    def _answer(self, path: str, message: Message) -> None:
        blocks: list[WireBlock] = []
        for place, part in enumerate(message.parts):
            where = f"{path}.parts.{place}"
            match part:
                case Media():
                    self._move(part, where)
                case ToolResult():
                    self._misplaced(part, where)
                case _:
                    encoded = self._encoded(part, where)
                    if encoded:
                        self._last_said = where
                    if encoded and isinstance(part, ToolCall):
                        self._unanswered.add(encoded[0]["id"])
                    blocks += encoded
        self._push("assistant", blocks, extras=own_extensions(message.extensions, PROTOCOL_ID))

    def _ask(self, path: str, message: Message) -> None:
        results: list[WireBlock] = []
        blocks: list[WireBlock] = []
        for place, part in enumerate(message.parts):
            where = f"{path}.parts.{place}"
            match part:
                case ToolResult():
                    for result in self._encoded(part, where):
                        self._unanswered.discard(result["tool_use_id"])
                        results.append(result)
                case ToolCall() | Reasoning():
                    self._misplaced(part, where)
                case _:
                    blocks += self._encoded(part, where)
        extras = own_extensions(message.extensions, PROTOCOL_ID)
        self._push("user", blocks, results=results, extras=extras)

    def _push(
        self,
        role: str,
        blocks: list[WireBlock],
        *,
        results: list[WireBlock] | None = None,
        extras: dict[str, Json] | None = None,
    ) -> None:
        """Add to the turn of ``role`` that is open, or open one."""
        if role == "user":
            blocks = [*(block for _, block in self._moved), *blocks]
            self._moved.clear()
        if not blocks and not results and not extras:
            return
        last = self._turns[-1] if self._turns else None
        if last is None or last.role != role or last.extras or extras:
            last = Turn(role, [], [], extras or {})
            self._turns.append(last)
        last.results += results or []
        last.blocks += blocks

    def _follows_user(self) -> bool:
        return bool(self._turns) and self._turns[-1].role in ("user", "system")

    def _encoded(self, part: Part, path: str) -> list[WireBlock]:
        block = self._encoder.encode(part, path)
        return [] if block is None else [block]

    def _move(self, media: Media, path: str) -> None:
        """Keep what only a user may send for the next user turn."""
        for block in self._encoded(media, path):
            self._notes.emulated(path, "sent in the next user turn")
            self._moved.append((path, block))

    def _misplaced(self, part: Part, path: str) -> None:
        self._notes.dropped(path, f"no {type(part).__name__} belongs here")

    def _strip_end(self) -> None:
        # "final assistant content cannot end with trailing whitespace"
        last = self._turns[-1]
        if last.role != "assistant" or not last.blocks or last.blocks[-1]["type"] != "text":
            return
        block = last.blocks[-1]
        text = str(block["text"])
        if text != text.rstrip():
            block["text"] = text.rstrip()
            self._notes.clamped(self._last_said, "trailing whitespace at the very end is refused")
