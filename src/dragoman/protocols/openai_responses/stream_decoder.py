"""An upstream's event stream → canonical events.

Deltas make the events. What a server left out of them is made good from what follows: the ``.done``
event, the finished item in ``output_item.done``, and the whole answer in ``response.completed``.
Source: ``openai.types.responses.response_stream_event``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import Json, Part, Reasoning, ToolCall, set_extension
from dragoman.canonical.signature import Origin
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_responses.errors import failure
from dragoman.protocols.openai_responses.items import SEPARATOR
from dragoman.protocols.openai_responses.response import (
    decode_finish,
    decode_output,
    read_body,
    take_logprobs,
)
from dragoman.protocols.openai_responses.stream_state import (
    Item,
    Open,
    emptied,
    identity,
    missing,
    promised,
)
from dragoman.protocols.openai_responses.usage import decode_usage
from dragoman.protocols.streams import SSEStreamDecoder
from dragoman.protocols.wire_json import read_upstream
from dragoman.wire.sse import SSEEvent

_read = msgspec.json.Decoder(types.StreamEvent)
_read_object = msgspec.json.Decoder(dict[str, Any])

_ARGUMENTS = {"function_call": "arguments", "custom_tool_call": "input"}


class ResponsesStreamDecoder(SSEStreamDecoder):
    """Reads one stream; see ``protocols.base.StreamDecoder``."""

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin
        self._items: dict[int, Item] = {}
        self._seen: set[str] = set()
        self._latest = 0
        self._next = 0
        self._started = False
        self._tier: str | None = None
        self._calls = False

    def on_event(self, event: SSEEvent) -> list[Event]:
        """Read one event. Raises UpstreamBroken, or the error that it holds."""
        if event.data is None or self._ended or event.data.startswith(b"[DONE]"):
            return []
        wire = read_upstream(event.data, _read, "stream")
        wire.type = wire.type or event.event
        handler = _HANDLERS.get(wire.type)
        if handler is not None:
            return handler(self, wire)
        if wire.error and not wire.type.startswith("response."):
            raise failure(wire.error)
        return []

    def on_finish(self) -> list[Event]:
        """Nothing is left to say. Raises UpstreamBroken if the stream was cut short."""
        if not self._ended:
            raise UpstreamBroken("The upstream's stream ended before the response was complete.")
        return []

    def _start(self, body: types.ResponseBody | None = None) -> list[Event]:
        if self._started:
            return []
        self._started = True
        body = body or types.ResponseBody()
        self._tier = body.service_tier
        return [
            Start(
                id=body.id or "",
                model=body.model or "",
                created=int(body.created_at) if body.created_at else None,
                service_tier=body.service_tier,
                extensions={marks.ID: {}},
            )
        ]

    def _begin(self, item: Item, key: int, part: Part) -> list[Event]:
        """Start ``part``, empty; its text follows as deltas."""
        opened = item.parts[key] = Open(self._next, part)
        self._next += 1
        self._calls = self._calls or isinstance(part, ToolCall)
        return [*self._start(), PartStart(opened.index, part)]

    def _item(self, wire: types.StreamEvent) -> Item:
        """The item an event is about; servers that do not number them send one at a time."""
        key = self._latest if wire.output_index is None else wire.output_index
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = Item({})
        return item

    def _on_lifecycle(self, wire: types.StreamEvent) -> list[Event]:
        if self._started:
            return []
        return self._start(read_body(_object(wire)))

    def _on_item_added(self, wire: types.StreamEvent) -> list[Event]:
        raw = wire.item
        if not isinstance(raw, dict):
            return []
        self._latest = len(self._items) if wire.output_index is None else wire.output_index
        # Servers that number every item the same must not leave the one before open.
        events = _ends(self._items.get(self._latest))
        item = self._items[self._latest] = Item(raw)
        kind = raw.get("type")
        field = _ARGUMENTS.get(kind) if isinstance(kind, str) else None
        if field is None or not (raw.get("name") and raw.get("call_id")):
            return events + self._start()
        return events + self._begin(item, 0, self._decode(promised(raw) | {field: ""})[0])

    def _on_text(self, wire: types.StreamEvent) -> list[Event]:
        item = self._item(wire)
        if item.done:
            return []
        key = wire.content_index or 0
        opened = item.parts.get(key)
        events: list[Event] = []
        if opened is None:
            refusal = wire.type.startswith("response.refusal")
            empty = (
                {"type": "refusal", "refusal": ""}
                if refusal
                else {"type": "output_text", "text": ""}
            )
            events = self._begin_content(item, key, empty)
            opened = item.parts[key]
        text = wire.delta if isinstance(wire.delta, str) else ""
        opened.length += len(text)
        logprobs = wire.logprobs if isinstance(wire.logprobs, list) else None
        events.append(PartDelta(opened.index, text, logprobs=logprobs or None))
        return events

    def _on_content_added(self, wire: types.StreamEvent) -> list[Event]:
        item = self._item(wire)
        key = wire.content_index or 0
        match wire.part:
            case {"type": "output_text"}:
                empty = {**wire.part, "text": "", "annotations": [], "logprobs": []}
            case {"type": "refusal"}:
                empty = {**wire.part, "refusal": ""}
            case _:
                return []  # reasoning starts with its first text; unknown content comes when done
        if key in item.parts or item.done:
            return []
        return self._begin_content(item, key, empty)

    def _on_content_whole(self, wire: types.StreamEvent) -> list[Event]:
        """A content part that this codec does not know has no deltas to start with."""
        item = self._item(wire)
        key = wire.content_index or 0
        known = ("output_text", "refusal", "reasoning_text")
        if key in item.parts or item.done or not isinstance(wire.part, dict):
            return []
        return [] if wire.part.get("type") in known else self._begin_content(item, key, wire.part)

    def _begin_content(self, item: Item, key: int, empty: types.Object) -> list[Event]:
        message = {**promised(item.raw), "type": "message", "role": "assistant"}
        part = self._decode({**message, "content": [empty]})[0]
        if item.parts:
            # Only the first part of a message tells of the message.
            mine = marks.own(part.extensions)
            rest = {k: v for k, v in mine.items() if k not in (marks.ITEM, marks.MESSAGE)}
            part.extensions = marks.extensions(rest)
        return self._begin(item, key, part)

    def _on_content_done(self, wire: types.StreamEvent) -> list[Event]:
        text = wire.refusal if wire.type.startswith("response.refusal") else wire.text
        opened = self._item(wire).parts.get(wire.content_index or 0)
        if opened is not None and opened.length:
            return []
        return self._on_text(msgspec.structs.replace(wire, delta=text))

    def _on_annotation(self, wire: types.StreamEvent) -> list[Event]:
        item = self._item(wire)
        opened = item.parts.get(wire.content_index or 0)
        if opened is None or item.done or wire.annotation is None:
            return []
        opened.known.setdefault("annotations", []).append(wire.annotation)
        found: dict[str, Json] = {"annotations": [wire.annotation]}
        return [PartDelta(opened.index, extensions={marks.ID: found})]

    def _on_arguments(self, wire: types.StreamEvent) -> list[Event]:
        item = self._item(wire)
        opened = item.parts.get(0)
        if opened is None or item.done or not isinstance(wire.delta, str):
            return []  # without a name there is nothing to start: the finished item has it all
        opened.length += len(wire.delta)
        return [PartDelta(opened.index, wire.delta)]

    def _on_arguments_done(self, wire: types.StreamEvent) -> list[Event]:
        opened = self._item(wire).parts.get(0)
        if opened is None or opened.length:
            return []
        text = wire.arguments if isinstance(wire.arguments, str) else wire.input
        return self._on_arguments(msgspec.structs.replace(wire, delta=text))

    def _on_summary(self, wire: types.StreamEvent) -> list[Event]:
        return self._reason(wire, wire.summary_index or 0, summary=True)

    def _on_reasoning(self, wire: types.StreamEvent) -> list[Event]:
        return self._reason(wire, wire.content_index or 0, summary=False)

    def _reason(self, wire: types.StreamEvent, piece: int, *, summary: bool) -> list[Event]:
        item = self._item(wire)
        text = wire.delta
        if item.done or not isinstance(text, str) or not text:
            return []
        events: list[Event] = []
        opened = item.parts.get(0)
        if opened is None:
            raw = {**promised(item.raw), "type": "reasoning"}
            part = self._decode({**raw, "summary": [], "content": [], "encrypted_content": None})[0]
            assert isinstance(part, Reasoning)
            part.summary = summary
            events = self._begin(item, 0, part)
            opened = item.parts[0]
        elif not isinstance(opened.part, Reasoning) or opened.part.summary is not summary:
            return []  # a summary beside the reasoning itself is carried by the finished item
        elif piece != item.piece:
            opened.length += len(SEPARATOR)
            found: dict[str, Json] = {marks.CUTS: [opened.length]}
            events.append(PartDelta(opened.index, SEPARATOR, extensions={marks.ID: found}))
        item.piece = piece
        opened.length += len(text)
        events.append(PartDelta(opened.index, text))
        return events

    def _on_reasoning_done(self, wire: types.StreamEvent) -> list[Event]:
        item = self._item(wire)
        summary = wire.type.startswith("response.reasoning_summary")
        piece = (wire.summary_index if summary else wire.content_index) or 0
        if item.parts and item.piece == piece:
            return []
        return self._reason(msgspec.structs.replace(wire, delta=wire.text), piece, summary=summary)

    def _on_item_done(self, wire: types.StreamEvent) -> list[Event]:
        if not isinstance(wire.item, dict):
            return []
        item = self._item(wire)
        if wire.output_index is None and item.done:
            # Neither numbered nor announced.
            self._latest = len(self._items)
            item = self._item(wire)
        return self._finish_item(item, wire.item)

    def _finish_item(self, item: Item, raw: types.Object) -> list[Event]:
        if item.done:
            return []
        item.done = True
        self._seen.add(identity(raw))
        events: list[Event] = []
        for key, part in enumerate(self._decode(raw)):
            logprobs = take_logprobs([part])
            opened = item.parts.get(key)
            if opened is None:
                events += self._begin(item, key, emptied(part))
                opened = item.parts[key]
                opened.part = part
            if type(opened.part) is type(part):
                events += missing(opened, part, logprobs)
        return events + [PartEnd(opened.index) for opened in item.parts.values()]

    def _decode(self, raw: types.Object) -> list[Part]:
        return decode_output([raw], self._origin)

    def _on_terminal(self, wire: types.StreamEvent) -> list[Event]:
        raw = _object(wire)
        raw["status"] = raw.get("status") or wire.type.removeprefix("response.")
        if raw.get("error") or raw["status"] == "failed":
            raise failure(raw.get("error"))
        body = read_body(raw)
        events = self._start(body)
        for index, item in enumerate(body.output or []):
            events += self._make_good(index, item)
        for left in self._items.values():
            events += _ends(left)
        if body.usage is not None:
            events.append(UsageUpdate(decode_usage(body.usage)))
        finish = decode_finish(body, raw, self._calls)
        if body.service_tier not in (None, self._tier):
            # "auto" has become the tier that served the request.
            finish.extensions = set_extension(
                finish.extensions, marks.ID, "service_tier", body.service_tier
            )
        events.append(Finished(finish))
        self._ended = True
        return events

    def _make_good(self, index: int, raw: types.Object) -> list[Event]:
        """What the stream did not tell of an item of the whole answer. Numbers in the stream may have
        gaps, so identity counts first."""
        name = identity(raw)
        if name and name in self._seen:
            return []
        for item in self._items.values():
            if name and not item.done and identity(item.raw) == name:
                return self._finish_item(item, raw)
        return self._finish_item(self._items.setdefault(index, Item(raw)), raw)

    def _on_failed(self, wire: types.StreamEvent) -> list[Event]:
        raise failure(_object(wire).get("error"))

    def _on_error(self, wire: types.StreamEvent) -> list[Event]:
        flat = {"code": wire.code, "message": wire.message, "param": wire.param}
        raise failure(wire.error or flat)


def _ends(item: Item | None) -> list[Event]:
    """The ends of what an unfinished item left open."""
    if item is None or item.done:
        return []
    return [PartEnd(opened.index) for opened in item.parts.values()]


def _object(wire: types.StreamEvent) -> dict[str, Any]:
    return read_upstream(wire.response, _read_object, "stream")


_Handler = Callable[[ResponsesStreamDecoder, types.StreamEvent], list[Event]]
_HANDLERS: dict[str, _Handler] = {
    "response.created": ResponsesStreamDecoder._on_lifecycle,
    "response.queued": ResponsesStreamDecoder._on_lifecycle,
    "response.in_progress": ResponsesStreamDecoder._on_lifecycle,
    "response.output_item.added": ResponsesStreamDecoder._on_item_added,
    "response.content_part.added": ResponsesStreamDecoder._on_content_added,
    "response.content_part.done": ResponsesStreamDecoder._on_content_whole,
    "response.output_text.delta": ResponsesStreamDecoder._on_text,
    "response.output_text.done": ResponsesStreamDecoder._on_content_done,
    "response.output_text.annotation.added": ResponsesStreamDecoder._on_annotation,
    "response.refusal.delta": ResponsesStreamDecoder._on_text,
    "response.refusal.done": ResponsesStreamDecoder._on_content_done,
    "response.function_call_arguments.delta": ResponsesStreamDecoder._on_arguments,
    "response.function_call_arguments.done": ResponsesStreamDecoder._on_arguments_done,
    "response.custom_tool_call_input.delta": ResponsesStreamDecoder._on_arguments,
    "response.custom_tool_call_input.done": ResponsesStreamDecoder._on_arguments_done,
    "response.reasoning_summary_text.delta": ResponsesStreamDecoder._on_summary,
    "response.reasoning_summary_text.done": ResponsesStreamDecoder._on_reasoning_done,
    "response.reasoning_text.delta": ResponsesStreamDecoder._on_reasoning,
    "response.reasoning_text.done": ResponsesStreamDecoder._on_reasoning_done,
    "response.output_item.done": ResponsesStreamDecoder._on_item_done,
    "response.completed": ResponsesStreamDecoder._on_terminal,
    "response.incomplete": ResponsesStreamDecoder._on_terminal,
    "response.failed": ResponsesStreamDecoder._on_failed,
    "error": ResponsesStreamDecoder._on_error,
}
