"""Just enough HTTP/1.1 to ask and to know when the answer is complete.

A client library costs more than the fastest of the servers measured; the figures would be its own.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Address:
    """A port on loopback; ``authority`` is the CA file of its certificate, None without TLS."""

    port: int
    authority: Path | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{'https' if self.authority else 'http'}://127.0.0.1:{self.port}"

    def tls(self) -> ssl.SSLContext | None:
        """What a client needs to connect."""
        return ssl.create_default_context(cafile=str(self.authority)) if self.authority else None


@dataclass(frozen=True)
class Ask:
    """One POST."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Its bytes on the wire."""
        headers = {
            "host": "127.0.0.1",
            "content-type": "application/json",
            "content-length": str(len(self.body)),
            **self.headers,
        }
        lines = [f"POST {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Reply:
    """An answer as it arrives; ``status`` is 0 until its headers are complete.

    One is used for all answers of a connection, ``reset`` in between. Bytes past the end of an
    answer would be a server's mistake and are not kept.
    """

    __slots__ = ("_chunked", "_received", "_total", "body_start", "status")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Await the next answer."""
        self._received = b""
        self._total = 0
        self._chunked = False
        self.status = 0
        self.body_start = 0

    def feed(self, data: bytes) -> bool:
        """Take ``data``; True once the answer is complete. Raises ValueError if no end is named."""
        self._received = self._received + data if self._received else data
        if not self.status:
            self._read_head()
        if self._total:
            return len(self._received) >= self._total
        return self._chunked and self._received.endswith(b"0\r\n\r\n")

    @property
    def body(self) -> bytes:
        """The body so far, with the chunks' framing if there is any."""
        return self._received[self.body_start :]

    def _read_head(self) -> None:
        end = self._received.find(b"\r\n\r\n") + 4
        if end == 3:
            return
        self.status = int(self._received[9:12])
        self.body_start = end
        if found := _LENGTH.search(self._received, 0, end):
            self._total = end + int(found[1])
        elif _CHUNKED.search(self._received, 0, end):
            self._chunked = True
        else:
            raise ValueError("neither content-length nor chunks")


class Connection:
    """A blocking connection that is kept alive: the least that can stand between clock and socket."""

    def __init__(self, address: Address) -> None:
        plain = socket.create_connection(("127.0.0.1", address.port), timeout=TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = address.tls()
        self._socket = tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain
        self._reply = Reply()

    def ask(self, request: bytes) -> Reply:
        """The complete answer, valid until the next call. Raises OSError or ValueError."""
        self._reply.reset()
        self._socket.sendall(request)
        while data := self._socket.recv(65536):
            if self._reply.feed(data):
                return self._reply
        raise ConnectionError("the server closed the connection")

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()
