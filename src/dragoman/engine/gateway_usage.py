"""``gateway_usage``: what a request was charged, told in its answer where that is wanted.

A whole answer gets one member more. A stream gets it in its last JSON event, whatever that is in the
client's protocol; so one event is always held back until it is known not to be the last.
"""

from __future__ import annotations

import re

import msgspec

from dragoman.engine.bill import Bill
from dragoman.governance.money import usd_text

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n")
_DATA = re.compile(rb"(?:^|[\r\n])data: ?\{")
_LAST_DATA = re.compile(rb"(.*[\r\n]|^)(data: ?\{[^\r\n]*)\}", re.DOTALL)
_LAST_ITEM = re.compile(rb"\}(\s*\]\s*)$")


def member(bill: Bill, request_ms: float) -> bytes:
    """The JSON member. A cost that nobody knows is null; what a trial paid for has none."""
    usage = bill.usage
    told: dict[str, object] = {"tokens_charged": 0 if usage is None else usage.total}
    if not bill.on_trial:
        nano = bill.cost
        told["cost_usd"] = None if nano is None else msgspec.Raw(usd_text(nano).encode())
        told["cost_nano_usd"] = nano
    told["request_ms"] = round(request_ms)
    return b'"gateway_usage":' + msgspec.json.encode(told)


def into_object(body: bytes, added: bytes) -> bytes:
    """``body``, a JSON object, with a member more; as it is if it is none."""
    text = body.rstrip()
    if text[-1:] != b"}":
        return body
    inside = text[:-1].rstrip()
    comma = b"" if inside[-1:] == b"{" else b","
    return inside + comma + added + b"}"


class Tail:
    """The end of a stream, held back."""

    __slots__ = ("_array", "_kept")

    def __init__(self, *, array: bool) -> None:
        """``array``: the stream is a JSON array, item by item, instead of server-sent events."""
        self._array = array
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """What may leave now: everything before the last event that has JSON in it."""
        if self._array:  # an item is written as one, so the last write holds the last item
            before, self._kept = self._kept, data or self._kept
            return before if data else b""
        data = self._kept + data
        begin = _last_event(data)
        self._kept = data[begin:]
        return data[:begin]

    def finish(self, data: bytes, added: bytes) -> bytes:
        """The rest of the stream, ``data`` last, with ``added`` in its last JSON event."""
        data = self._kept + data
        self._kept = b""
        if self._array:
            return _LAST_ITEM.sub(lambda end: b"," + added + b"}" + end[1], data)
        if found := _LAST_DATA.match(data):
            at = found.end(2)
            return data[:at] + b"," + added + data[at:]
        return data

    def flush(self) -> bytes:
        """What was held back, as it is: the stream ends in an error."""
        data, self._kept = self._kept, b""
        return data


def _last_event(data: bytes) -> int:
    """Where the last event with JSON begins, its ``event:`` line included; if there is none, where the
    event begins that is not complete yet: upstreams cut streams where they like."""
    begins = [found.start() for found in _DATA.finditer(data)]
    head = data[: begins[-1] + 1] if begins else data
    return max((head.rfind(end) + len(end) for end in _EVENT_ENDS if end in head), default=0)
