"""Addresses at which no exchange ever begins."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"


class Door(Protocol):
    """``connections`` counts those that came, None where nobody can know."""

    scheme: str
    connections: int | None

    @property
    def url(self) -> str:
        """The root of an address that leads here."""
        ...

    def close(self) -> None:
        """Stop; called on the loop it was made on."""
        ...


class _Socket:
    scheme = "http"
    connections: int | None = None

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind((LOOPBACK, 0))

    @property
    def url(self) -> str:
        """See Door."""
        return f"{self.scheme}://{LOOPBACK}:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """See Door."""
        self._socket.close()


class Refused(_Socket):
    """The port is taken, so that nobody else can answer on it, and nobody listens."""


class ConnectHang(_Socket):
    """The queue of connections waiting to be accepted is full, so that the kernel drops new ones."""

    def __init__(self) -> None:
        super().__init__()
        self._socket.listen(0)
        self._waiting = [self._knock() for _ in range(4)]

    def _knock(self) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self._socket.getsockname())
        return client

    def close(self) -> None:
        """See Door."""
        for client in self._waiting:
            client.close()
        super().close()


class _Counted(_Socket):
    """Accepts and counts connections; what then happens is the subclass's matter."""

    scheme = "https"

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self._socket.listen(64)
        self._socket.setblocking(False)
        self._kept: list[socket.socket | asyncio.Transport] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _ = self._socket.accept()
            client.setblocking(False)
            self.connections = (self.connections or 0) + 1
            self.greet(client)

    def greet(self, client: socket.socket) -> None:
        """Treat a new connection."""
        raise NotImplementedError

    def close(self) -> None:
        """See Door."""
        self._loop.remove_reader(self._socket)
        for one in self._kept:
            one.close()
        super().close()


class TlsSilent(_Counted):
    """Accepts and says nothing: the handshake never ends."""

    def greet(self, client: socket.socket) -> None:
        """See _Counted."""
        self._kept.append(client)


class TlsPlain(_Counted):
    """Speaks plain HTTP where TLS is expected."""

    def greet(self, client: socket.socket) -> None:
        """See _Counted."""
        client.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        self._kept.append(client)


class TlsSelfSigned(_Counted):
    """Shows a certificate that nobody vouches for."""

    def greet(self, client: socket.socket) -> None:
        """See _Counted."""
        context = _self_signed()
        # A protocol of no behaviour: the other side ends the handshake.
        connecting = self._loop.connect_accepted_socket(asyncio.Protocol, client, ssl=context)
        task = self._loop.create_task(_quietly(connecting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __init__(self) -> None:
        super().__init__()
        self._tasks: set[asyncio.Task[None]] = set()


DOORS: dict[str, type[Door]] = {
    "refused": Refused,
    "connect-hang": ConnectHang,
    "tls-silent": TlsSilent,
    "tls-plain": TlsPlain,
    "tls-self-signed": TlsSelfSigned,
}


async def _quietly(connecting: object) -> None:
    with contextlib.suppress(OSError):
        await connecting  # type: ignore[misc]


@functools.cache
def _self_signed() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "chain.pem"
        chain.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(chain)
    return context
