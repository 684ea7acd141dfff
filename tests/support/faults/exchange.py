"""One request at the scripted upstream: what would be the right answer, and the bare connection."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType
from typing import Any

from tests.support.standin import anthropic, gemini, openai_chat, openai_responses
from tests.support.standin.frames import Frame
from tests.support.standin.script import Turn, VendorError, perform
from tests.support.upstream import KEY

RELEASE_SECONDS = 10.0
PATIENCE_SECONDS = 15.0
"""No deadline that is tested here is half as long."""

_VENDORS: dict[str, ModuleType] = {
    "/v1/chat/completions": openai_chat,
    "/v1/responses": openai_responses,
    "/v1/messages": anthropic,
}
_GEMINI = re.compile(r"/v1(?:beta)?/models/(?P<model>[^:]+):(?P<stream>stream)?[gG]enerateContent")


@dataclass
class Question:
    """A request that was understood. ``model`` is the name asked for."""

    vendor: ModuleType
    model: str
    turn: Turn

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.turn.stream

    @property
    def content_type(self) -> str:
        """That of the right answer."""
        return str(self.vendor.CONTENT_TYPE) if self.stream else "application/json"

    def frames(self) -> list[Frame]:
        """The right answer as a stream."""
        frames: list[Frame] = self.vendor.stream(perform(self.turn), self.turn)
        return frames

    def whole(self) -> bytes:
        """The right answer in one piece."""
        body: bytes = self.vendor.whole(perform(self.turn), self.turn)
        return body

    def pieces(self) -> list[bytes]:
        """The right answer in the form that was asked for, as it would be sent."""
        return [frame.data for frame in self.frames()] if self.stream else [self.whole()]

    def opening(self) -> list[bytes]:
        """What a stream says before its content; nothing in some protocols, nor in a whole answer."""
        frames = self.frames() if self.stream else []
        return [frame.data for frame in frames if frame.kind == "head"]

    def half_stream(self) -> list[bytes]:
        """Half the events of a stream, the first content among them."""
        frames = self.frames()
        return [frame.data for frame in frames[: len(frames) // 2]]

    def first_half(self) -> list[bytes]:
        """Half of the right answer in the form that was asked for."""
        if self.stream:
            return self.half_stream()
        whole = self.whole()
        return [whole[: len(whole) // 2]]


def understand(target: str, headers: Mapping[str, str], body: bytes) -> Question:
    """Read a request as its vendor would. Raises VendorError for what the vendor would refuse, and
    KeyError for a path that no vendor has."""
    path, _, query = target.partition("?")
    told: Any = json.loads(body)
    if found := _GEMINI.fullmatch(path):
        stream = found["stream"] is not None
        if stream and "alt=sse" not in query:
            raise VendorError(400, "The scripted upstream streams events only.")
        turn = gemini.read(told, headers, model=found["model"], stream=stream)
        return Question(gemini, found["model"], turn)
    vendor = _VENDORS[path]
    return Question(vendor, told["model"], vendor.read(told, headers))


def has_key(headers: Mapping[str, str]) -> bool:
    """Whether the channel's credential came along."""
    return any(KEY in value for value in headers.values())


class Peer:
    """The gateway's connection, with the means to treat it badly."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        released: asyncio.Event,
        number: int,
        elsewhere: str,
    ) -> None:
        """``released`` is set once the client has the beginning of this answer, ``number`` counts the
        requests for this model from 1, ``elsewhere`` is the address of another server."""
        self.number = number
        self.elsewhere = elsewhere
        self._reader = reader
        self._writer = writer
        self._released = released
        self.ended = False
        """The connection cannot be used for another request."""

    async def head(
        self, status: int = 200, *, version: str = "1.1", **headers: str | int | None
    ) -> None:
        """Send the status line and headers; underscores in names become hyphens."""
        lines = [f"HTTP/{version} {status} {_phrase(status)}"]
        for name, value in headers.items():
            if value is not None:
                lines.append(f"{name.replace('_', '-')}: {value}")
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        self._writer.write(data)
        await self._writer.drain()

    async def chunk(self, data: bytes) -> None:
        """A piece of a chunked body."""
        if data:
            await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def chunks(self, pieces: list[bytes]) -> None:
        """Some of a chunked body."""
        for piece in pieces:
            await self.chunk(piece)

    async def finish(self, pieces: list[bytes]) -> None:
        """The rest of a chunked body, and its clean end."""
        await self.chunks(pieces)
        await self.send(b"0\r\n\r\n")

    async def begin(self, question: Question) -> None:
        """The head of a right answer, in chunks."""
        await self.head(content_type=question.content_type, transfer_encoding="chunked")

    async def begin_half(self, question: Question) -> None:
        """Half a right answer that has, if it is a stream, reached the client."""
        if question.stream:
            await self.begin(question)
            await self.chunks(question.first_half())
            await self.content_arrived()
        else:
            await self.head(
                content_type=question.content_type, content_length=len(question.whole())
            )
            await self.send(b"".join(question.first_half()))

    async def content_arrived(self) -> None:
        """Wait until the client has got the beginning of the answer."""
        async with asyncio.timeout(RELEASE_SECONDS):
            await self._released.wait()

    async def silence(self) -> None:
        """Say nothing until the gateway gives up. Raises TimeoutError if it never does."""
        self.ended = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reader.read()

    def close(self) -> None:
        """End the connection in good order."""
        self.ended = True
        self._writer.close()

    def reset(self) -> None:
        """End the connection with a reset."""
        self.ended = True
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded"
