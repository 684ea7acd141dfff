"""What a translation lost without saying so.

``unaccounted(x, y, notes, protocol)`` compares a canonical request ``x`` with ``y``, the same request
after it was written for ``protocol`` and read back, and returns every non-default leaf of ``x`` that
neither survives in ``y`` nor has a note at its path or at a prefix of it.

Protocols regroup messages: system text is lifted out, tool results move into user turns, texts of one
turn are joined. So contents are compared as multisets over the whole conversation, not by position:

* a text survives if it is part of the joined text of its voice (instructions, user, assistant, tool);
* media, reasoning, refusals and opaque blocks survive if an equal one stands anywhere;
* call ids may be mapped to what the target allows, so a call is known by its name, its arguments and
  its place among the calls, and a result by the place of the call that it answers;
* everything outside the messages is compared field by field at its own path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from dragoman.canonical.notes import Note
from dragoman.canonical.parts import (
    Extensions,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import Message, Request, Tool
from dragoman.protocols.base import Encoded, Parsed, Protocol, Target

_VOICES = {"system": "instructions", "developer": "instructions"}


def read_back(protocol: Protocol, encoded: Encoded, request: Request) -> Request:
    """What ``protocol``'s own client side makes of an encoded upstream request."""
    parsed = parse(protocol, encoded, request)
    return protocol.decode_request(parsed)


def parse(protocol: Protocol, encoded: Encoded, request: Request) -> Parsed:
    """``encoded`` as if a client of ``protocol`` had sent it, path and headers included."""
    betas = encoded.headers.get("anthropic-beta", "")
    target = Target(
        model=request.model,
        stream=request.stream,
        version=encoded.headers.get("anthropic-version", protocol.headers.get("anthropic-version")),
        betas=tuple(beta.strip() for beta in betas.split(",") if beta.strip()),
    )
    return protocol.parse_request(encoded.body, target)


def unaccounted(x: Request, y: Request, notes: Sequence[Note], protocol: str) -> list[str]:
    """The paths of ``x`` that were lost in silence."""
    noted = {note.path for note in notes}
    comparison = _Comparison(x, y, noted, protocol)
    comparison.run()
    return comparison.lost


def voice(role: str) -> str:
    """Who speaks, as far as every protocol can tell."""
    return _VOICES.get(role, role)


def texts_of(request: Request, speaker: str) -> str:
    """Everything one voice says, joined; tool results speak as ``tool``."""
    return "\n".join(_texts(request, speaker))


def _texts(request: Request, speaker: str) -> Iterator[str]:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolResult):
                if speaker == "tool":
                    yield from (one.text for one in part.content if isinstance(one, Text))
            elif isinstance(part, Text | Refusal) and voice(message.role) == speaker:
                yield part.text


def all_parts(request: Request) -> list[Part | Text | Media | Opaque]:
    """Every part, those inside tool results included."""
    found: list[Part | Text | Media | Opaque] = []
    for message in request.messages:
        for part in message.parts:
            found.append(part)
            if isinstance(part, ToolResult):
                found += part.content
    return found


def calls_of(request: Request) -> list[ToolCall]:
    """Every tool call, in order."""
    return [part for part in all_parts(request) if isinstance(part, ToolCall)]


def results_of(request: Request) -> dict[int, str]:
    """Place of the call → the text that answers it."""
    places = {call.id: place for place, call in enumerate(calls_of(request))}
    return {
        places[part.call_id]: "".join(one.text for one in part.content if isinstance(one, Text))
        for part in all_parts(request)
        if isinstance(part, ToolResult) and part.call_id in places
    }


def same_json(one: str, other: str) -> bool:
    """Whether two argument texts mean the same; free text is compared as it is."""
    try:
        return bool(json.loads(one or "{}") == json.loads(other or "{}"))
    except ValueError:
        return one == other


class _Comparison:
    def __init__(self, x: Request, y: Request, noted: set[str], protocol: str) -> None:
        self.x, self.y, self.noted, self.protocol = x, y, noted, protocol
        self.lost: list[str] = []
        self.speech = {
            speaker: texts_of(y, speaker)
            for speaker in ("instructions", "user", "assistant", "tool")
        }
        self.remaining = all_parts(y)

    def run(self) -> None:
        """Compare everything; the findings are in ``lost``."""
        for index, message in enumerate(self.x.messages):
            self._message(message, f"messages.{index}")
        for index, tool in enumerate(self.x.tools):
            self._tool(tool, f"tools.{index}")
        self._struct(self.x.settings, self.y.settings, "settings")
        self._leaf("tool_choice", self.x.tool_choice, self.y.tool_choice)
        self._leaf("parallel_tool_calls", self.x.parallel_tool_calls, self.y.parallel_tool_calls)
        self._leaf("cache", self.x.cache, self.y.cache)
        for name in ("output", "reasoning"):
            self._struct(getattr(self.x, name), getattr(self.y, name), name)
        self._extensions(self.x.extensions, self.y.extensions, "")

    def is_noted(self, path: str) -> bool:
        """Whether there is a note at ``path`` or at a prefix of it."""
        steps = path.split(".")
        return any(".".join(steps[:length]) in self.noted for length in range(1, len(steps) + 1))

    def is_noted_below(self, path: str) -> bool:
        """Whether there is a note at, above or inside ``path``: for values that are one leaf here
        but a tree to the encoder, such as a JSON Schema."""
        return self.is_noted(path) or any(one.startswith(f"{path}.") for one in self.noted)

    def _require(self, holds: bool, path: str) -> None:
        if not holds and not self.is_noted(path):
            self.lost.append(path)

    def _leaf(self, path: str, mine: Any, theirs: Any) -> None:
        if mine is not None:
            holds = bool(mine == theirs)
            if not holds and not self.is_noted_below(path):
                self.lost.append(f"{path}: {mine!r} became {theirs!r}")

    def _struct(self, mine: Any, theirs: Any, path: str) -> None:
        if mine is None:
            return
        for name in mine.__struct_fields__:
            value = getattr(mine, name)
            self._leaf(f"{path}.{name}", value, getattr(theirs, name, None))

    # -- messages ------------------------------------------------------------------------------

    def _message(self, message: Message, path: str) -> None:
        for index, part in enumerate(message.parts):
            self._part(part, message.role, f"{path}.parts.{index}")
        if message.name is not None:
            named = any(one.name == message.name for one in self.y.messages)
            self._require(named, f"{path}.name")
        self._extensions(message.extensions, None, path)

    def _part(self, part: Part | Text | Media | Opaque, role: str, path: str) -> None:
        match part:
            case Text() | Refusal():
                speaker = "tool" if ".content." in path else voice(role)
                self._require(part.text in self.speech[speaker], path)
            case Media():
                self._require(self._take(lambda one: _same_media(part, one)), path)
            case ToolCall():
                self._call(part, path)
            case Reasoning():
                self._reasoning(part, path)
            case Opaque():
                self._require(self._take(lambda one: part == one), path)
            case ToolResult():
                self._result(part, path)
        if part.cache is not None:
            kept = any(one.cache == part.cache for one in all_parts(self.y))
            kept = kept or any(tool.cache == part.cache for tool in self.y.tools)
            self._require(kept or self.y.cache == part.cache, f"{path}.cache")
        self._extensions(part.extensions, None, path)

    def _take(self, fits: Callable[[Part | Text | Media | Opaque], bool]) -> bool:
        """Whether an equal part is left in ``y``; it is used up."""
        for index, one in enumerate(self.remaining):
            if fits(one):
                del self.remaining[index]
                return True
        return False

    def _call(self, part: ToolCall, path: str) -> None:
        if not self._take(lambda one: _same_call(part, one)):
            alike = self._take(lambda one: isinstance(one, ToolCall) and one.name == part.name)
            self._require(alike, path)
            # What differs may be noted by itself: free text put into an object, for example.
            fields = ("arguments", "custom") if part.custom else ("arguments",)
            for field in fields if alike else ():
                self._require(False, f"{path}.{field}")
        self._signature(part, path)

    def _signature(self, part: ToolCall | Reasoning, path: str) -> None:
        if part.signature is None:
            return
        values = {
            one.signature.value
            for one in all_parts(self.y)
            if isinstance(one, ToolCall | Reasoning) and one.signature is not None
        }
        self._require(part.signature.value in values, f"{path}.signature")

    def _reasoning(self, part: Reasoning, path: str) -> None:
        if part.text:
            spoken = "".join(one.text for one in all_parts(self.y) if isinstance(one, Reasoning))
            self._require(part.text in spoken, path)
        self._signature(part, path)

    def _result(self, part: ToolResult, path: str) -> None:
        for index, one in enumerate(part.content):
            self._part(one, "tool", f"{path}.content.{index}")
        places = {call.id: place for place, call in enumerate(calls_of(self.x))}
        place = places[part.call_id]
        mapped = [call.id for call in calls_of(self.y)]
        answers = [one for one in all_parts(self.y) if isinstance(one, ToolResult)]
        mine = [one for one in answers if place < len(mapped) and one.call_id == mapped[place]]
        self._require(bool(mine), path)
        if part.is_error:
            self._require(any(one.is_error for one in mine), f"{path}.is_error")

    # -- tools and extensions ------------------------------------------------------------------

    def _tool(self, tool: Tool, path: str) -> None:
        same = [one for one in self.y.tools if one.name == tool.name and one.kind == tool.kind]
        if tool.kind == "hosted":
            same = [one for one in self.y.tools if one.config == tool.config]
        if not same:
            self._require(False, path)
            return
        for name in ("description", "parameters", "strict", "format", "cache"):
            self._leaf(f"{path}.{name}", getattr(tool, name), getattr(same[0], name))
        self._extensions(tool.extensions, same[0].extensions, path)

    def _extensions(self, mine: Extensions | None, theirs: Extensions | None, path: str) -> None:
        for owner, fields in (mine or {}).items():
            for name, value in fields.items():
                if owner == self.protocol and path:
                    continue  # the protocol's own tests know what its parts can carry
                kept = (theirs or {}).get(owner, {})
                holds = name in kept and msgspec.to_builtins(kept[name]) == value
                self._require(holds, f"{path}.{name}" if path else name)


def _same_media(mine: Media, other: object) -> bool:
    if not isinstance(other, Media) or other.kind != mine.kind:
        return False
    if other.media_type not in (None, mine.media_type):
        return False
    fields = ("data", "url", "file_id", "text")
    return all(getattr(mine, name) == getattr(other, name) for name in fields)


def _same_call(mine: ToolCall, other: object) -> bool:
    return (
        isinstance(other, ToolCall)
        and other.name == mine.name
        and other.custom == mine.custom
        and same_json(mine.arguments, other.arguments)
    )
