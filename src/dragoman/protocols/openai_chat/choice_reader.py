"""One choice of a streamed answer: deltas in, parts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.events import Event, Finished, PartDelta, PartEnd, PartStart
from dragoman.canonical.parts import Extensions, Media, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.protocols.openai_chat import answer_types, types
from dragoman.protocols.openai_chat.messages import decode_image
from dragoman.protocols.openai_chat.parts import Sign, Wire, decode_part, leftovers
from dragoman.protocols.openai_chat.reasoning import decode_detail
from dragoman.protocols.openai_chat.tools import arguments_text, take_thought_signature
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.finish import decode_finish

T = TypeVar("T")

_LEGACY_INDEX = -1
"""Stands for the index of a ``function_call``, which has none."""

_EMPTY: dict[str, Callable[[], Part]] = {
    "text": lambda: Text(text=""),
    "reasoning": Reasoning,
    "refusal": lambda: Refusal(text=""),
    "audio": lambda: Media(kind="audio", data=""),
}


class _Call:
    """A tool call under way; ``part`` is None, and its arguments are held, until it has a name."""

    __slots__ = ("held", "id", "name", "part")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.part: int | None = None
        self.held: list[str] = []


class ChoiceReader:
    """Turns one choice's deltas into part events.

    Text, reasoning, refusal and sound take turns: a delta of another kind ends the part before it.
    Tool calls stay open to the end, because their pieces may come in any order. A finish reason is
    only remembered: some servers repeat it, and some send more content after it.
    """

    def __init__(self, index: int, numbers: Iterator[int], sign: Sign, call_id: str) -> None:
        """``numbers`` numbers the stream's parts; ``call_id`` begins ids that the server left out."""
        self.index = index
        self.finish_reason: str | None = None
        self._native: str | None = None
        self._stop: Any = None
        self._numbers = numbers
        self._sign = sign
        self._call_id = call_id
        self._open = -1
        self._open_kind: object = None
        self._thought: list[str] = []
        self._by_index: dict[int, _Call] = {}
        self._calls: list[_Call] = []
        self._transcript = ""

    def read(self, choice: answer_types.ChunkChoice, events: list[Event]) -> None:
        """Take one chunk's share of this choice."""
        delta = choice.delta
        if delta is not None:
            self._reasoning(delta, events)
            if isinstance(delta.content, str):
                if delta.content:
                    self._grow("text", delta.content, events)
            elif delta.content is not None:
                self._content_parts(delta.content, events)
            self._others(delta, events)
        if choice.logprobs is not None and choice.logprobs.content:
            events.append(PartDelta(self._any_open(events), logprobs=choice.logprobs.content))
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
            self._native = choice.native_finish_reason
            self._stop = choice.stop_reason

    def close(self, events: list[Event]) -> None:
        """End every part, then say how the choice ended; a server that did not say means "stop"."""
        self._end_open(events)
        for call in self._calls:
            if call.part is None and call.held:
                self._start_call(call, ToolCall(id="", name=""), events)
            if call.part is not None:
                events.append(PartEnd(call.part))
        finish = decode_finish(
            self.finish_reason or "stop",
            native=self._native,
            stop=self._stop,
            tool_calls=self.called,
        )
        events.append(Finished(finish, self.index))

    @property
    def called(self) -> bool:
        """Whether it holds tool calls."""
        return any(call.part is not None for call in self._calls)

    def owed(self) -> Wire:
        """A chunk's choice that says what the server left out."""
        reason = "tool_calls" if self.called else "stop"
        return {"index": self.index, "delta": {}, "logprobs": None, "finish_reason": reason}

    def _start(self, part: Part, events: list[Event]) -> int:
        number = next(self._numbers)
        events.append(PartStart(number, part, self.index))
        return number

    def _end_open(self, events: list[Event]) -> None:
        if self._open_kind is not None:
            events.append(PartEnd(self._open))
            self._open_kind = None
            self._thought.clear()

    def _turn(self, kind: object, part: Part, events: list[Event]) -> None:
        """End the open part and open ``part``."""
        self._end_open(events)
        self._open = self._start(part, events)
        self._open_kind = kind

    def _grow(self, kind: str, text: str, events: list[Event]) -> None:
        if kind != self._open_kind:
            self._turn(kind, _EMPTY[kind](), events)
        events.append(PartDelta(self._open, text))

    def _add(self, part: Part, events: list[Event]) -> None:
        """A part that came whole."""
        self._end_open(events)
        events.append(PartEnd(self._start(part, events)))

    def _any_open(self, events: list[Event]) -> int:
        """A part that log-probabilities can travel with."""
        if self._open_kind is None:
            last = self._calls[-1].part if self._calls else None
            if last is not None:
                return last
            self._turn("text", Text(text=""), events)
        return self._open

    def _reasoning(self, delta: answer_types.Delta, events: list[Event]) -> None:
        details = delta.reasoning_details
        text = delta.reasoning or delta.reasoning_content
        # Servers that send both repeat the text of the details in the string.
        if text and not (details and any(d.get("text") or d.get("summary") for d in details)):
            self._grow("reasoning", text, events)
            self._thought.append(text)
        if details:
            for detail in details:
                self._detail(detail, events)

    def _detail(self, detail: Wire, events: list[Event]) -> None:
        kind = ("reasoning", detail.get("type"), detail.get("index"))
        part = decode_detail(detail, self._sign)
        if not isinstance(part, Reasoning) or part.redacted:
            self._add(part, events)
        elif self._reasoning_is_open() and part.text in ("", "".join(self._thought)):
            # What came as a string is told again, or only proved: either way it is complete.
            events.append(
                PartDelta(self._open, signature=part.signature, extensions=part.extensions)
            )
            if part.text or part.signature is not None:
                self._end_open(events)
        else:
            if kind != self._open_kind:
                self._turn(kind, msgspec.structs.replace(part, text="", signature=None), events)
            if part.text or part.signature is not None:
                events.append(PartDelta(self._open, part.text, part.signature))
            if part.signature is not None:
                self._end_open(events)  # nothing is thought after its proof

    def _reasoning_is_open(self) -> bool:
        kind = self._open_kind
        return kind == "reasoning" or (isinstance(kind, tuple) and kind[0] == "reasoning")

    def _content_parts(self, content: list[Wire], events: list[Event]) -> None:
        """Content as a list of parts (Mistral)."""
        for item in content:
            _check(item, types.ContentPart)
            try:
                part = decode_part(item, "content", self._sign)
            except InvalidRequest as error:
                raise UpstreamBroken(f"The upstream's stream lacks '{error.param}'.") from None
            if part.extensions is None and isinstance(part, Text | Reasoning | Refusal):
                kind = {Text: "text", Reasoning: "reasoning", Refusal: "refusal"}[type(part)]
                if part.text:
                    self._grow(kind, part.text, events)
            else:
                self._add(part, events)

    def _others(self, delta: answer_types.Delta, events: list[Event]) -> None:
        if delta.refusal:
            self._grow("refusal", delta.refusal, events)
        if delta.images:
            for image in delta.images:
                _check(image, types.Image)
                self._add(decode_image(image), events)
        if delta.audio is not None:
            self._audio(delta.audio, events)
        if delta.annotations:
            if self._open_kind != "text":
                self._turn("text", Text(text=""), events)
            own: Extensions = {PROTOCOL_ID: {"annotations": delta.annotations}}
            events.append(PartDelta(self._open, extensions=own))
        if delta.tool_calls:
            for piece in delta.tool_calls:
                self._piece(piece, events)
        if delta.function_call is not None:
            function = delta.function_call
            self._piece(answer_types.ToolCall(index=_LEGACY_INDEX, function=function), events)

    def _audio(self, audio: answer_types.Audio, events: list[Event]) -> None:
        """Sound comes with a transcript, which the part carries as far as it has come."""
        own: Wire = {}
        if audio.id is not None:
            own["id"] = audio.id
        if audio.expires_at is not None:
            own["expires_at"] = audio.expires_at
        if audio.transcript is not None:
            self._transcript += audio.transcript
            own["transcript"] = self._transcript
        if self._open_kind != "audio":
            self._turn("audio", _EMPTY["audio"](), events)
        more: Extensions | None = {PROTOCOL_ID: own} if own else None
        events.append(PartDelta(self._open, audio.data or "", extensions=more))

    def _piece(self, piece: answer_types.ToolCall, events: list[Event]) -> None:
        """Take a piece of a tool call, or one that comes whole."""
        name, arguments = _inner(piece)
        call = self._find(piece, name)
        if call is None:
            call = _Call()
            self._calls.append(call)
            if piece.index is not None:
                self._by_index[piece.index] = call
        call.id = call.id or piece.id or ""
        signature = None
        more: Extensions | None = None
        if piece.extra_content:
            extra: Wire = {"extra_content": piece.extra_content}
            found = take_thought_signature(extra)
            signature = self._sign(found) if found is not None else None
            more = leftovers(extra)
        if call.part is None and name:
            part = ToolCall(id="", name=name, custom=piece.custom is not None, signature=signature)
            part.extensions = more
            self._start_call(call, part, events)
        elif signature is not None and call.part is not None:
            events.append(PartDelta(call.part, signature=signature, extensions=more))
        if not arguments:
            return
        if call.part is None:
            call.held.append(arguments)
        else:
            events.append(PartDelta(call.part, arguments))

    def _find(self, piece: answer_types.ToolCall, name: str) -> _Call | None:
        """The call that ``piece`` goes on with, None if it begins one.

        Google's compatible endpoint gives every parallel call index 0 and an id of its own; some
        servers give no index at all; others invent a new id for every piece, but repeat no name.
        """
        if piece.index is not None:
            call = self._by_index.get(piece.index)
            if call is None or not name or not call.name:
                return call
            same = piece.id == call.id if piece.id and call.id else name == call.name
            return call if same else None
        if piece.id:
            known = next((call for call in self._calls if call.id == piece.id), None)
            if known is not None or name:
                return known
        return self._calls[-1] if self._calls and not name else None

    def _start_call(self, call: _Call, part: ToolCall, events: list[Event]) -> None:
        self._end_open(events)
        call.id = part.id = call.id or f"{self._call_id}_{self._calls.index(call)}"
        call.name = part.name
        call.part = self._start(part, events)
        if call.held:
            events.append(PartDelta(call.part, "".join(call.held)))
            call.held = []


def _inner(piece: answer_types.ToolCall) -> tuple[str, str]:
    """(name, arguments) that a piece brings."""
    if piece.custom is not None:
        return piece.custom.name or "", piece.custom.input or ""
    if piece.function is not None:
        return piece.function.name or "", arguments_text(piece.function.arguments)
    return "", ""


def _check(value: Any, type_: type) -> None:
    """Validate what the chunk's type left plain."""
    try:
        msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise UpstreamBroken(f"The upstream's stream has an unexpected shape: {error}.") from None
