"""Events, as a stream of ``chat.completion.chunk`` for a client."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import own_extensions
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish
from dragoman.canonical.usage import Usage
from dragoman.protocols.openai_chat.context import merge_missing
from dragoman.protocols.openai_chat.part_writers import ChoiceState, PartWriter, writer_for
from dragoman.protocols.openai_chat.parts import Wire
from dragoman.protocols.openai_chat.response import View
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.errors import error_object
from dragoman.protocols.openai_shared.finish import finish_word, native_reason
from dragoman.protocols.openai_shared.usage import encode_usage
from dragoman.wire.sse import write_event

_encode = msgspec.json.Encoder().encode

DONE = b"data: [DONE]\n\n"


class ChatStreamEncoder:
    """Writes chunks. What is the same in all of them is encoded once, when the answer starts."""

    def __init__(self, request: Request) -> None:
        self._view = View(request)
        self._model = request.model
        self._include_usage = request.stream_options.include_usage
        self._tail = b',"usage":null}\n\n' if self._include_usage else b"}\n\n"
        self._choices: dict[int, ChoiceState] = {}
        self._writers: dict[int, tuple[PartWriter, ChoiceState]] = {}
        self._usage: Usage | None = None
        self._fields: Wire = {}
        self._head = b""
        self._set_head(Start())

    def feed(self, event: Event) -> bytes:
        """Chunks for one event."""
        match event:
            case PartDelta():
                known = self._writers.get(event.index)
                if known is None:
                    return b""
                delta = known[0].delta(event)
                if event.logprobs is not None:
                    return self._chunk(known[1], delta or b"{}", event.logprobs)
                return self._chunk(known[1], delta) if delta else b""
            case PartStart():
                return self._begin(event)
            case PartEnd():
                known = self._writers.pop(event.index, None)
                delta = known[0].end() if known is not None else b""
                return self._chunk(known[1], delta) if known is not None and delta else b""
            case UsageUpdate():
                self._usage = event.usage
                return b""
            case Finished():
                return self._finish_choice(self._choice(event.choice), event.finish)
            case Start():
                self._set_head(event)
                return b""

    def finish(self) -> bytes:
        """A finish reason for every choice that lacks one, usage if it was asked for, ``[DONE]``."""
        if not self._choices:
            self._choice(0)
        out = [
            self._finish_choice(choice, None)
            for choice in self._choices.values()
            if not choice.finished
        ]
        if self._include_usage and self._usage is not None:
            chunk = {**self._fields, "choices": [], "usage": encode_usage(self._usage)}
            out.append(write_event(_encode(chunk)))
        out.append(DONE)
        return b"".join(out)

    def error(self, error: GatewayError) -> bytes:
        """The error as an event, which makes the SDKs raise. ``[DONE]`` must not follow: it would be
        a clean end."""
        return write_event(_encode({"error": error_object(error)}))

    def ping(self) -> bytes:
        """A comment, which every client of this protocol was seen to skip."""
        return b": keep-alive\n\n"

    def _set_head(self, start: Start) -> None:
        self._fields = {
            "id": start.id,
            "object": "chat.completion.chunk",
            "created": start.created or 0,
            "model": start.model or self._model,
        }
        if start.service_tier is not None:
            self._fields["service_tier"] = start.service_tier
        merge_missing(self._fields, own_extensions(start.extensions, PROTOCOL_ID))
        self._head = b"data: " + _encode(self._fields)[:-1] + b',"choices":[{"index":'

    def _choice(self, index: int) -> ChoiceState:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = ChoiceState(index)
        return choice

    def _begin(self, event: PartStart) -> bytes:
        choice = self._choice(event.choice)
        writer = writer_for(event.part, choice, self._view)
        if writer is None:
            return b""
        self._writers[event.index] = (writer, choice)
        delta = writer.start()
        return self._role(choice, writer.is_text) + (self._chunk(choice, delta) if delta else b"")

    def _role(self, choice: ChoiceState, text: bool) -> bytes:
        """The first chunk of a choice; only text begins with a content that is not null."""
        if choice.begun:
            return b""
        choice.begun = True
        content = b'""' if text else b"null"
        return self._chunk(choice, b'{"role":"assistant","content":' + content + b"}")

    def _chunk(self, choice: ChoiceState, delta: bytes, logprobs: list[Any] | None = None) -> bytes:
        chances = b"null"
        if logprobs is not None:
            chances = b'{"content":' + _encode(logprobs) + b',"refusal":null}'
        return b"".join(
            (
                self._head,
                choice.number,
                b',"delta":',
                delta,
                b',"logprobs":',
                chances,
                b',"finish_reason":null}]',
                self._tail,
            )
        )

    def _finish_choice(self, choice: ChoiceState, finish: Finish | None) -> bytes:
        if choice.finished:
            return b""
        choice.finished = True
        word = finish_word(finish, choice.calls > 0)
        if self._view.legacy and word == "tool_calls":
            word = "function_call"
        wire: Wire = {"index": choice.index, "delta": {}, "logprobs": None, "finish_reason": word}
        if (native := native_reason(finish)) is not None:
            wire["native_finish_reason"] = native
        if finish is not None and finish.stop_sequence is not None:
            wire["stop_reason"] = finish.stop_sequence
        chunk: Wire = {**self._fields, "choices": [wire]}
        if self._include_usage:
            chunk["usage"] = None
        return self._role(choice, True) + write_event(_encode(chunk))
