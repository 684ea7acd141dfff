"""From the bytes of a stream to pieces of text. The bytes may be split anywhere."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from typing import Any

from dragoman_client._reading import error_in_stream
from dragoman_client.errors import BrokenAnswer

MOST_EVENT_CHARS = 16 * 1024 * 1024
"""Longer than any event of an honest stream."""


class EventReader:
    """Server-sent events, of which only the data count. Source: the HTML standard, 9.2.6."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._line: list[str] = []
        self._data: list[str] = []
        self._size = 0
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """The data of each event that is complete now. Raises BrokenAnswer for one without end."""
        for line in self._lines(self._decode(piece)):
            if line:
                name, _, text = line.partition(":")
                if name == "data":
                    self._data.append(text.removeprefix(" "))
                continue
            data, self._data, self._size = self._data, [], 0
            if data:
                yield "\n".join(data)

    def _lines(self, text: str) -> Iterator[str]:
        if self._after_return and text:
            text = text.removeprefix("\n")  # its "\r" came in the piece before
            self._after_return = False
        *ended, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._after_return = self._after_return or text.endswith("\r")
        for line in ended:
            self._line.append(line)
            whole, self._line = "".join(self._line), []
            yield whole
        self._size += len(text)
        if self._size > MOST_EVENT_CHARS:
            raise BrokenAnswer("The stream has an event without end.")
        if rest:
            self._line.append(rest)


class TextReader:
    """A stream of a text task: events with a ``token`` each, the last of them with the whole answer.

    Source: the streams of Hugging Face's text-generation-inference.
    """

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._events = EventReader()
        self._complete = False

    def feed(self, piece: bytes) -> Iterator[str]:
        """The text that is new. Raises ApiError for an error in the stream, and BrokenAnswer."""
        for data in self._events.feed(piece):
            if data == "[DONE]":
                self._complete = True
                continue
            text = self._text(self._object(data))
            if text:
                yield text

    def end(self) -> None:
        """No more will come. Raises BrokenAnswer if there should be more."""
        if not self._complete:
            raise self._broken("it ended too early")

    def _text(self, event: Mapping[str, Any]) -> str:
        if "error" in event:
            raise error_in_stream(event, self._request_id)
        if event.get("generated_text") is not None or "output" in event:
            self._complete = True
        token = event.get("token")
        if not isinstance(token, dict) or token.get("special"):
            return ""
        text = token.get("text")
        if not isinstance(text, str):
            raise self._broken("an event's token has no text")
        return text

    def _object(self, data: str) -> Mapping[str, Any]:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise self._broken("an event is not JSON") from None
        if not isinstance(event, dict):
            raise self._broken("an event is no object")
        return event

    def _broken(self, what: str) -> BrokenAnswer:
        return BrokenAnswer(
            f"The stream is not what the documents say: {what}.", request_id=self._request_id
        )
