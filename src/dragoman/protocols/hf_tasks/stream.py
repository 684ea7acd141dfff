"""A streamed answer: token events as Text Generation Inference sends them, and the whole answer in the
last one.

Each event is ``{index, token: {id, text, logprob, special}, generated_text, details}``; the last has an
empty special token, ``generated_text`` for the tasks that generate text, and under the documented forms
the whole answer as well. As server-sent events, or one JSON object a line. Of tasks whose answer is made
of scores and spans, there is the last event only. What is not known, a token's number and its
probability, is 0 and null.
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import Event, Finished, PartDelta, PartStart, UsageUpdate
from dragoman.canonical.parts import Json, Refusal, Text
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish
from dragoman.canonical.usage import Usage
from dragoman.protocols.hf_tasks.errors import error_type
from dragoman.protocols.hf_tasks.generation import full_text
from dragoman.protocols.hf_tasks.request import call_of
from dragoman.protocols.hf_tasks.response import answer_body, details
from dragoman.protocols.hf_tasks.text_tasks import text_task

_encode = msgspec.json.Encoder().encode


class TaskStreamEncoder:
    """As ``protocols.base.StreamEncoder``; the first choice only."""

    def __init__(self, request: Request) -> None:
        self._call = call_of(request)
        self._streams = text_task(self._call.task).streams
        self._pieces: list[str] = []
        self._shown: set[int] = set()
        self._index = 0
        self._finish: Finish | None = None
        self._usage: Usage | None = None

    def feed(self, event: Event) -> bytes:
        """A token event for each piece of text."""
        match event:
            case PartStart():
                if event.choice == 0 and isinstance(event.part, Text | Refusal):
                    self._shown.add(event.index)
                    return self._piece(event.part.text)
            case PartDelta():
                if event.index in self._shown:
                    return self._piece(event.text)
            case UsageUpdate():
                self._usage = event.usage
            case Finished():
                if event.choice == 0:
                    self._finish = event.finish
            case _:
                pass
        return b""

    def finish(self) -> bytes:
        """The last event. Raises UpstreamBroken if what the model said is no answer to the task."""
        call, text = self._call, "".join(self._pieces)
        body = answer_body(call, text, self._finish)
        last = _token(self._index + 1, "", special=True)
        if self._streams:
            last["generated_text"] = (
                full_text(call, text) if call.task == "text-generation" else text
            )
            last["details"] = details(self._finish, self._usage, call)
        if call.form != "native":
            last |= body
        elif not self._streams:
            last["output"] = body
        return self._framed(last)

    def error(self, error: GatewayError) -> bytes:
        """An event of the documented error's shape, without its details."""
        return self._framed({"error": error.message, "error_type": error_type(error.status)})

    def ping(self) -> bytes:
        """A comment, or an empty line."""
        return b"\n" if self._call.ndjson else b":\n\n"

    def _piece(self, text: str) -> bytes:
        if not text:
            return b""
        self._pieces.append(text)
        if not self._streams:
            return b""
        self._index += 1
        return self._framed(_token(self._index, text, special=False))

    def _framed(self, event: dict[str, Json]) -> bytes:
        data = _encode(event)
        return data + b"\n" if self._call.ndjson else b"data: " + data + b"\n\n"


def _token(index: int, text: str, *, special: bool) -> dict[str, Json]:
    return {
        "index": index,
        "token": {"id": 0, "text": text, "logprob": None, "special": special},
        "generated_text": None,
        "details": None,
    }
