"""Real proxies as processes of their own: proxy.py for HTTP, pproxy for SOCKS 5.

::

    with ProxyPy(folder, user="u", password="p") as proxy:
        config["channels"][0]["proxy_url"] = proxy.url()
        ...
        assert proxy.relay.accepted == 1

A relay stands before each. It counts connections and bytes, and keeps the beginning of each
connection, which shows what went through and in which form.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.listener import Listener

START_SECONDS = 15.0
_KEPT_BYTES = 2_000

# pproxy's own command line does not start beside uvloop (it asks for a loop that nobody has made).
_PPROXY = """
import asyncio, sys, pproxy

async def main():
    server = await pproxy.Server(sys.argv[1]).start_server({
        "rserver": [pproxy.Connection("direct")],
        "verbose": lambda line: print(line, flush=True),
        "authtime": -1,  # else one good password opens the door to everybody from this address
    })
    with open(sys.argv[2], "w") as file:
        print(server.sockets[0].getsockname()[1], file=file)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Relay(Listener):
    """Passes bytes on to ``port``, if one is given, and takes TLS off if it has a context.

    ``heads`` holds what each client said first, ``carried`` counts all that clients said (bytes).
    """

    def __init__(self, port: int | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._relay, tls=tls)
        self._target = port
        self.heads: list[bytearray] = []
        self.carried = 0

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = bytearray()
        self.heads.append(head)
        if self._target is None:
            while data := await reader.read(2**16):
                self._heard(head, data)
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ways = [
            asyncio.ensure_future(_pump(reader, far_writer, lambda data: self._heard(head, data))),
            asyncio.ensure_future(_pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.close()

    def _heard(self, head: bytearray, data: bytes) -> None:
        self.carried += len(data)
        if len(head) < _KEPT_BYTES:
            head += data


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    heard: Callable[[bytes], None] = lambda data: None,
) -> None:
    while data := await reader.read(2**16):
        heard(data)
        writer.write(data)
        await writer.drain()


class RunningProxy:
    """A proxy's process with its relay, as a context manager."""

    scheme = "http"

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        self._folder = folder
        self._user, self._password = user, password
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "proxy.log"
        self._port_file = folder / "proxy.port"
        self.relay = Relay()

    def command(self) -> Sequence[str]:
        """How it is started."""
        raise NotImplementedError

    def url(self, *, scheme: str = "", user: str | None = None, password: str | None = None) -> str:
        """Its address for a client, with its own credentials or others."""
        user = self._user if user is None else user
        password = self._password if password is None else password
        pair = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        return f"{scheme or self.scheme}://{pair}{self.relay.address}"

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> RunningProxy:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self.command()], stdout=log, stderr=log, cwd=self._folder
            )
        self.relay = Relay(self._wait_for_port())
        self.relay.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.relay.__exit__(kind, error, at)
        self._stop()

    def _wait_for_port(self) -> int:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            if self._port_file.exists() and (text := self._port_file.read_text().strip()):
                return int(text.split()[0])
            time.sleep(0.01)
        self._stop()
        raise RuntimeError(f"the proxy did not start:\n{self.log()}")

    def _stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)


class ProxyPy(RunningProxy):
    """An HTTP proxy; with a certificate, an HTTPS one."""

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "",
        password: str = "",
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(folder, user=user, password=password)
        self._certificate = certificate
        self.scheme = "https" if certificate else "http"

    def command(self) -> Sequence[str]:
        command = [
            *("-m", "proxy", "--hostname", "127.0.0.1", "--port", "0"),
            *("--port-file", str(self._port_file), "--num-workers", "1", "--num-acceptors", "1"),
            *("--data-dir", str(self._folder)),
        ]
        if self._user:
            command += ["--basic-auth", f"{self._user}:{self._password}"]
        if self._certificate:
            command += ["--cert-file", str(self._certificate.path)]
            command += ["--key-file", str(self._certificate.key_path)]
        return command


class PProxy(RunningProxy):
    """A SOCKS 5 proxy."""

    scheme = "socks5"

    def command(self) -> Sequence[str]:
        users = f"#{self._user}:{self._password}" if self._user else ""
        return ["-c", _PPROXY, f"socks5://127.0.0.1:0/{users}", str(self._port_file)]


class Certificate:
    """A certificate for 127.0.0.1 and localhost that vouches for itself, and its key, as files."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "certificate.pem"
        self.key_path = folder / "key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dragoman test")])
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def server(self) -> ssl.SSLContext:
        """For a server that shows the certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.path, self.key_path)
        return context

    def client(self) -> ssl.SSLContext:
        """For a client that trusts it and no other."""
        return ssl.create_default_context(cafile=str(self.path))
