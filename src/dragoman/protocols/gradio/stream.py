"""A job's events, out of the queue or out of the simple API.

*Queue* (``GET queue/data``): ``data: {"msg": …}``; the first ``process_generating`` has the outputs
whole, later ones have edits (``diff``), or again the whole (``sse_v1``); ``process_completed`` has them
whole, or the error. *Simple API* (``GET call/{name}/{id}``): named events whose data are the outputs,
always whole; until version 6 its errors say nothing, which is why the queue is preferred.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken, UpstreamError
from dragoman.canonical.events import Event, Finished, Start
from dragoman.canonical.parts import Json
from dragoman.canonical.response import Finish, FinishReason
from dragoman.canonical.signature import Origin
from dragoman.protocols.gradio.answer import read_outputs
from dragoman.protocols.gradio.diff import apply, are_edits
from dragoman.protocols.gradio.errors import clean, job_error
from dragoman.protocols.gradio.growth import Growth
from dragoman.protocols.streams import SSEStreamDecoder
from dragoman.protocols.wire_json import read_upstream
from dragoman.wire.sse import SSEEvent

_DATA = msgspec.json.Decoder()


class GradioDecoder(SSEStreamDecoder):
    """Reads one job's events. With ``whole`` nothing is given before the job is done, so that what an
    app took back on the way is not in the answer."""

    def __init__(self, origin: Origin, *, whole: bool = False) -> None:
        super().__init__()
        # A server's address is the operator's own affair.
        self._model = "" if "://" in origin.model else origin.model
        self._whole = whole
        self._started = False
        self._outputs: list[Json] | None = None
        self._growth = Growth()
        self._warned = ""

    def on_event(self, event: SSEEvent) -> list[Event]:
        if self._ended or event.data is None:
            return []
        data = read_upstream(event.data, _DATA, "event")
        match event.event:
            case "generating":
                return self._generating(data)
            case "complete":
                return self._completed(data)
            case "error":
                raise _simple_error(data)
            case "":
                return self._message(data)
            case _:
                return []  # heartbeats

    def on_finish(self) -> list[Event]:
        if not self._ended:
            raise UpstreamBroken("The Gradio server ended its events before the job was done.")
        return []

    def _message(self, data: Json) -> list[Event]:
        if not isinstance(data, dict):
            raise UpstreamBroken("The Gradio server sent an event of unknown shape.")
        match data.get("msg"):
            case "process_generating" | "process_streaming":
                return self._generating(self._data_of(data))
            case "process_completed":
                return self._completed(self._data_of(data))
            case "unexpected_error" | "server_stopped" | "queue_full":
                raise job_error(data.get("message") or str(data["msg"]).replace("_", " "))
            case "log" if data.get("level") in ("warning", "error"):
                self._warned = clean(data.get("log"))
        return []

    def _data_of(self, data: dict[str, Json]) -> Json:
        output = data.get("output")
        output = output if isinstance(output, dict) else {}
        if not data.get("success") or (output.get("error") and "data" not in output):
            title = output.get("title") or data.get("title")
            raise job_error(output.get("error"), title, self._warned)
        return output.get("data")

    def _generating(self, outputs: Json) -> list[Event]:
        if not isinstance(outputs, list):
            return []
        self._take(outputs)
        return [] if self._whole else self._events(final=False)

    def _completed(self, outputs: Json) -> list[Event]:
        if not isinstance(outputs, list):
            raise UpstreamBroken("The Gradio server ended the job without an answer.")
        self._take(outputs)
        events = self._events(final=True)
        if not self._started:
            events.append(Start(model=self._model))
        self._ended = True
        return [*events, Finished(Finish(reason=FinishReason.STOP))]

    def _take(self, outputs: list[Json]) -> None:
        before = self._outputs
        if before is None or len(before) != len(outputs):
            self._outputs = outputs
            return
        self._outputs = [
            apply(old, new) if are_edits(new) else new
            for old, new in zip(before, outputs, strict=True)
        ]

    def _events(self, *, final: bool) -> list[Event]:
        assert self._outputs is not None
        events = self._growth.grow(read_outputs(self._outputs, final=final), final=final)
        if events and not self._started:
            self._started = True
            events.insert(0, Start(model=self._model))
        return events


def _simple_error(data: Any) -> UpstreamError:
    if isinstance(data, dict):
        return job_error(data.get("error"), data.get("title"))
    return job_error(data)
