"""The upstream that every measured path ends at: a server that does as little as it can.

``python -m benchmarks.upstream PORT [--chain FILE --key FILE] [--pause S] [--lasting S]`` answers each
POST with one prepared chat completion; if the request's body asks for a stream, with one chunk every
``--pause`` seconds for ``--lasting`` seconds. A protocol on bare transports, because an HTTP framework
would be what the measurements measure.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import ssl
from typing import Any

import uvloop

from benchmarks.material import WORDS, chat_answer, chat_chunk

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_BODY = chat_answer()
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    + _framed(chat_chunk({"role": "assistant", "content": "", "refusal": None}))
)
_CHUNKS = [_framed(chat_chunk({"content": word})) for word in WORDS]
_STREAM_TAIL = _framed(chat_chunk({}, finish="stop")) + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection, kept alive; requests on it come one after another."""

    def __init__(self, pause: float, lasting: float) -> None:
        self._pause = pause
        self._count = max(1, round(lasting / pause)) if pause else len(_CHUNKS)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's are no subclass of asyncio.Transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            found = _LENGTH.search(self._received, 0, end)
            total = end + (int(found[1]) if found else 0)
            if len(self._received) < total:
                return
            body, self._received = self._received[end:total], self._received[total:]
            if not _STREAM.search(body):
                self._transport.write(_WHOLE)
            elif self._pause:
                self._transport.write(_STREAM_HEAD)
                self._timer = self._loop.call_later(self._pause, self._next, 0)
            else:
                self._transport.write(_STREAM_HEAD + b"".join(_CHUNKS) + _STREAM_TAIL)

    def _next(self, number: int) -> None:
        if number == self._count:
            self._transport.write(_STREAM_TAIL)
            return
        self._transport.write(_CHUNKS[number % len(_CHUNKS)])
        self._timer = self._loop.call_later(self._pause, self._next, number + 1)


async def serve(port: int, tls: ssl.SSLContext | None, pause: float, lasting: float) -> None:
    """Serve on loopback until cancelled."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(pause, lasting), "127.0.0.1", port, ssl=tls, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--chain")
    parser.add_argument("--key")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--lasting", type=float, default=0.0)
    given = parser.parse_args()
    tls = None
    if given.chain:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(given.chain, given.key)
    uvloop.run(serve(given.port, tls, given.pause, given.lasting))


if __name__ == "__main__":
    main()
