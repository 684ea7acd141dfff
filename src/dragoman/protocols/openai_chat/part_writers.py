"""The deltas of each kind of part in a streamed answer, as JSON text.

The SDK's stream helper merges deltas key by key (``openai.lib.streaming._deltas``): texts are joined,
so an id or a name may be sent once only; entries of lists must carry ``index``; and a piece of a
function call without ``function`` makes it fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol as Interface

import msgspec

from dragoman.canonical.events import PartDelta
from dragoman.canonical.parts import (
    Extensions,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.signature import Signature
from dragoman.protocols.openai_chat.parts import Wire
from dragoman.protocols.openai_chat.reasoning import (
    carries_proof,
    encode_detail,
    is_detail,
)
from dragoman.protocols.openai_chat.response import View, answer_image, audio_wire, proof
from dragoman.protocols.openai_chat.tools import call_wire, thought_signature
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.custom_tools import restore

_encode = msgspec.json.Encoder().encode


class ChoiceState:
    """What the parts of one choice share: how many of each list have been sent."""

    __slots__ = ("begun", "calls", "details", "finished", "images", "index", "number")

    def __init__(self, index: int) -> None:
        self.index = index
        self.number = str(index).encode()
        self.begun = False
        self.finished = False
        self.calls = 0
        self.details = 0
        self.images = 0


class PartWriter(Interface):
    """Each method gives a ``delta`` object, or nothing."""

    is_text: bool

    def start(self) -> bytes: ...

    def delta(self, event: PartDelta) -> bytes: ...

    def end(self) -> bytes: ...


class _Plain:
    """Text and refusals: one field that grows. Annotations stand beside it."""

    __slots__ = ("_before", "_part", "is_text")

    def __init__(self, part: Text | Refusal) -> None:
        self._part = part
        self.is_text = isinstance(part, Text)
        self._before = b'{"content":' if self.is_text else b'{"refusal":'

    def start(self) -> bytes:
        return self._write(self._part.text, self._part.extensions)

    def delta(self, event: PartDelta) -> bytes:
        if event.extensions is None:
            return self._before + _encode(event.text) + b"}" if event.text else b""
        return self._write(event.text, event.extensions)

    def _write(self, text: str, extensions: Extensions | None) -> bytes:
        wire: Wire = {"content" if self.is_text else "refusal": text} if text else {}
        if annotations := own_extensions(extensions, PROTOCOL_ID).get("annotations"):
            wire["annotations"] = annotations
        return _encode(wire) if wire else b""

    def end(self) -> bytes:
        return b""


class _Thought:
    """Reasoning: its text as it comes, then, if there is a proof, all of it as a detail, because a
    client can only give back what it got in one piece."""

    __slots__ = ("_choice", "_part", "_pieces", "_signature")
    is_text = False

    def __init__(self, part: Reasoning, choice: ChoiceState) -> None:
        self._part = part
        self._choice = choice
        self._signature = part.signature
        self._pieces: list[str] = []

    def start(self) -> bytes:
        return self._write(self._part.text)

    def delta(self, event: PartDelta) -> bytes:
        if event.signature is not None:
            self._signature = event.signature
        return self._write(event.text)

    def _write(self, text: str) -> bytes:
        if not text:
            return b""
        self._pieces.append(text)
        return b'{"reasoning_content":' + _encode(text) + b"}"

    def end(self) -> bytes:
        whole = msgspec.structs.replace(
            self._part, text="".join(self._pieces), signature=self._signature
        )
        return _detail(whole, self._choice, self._signature) if carries_proof(whole) else b""


def _detail(part: Reasoning | Opaque, choice: ChoiceState, signature: Signature | None) -> bytes:
    wire = encode_detail(part, choice.details, proof(signature))
    choice.details += 1
    return _encode({"reasoning_details": [wire]})


class _Call:
    """A tool call. One to a custom tool that the upstream knew as a function is written when it is
    complete, because its text lies inside the arguments."""

    __slots__ = ("_before", "_call", "_held", "_kind", "_number", "_text", "_wrapped")
    is_text = False

    def __init__(self, call: ToolCall, choice: ChoiceState, view: View) -> None:
        self._call = call
        self._wrapped = not call.custom and call.name in view.custom
        self._held: list[str] = []
        self._number = choice.calls
        choice.calls += 1
        custom = call.custom or self._wrapped
        self._kind, self._text = ("custom", "input") if custom else ("function", "arguments")
        self._before = _encode({"tool_calls": [{"index": self._number, self._kind: {}}]})[:-4]
        self._before += b'"' + self._text.encode() + b'":'

    def start(self) -> bytes:
        call = self._call
        if self._wrapped:
            self._held.append(call.arguments)
            call = msgspec.structs.replace(call, custom=True, arguments="")
        wire = {"index": self._number, **call_wire(call, proof(call.signature))}
        return _encode({"tool_calls": [wire]})

    def delta(self, event: PartDelta) -> bytes:
        if event.signature is not None:
            return self._signed(event)
        if self._wrapped:
            self._held.append(event.text)
            return b""
        return self._before + _encode(event.text) + b"}}]}" if event.text else b""

    def _signed(self, event: PartDelta) -> bytes:
        text = event.text
        if self._wrapped:
            self._held.append(text)
            text = ""
        wire: Wire = {"index": self._number, self._kind: {self._text: text}}
        if event.signature is not None:
            wire["extra_content"] = thought_signature(proof(event.signature) or "")
        return _encode({"tool_calls": [wire]})

    def end(self) -> bytes:
        if not self._wrapped:
            return b""
        call = msgspec.structs.replace(self._call, arguments="".join(self._held))
        text = restore(call, frozenset({call.name})).arguments
        return self._before + _encode(text) + b"}}]}" if text else b""


class _LegacyCall:
    """The one ``function_call`` of the old form."""

    __slots__ = ("_call",)
    is_text = False

    def __init__(self, call: ToolCall) -> None:
        self._call = call

    def start(self) -> bytes:
        call = {"name": self._call.name, "arguments": self._call.arguments}
        return _encode({"function_call": call})

    def delta(self, event: PartDelta) -> bytes:
        return _encode({"function_call": {"arguments": event.text}}) if event.text else b""

    def end(self) -> bytes:
        return b""


class _Picture:
    """An image, written when it is complete."""

    __slots__ = ("_choice", "_part", "_pieces")
    is_text = False

    def __init__(self, part: Media, choice: ChoiceState) -> None:
        self._part = part
        self._choice = choice
        self._pieces = [part.data or ""]

    def start(self) -> bytes:
        return b""

    def delta(self, event: PartDelta) -> bytes:
        self._pieces.append(event.text)
        return b""

    def end(self) -> bytes:
        data = "".join(self._pieces) or None
        wire = answer_image(msgspec.structs.replace(self._part, data=data))
        if wire is None:
            return b""
        wire["index"] = self._choice.images
        self._choice.images += 1
        return _encode({"images": [wire]})


class _Sound:
    """Sound and what of its transcript is new."""

    __slots__ = ("_part", "_sent", "_transcript")
    is_text = False

    def __init__(self, part: Media) -> None:
        self._part = part
        self._sent = False
        self._transcript = ""

    def start(self) -> bytes:
        if not self._part.data and not self._part.extensions:
            return b""
        return self._write(self._part.data or "", self._part.extensions)

    def delta(self, event: PartDelta) -> bytes:
        return self._write(event.text, event.extensions)

    def _write(self, data: str, extensions: Extensions | None) -> bytes:
        own = own_extensions(extensions, PROTOCOL_ID)
        wire: Wire = {}
        if not self._sent:
            self._sent = True
            whole = audio_wire(Media(kind="audio", extensions=extensions))
            wire = {field: whole[field] for field in ("id", "expires_at")}
        if data:
            wire["data"] = data
        transcript = own.get("transcript", "")
        if len(transcript) > len(self._transcript):
            wire["transcript"] = transcript[len(self._transcript) :]
            self._transcript = transcript
        return _encode({"audio": wire}) if wire else b""

    def end(self) -> bytes:
        return b""


class _Detail:
    """A reasoning detail that nobody else knows."""

    __slots__ = ("_choice", "_part")
    is_text = False

    def __init__(self, part: Opaque, choice: ChoiceState) -> None:
        self._part = part
        self._choice = choice

    def start(self) -> bytes:
        return _detail(self._part, self._choice, None)

    def delta(self, event: PartDelta) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""


def writer_for(part: Part, choice: ChoiceState, view: View) -> PartWriter | None:
    """The writer of a part that has started; None if the client cannot or will not see it."""
    make = _WRITERS.get(type(part))
    return make(part, choice, view) if make is not None else None


def _reasoning(part: Reasoning, choice: ChoiceState, view: View) -> PartWriter | None:
    return None if view.hides_reasoning else _Thought(part, choice)


def _call(part: ToolCall, choice: ChoiceState, view: View) -> PartWriter | None:
    if not view.legacy:
        return _Call(part, choice, view)
    choice.calls += 1
    return _LegacyCall(part) if choice.calls == 1 else None


def _media(part: Media, choice: ChoiceState, view: View) -> PartWriter | None:
    if part.kind == "audio":
        return _Sound(part)
    return _Picture(part, choice) if part.kind == "image" else None


def _opaque(part: Opaque, choice: ChoiceState, view: View) -> PartWriter | None:
    return _Detail(part, choice) if is_detail(part) and not view.hides_reasoning else None


_WRITERS: dict[type, Callable[..., PartWriter | None]] = {
    Text: lambda part, choice, view: _Plain(part),
    Refusal: lambda part, choice, view: _Plain(part),
    Reasoning: _reasoning,
    ToolCall: _call,
    Media: _media,
    Opaque: _opaque,
}
