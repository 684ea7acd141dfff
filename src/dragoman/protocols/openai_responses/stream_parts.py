"""The events of one output item each, for ``stream_encoder``.

A delta is written into bytes prepared when its part began: only its text and its number are encoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.collect import append_text, merge_extensions
from dragoman.canonical.events import PartDelta
from dragoman.canonical.parts import Json, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.items import SEPARATOR, native_content
from dragoman.protocols.openai_responses.output import OutputEncoder

_encode = msgspec.json.Encoder().encode


class Wire:
    """Numbers and frames events, and keeps the finished items."""

    def __init__(self) -> None:
        self._number = 0
        self._finished: dict[int, dict[str, Any]] = {}

    encode = staticmethod(_encode)

    def next(self) -> int:
        """The next sequence number."""
        number = self._number
        self._number += 1
        return number

    def raw(self, kind: str, value: dict[str, Any]) -> bytes:
        """One event whose data is ``value``."""
        return b"event: " + kind.encode() + b"\ndata: " + _encode(value) + b"\n\n"

    def event(self, kind: str, value: dict[str, Any]) -> bytes:
        """One event with its type and number."""
        return self.raw(kind, {"type": kind, **value, "sequence_number": self.next()})

    def delta(self, head: bytes, text: str) -> bytes:
        """One delta; ``head`` comes from ``delta_head``."""
        number = self._number
        self._number += 1
        return b'%s%s,"sequence_number":%d}\n\n' % (head, _encode(text), number)

    def item_done(self, index: int, item: dict[str, Any]) -> bytes:
        """``response.output_item.done``."""
        self._finished[index] = item
        return self.event("response.output_item.done", {"output_index": index, "item": item})

    def output(self) -> list[dict[str, Any]]:
        """The finished items in their order."""
        return [self._finished[index] for index in sorted(self._finished)]


def delta_head(kind: str, where: dict[str, Any]) -> bytes:
    """All of a delta event up to its text."""
    fields = _encode({"type": kind, **where})[:-1]
    return b"event: " + kind.encode() + b"\ndata: " + fields + b',"delta":'


class PartStream:
    """One part on its way out."""

    def __init__(self, wire: Wire, output: OutputEncoder, part: Part, index: int) -> None:
        self._wire = wire
        self._output = output
        self._part = part
        self._index = index
        self._head = b""
        self._pieces: list[str] = []
        # What is known of the text at the start is the first delta.
        self._early = _take_text(part)

    def start(self) -> bytes:
        """The events that announce it."""
        opening = self._open()
        if self._early:
            opening += self.delta(PartDelta(0, self._early))
        return opening

    def delta(self, event: PartDelta) -> bytes:
        """The events of one delta."""
        if event.signature is not None or event.extensions or event.logprobs:
            return self._rich(event)
        if not event.text:
            return b""
        self._pieces.append(event.text)
        return self._wire.delta(self._head, event.text) if self._head else b""

    def end(self) -> bytes:
        """The events that complete it."""
        append_text(self._part, "".join(self._pieces))
        return self._close()

    def _open(self) -> bytes:
        raise NotImplementedError

    def _close(self) -> bytes:
        raise NotImplementedError

    def _rich(self, event: PartDelta) -> bytes:
        """A delta that brings more than text."""
        part = self._part
        if event.signature is not None and isinstance(part, Reasoning | ToolCall):
            part.signature = event.signature
        if event.extensions:
            # Merged into a copy: the part's own may be shared with the event that brought it.
            copied = {owner: dict(fields) for owner, fields in (part.extensions or {}).items()}
            part.extensions = merge_extensions(copied, event.extensions)
        return self.delta(PartDelta(event.index, event.text))

    def _added(self, item: dict[str, Any]) -> bytes:
        value = {"output_index": self._index, "item": item}
        return self._wire.event("response.output_item.added", value)


def _take_text(part: Part) -> str:
    match part:
        case Text() | Reasoning() | Refusal():
            text, part.text = part.text, ""
        case ToolCall():
            text, part.arguments = part.arguments, ""
        case _:
            text = ""
    return text


class Message:
    """A message item: opened by its first part, closed when no more can join."""

    def __init__(self, wire: Wire, output: OutputEncoder, first: Part, index: int) -> None:
        self._wire = wire
        self._output = output
        self._first = first
        self._retired = False
        self.index = index
        self.item = output.message(first, index)
        self.contents: list[dict[str, Any] | None] = []

    def start(self) -> bytes:
        """``response.output_item.added``."""
        item = {**self.item, "status": "in_progress", "content": []}
        value = {"output_index": self.index, "item": item}
        return self._wire.event("response.output_item.added", value)

    def join(self) -> int:
        """The content index of a further part."""
        self.contents.append(None)
        return len(self.contents) - 1

    def complete(self, at: int, content: dict[str, Any]) -> bytes:
        """A content part is complete."""
        self.contents[at] = content
        return self.retire() if self._retired else b""

    def retire(self) -> bytes:
        """Close the item, now or when its last part is complete."""
        self._retired = True
        if None in self.contents:
            return b""
        # The status may have been corrected since the item was announced.
        item = {**self._output.message(self._first, self.index), "content": self.contents}
        return self._wire.item_done(self.index, item)


class ContentStream(PartStream):
    """Text, refusal, or an unknown content part, inside a message."""

    def __init__(self, wire: Wire, output: OutputEncoder, part: Part, message: Message) -> None:
        super().__init__(wire, output, part, message.index)
        self._message = message
        self._at = message.join()
        self._logprobs: list[Json] = []
        self._annotations = 0
        self._where = {
            "item_id": message.item["id"],
            "output_index": message.index,
            "content_index": self._at,
        }

    def _open(self) -> bytes:
        empty = self._output.content(self._part)
        match self._part:
            case Text():
                kind = "response.output_text.delta"
                self._head = delta_head(kind, {**self._where, "logprobs": []})
            case Refusal():
                self._head = delta_head("response.refusal.delta", self._where)
        return self._wire.event("response.content_part.added", {**self._where, "part": empty})

    def _rich(self, event: PartDelta) -> bytes:
        out = b""
        if event.logprobs and isinstance(self._part, Text):
            self._logprobs += event.logprobs
            self._pieces.append(event.text)
            said = {**self._where, "logprobs": event.logprobs, "delta": event.text}
            out = self._wire.event("response.output_text.delta", said)
            event = PartDelta(event.index, extensions=event.extensions)
        for annotation in marks.own(event.extensions).get("annotations", ()):
            said = {**self._where, "annotation_index": self._annotations, "annotation": annotation}
            self._annotations += 1
            out += self._wire.event("response.output_text.annotation.added", said)
        return out + super()._rich(event)

    def _close(self) -> bytes:
        content = self._output.content(self._part, self._logprobs)
        done = b""
        match self._part:
            case Text(text=text):
                said = {**self._where, "text": text, "logprobs": self._logprobs}
                done = self._wire.event("response.output_text.done", said)
            case Refusal(text=text):
                said = {**self._where, "refusal": text}
                done = self._wire.event("response.refusal.done", said)
        done += self._wire.event("response.content_part.done", {**self._where, "part": content})
        return done + self._message.complete(self._at, content)


class CallStream(PartStream):
    """A function or custom tool call.

    A custom tool's call that a foreign upstream made as a function's waits until it is whole: its
    text is inside the JSON.
    """

    _part: ToolCall

    def _open(self) -> bytes:
        call = self._part
        item = self._output.call(call, self._index)
        self._where = {"item_id": item["id"], "output_index": self._index}
        self._custom = "input" in item
        self._field = "input" if self._custom else "arguments"
        name = "custom_tool_call_input" if self._custom else "function_call_arguments"
        self._kind = f"response.{name}"
        if self._custom == call.custom:
            self._head = delta_head(f"{self._kind}.delta", self._where)
        return self._added({**item, self._field: "", "status": "in_progress"})

    def _close(self) -> bytes:
        item = self._output.call(self._part, self._index)
        text: str = item[self._field]
        late = b""
        if text and not (self._head and self._pieces):
            late = self._wire.delta(delta_head(f"{self._kind}.delta", self._where), text)
        done = self._wire.event(f"{self._kind}.done", {**self._where, self._field: text})
        return late + done + self._wire.item_done(self._index, item)


class ReasoningStream(PartStream):
    """A reasoning item: its summary, in one or more pieces, or its text."""

    _part: Reasoning

    def _open(self) -> bytes:
        item = self._output.reasoning(self._part, self._index)
        self._item_id = item["id"]
        self._begun = 0
        self._since = 0
        self._length = 0
        self._cuts = list(marks.own(self._part.extensions).get(marks.CUTS, ()))
        if native_content(self._part):
            self._name, self._number = "reasoning_text", "content_index"
            self._frame = "response.content_part"
        else:
            self._name, self._number = "reasoning_summary_text", "summary_index"
            self._frame = "response.reasoning_summary_part"
        return self._added(
            {**item, "summary": [], **({"content": []} if "content" in item else {})}
        )

    def delta(self, event: PartDelta) -> bytes:
        if event.signature is not None or event.extensions:
            return self._rich(event)
        return self._cut(event.text) if self._cuts else self._say(event.text)

    def _say(self, text: str) -> bytes:
        if not text:
            return b""
        opening = b"" if self._head else self._open_piece()
        self._pieces.append(text)
        return opening + self._wire.delta(self._head, text)

    def _cut(self, text: str) -> bytes:
        """Text of a part whose pieces were known from its start, as a replayed answer's are."""
        out = b""
        while self._cuts and self._length + len(text) >= self._cuts[0]:
            end = self._cuts.pop(0) - self._length
            out += self._say(text[: max(end - len(SEPARATOR), 0)])
            out += self._next_piece(SEPARATOR)
            self._length += end
            text = text[end:]
        self._length += len(text)
        return out + self._say(text)

    def _next_piece(self, separator: str) -> bytes:
        closing = self._close_piece()
        self._pieces.append(separator)
        self._since = len(self._pieces)
        return closing

    def _rich(self, event: PartDelta) -> bytes:
        closing = b""
        if marks.CUTS in marks.own(event.extensions):
            # The text of such a delta is what stands between two pieces.
            closing = self._next_piece(event.text)
            event = PartDelta(event.index, extensions=event.extensions)
        return closing + super()._rich(event)

    def _where(self) -> dict[str, Any]:
        return {
            "item_id": self._item_id,
            "output_index": self._index,
            self._number: self._begun - 1,
        }

    def _open_piece(self) -> bytes:
        self._begun += 1
        self._head = delta_head(f"response.{self._name}.delta", self._where())
        return self._wire.event(f"{self._frame}.added", {**self._where(), "part": self._piece("")})

    def _close_piece(self) -> bytes:
        if not self._head:
            return b""
        self._head = b""
        text = "".join(self._pieces[self._since :])
        done = self._wire.event(f"response.{self._name}.done", {**self._where(), "text": text})
        part = {**self._where(), "part": self._piece(text)}
        return done + self._wire.event(f"{self._frame}.done", part)

    def _piece(self, text: str) -> dict[str, Any]:
        kind = "reasoning_text" if self._number == "content_index" else "summary_text"
        return {"type": kind, "text": text}

    def _close(self) -> bytes:
        item = self._output.reasoning(self._part, self._index)
        return self._close_piece() + self._wire.item_done(self._index, item)


class ItemStream(PartStream):
    """An item that comes whole: a generated image, or one that only this protocol knows."""

    def _open(self) -> bytes:
        return b""

    def _close(self) -> bytes:
        item = self._output.item(self._part, self._index) or {}
        begun = {**item, "result": None} if item.get("type") == "image_generation_call" else item
        return self._added(begun) + self._wire.item_done(self._index, item)
