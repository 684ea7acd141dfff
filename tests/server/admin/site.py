"""The whole application with the admin API in it, asked over ASGI."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from dragoman.cli.wiring import profile_of
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.pipeline import Pipeline
from dragoman.engine.transport import Transport
from dragoman.protocols.registry import protocols
from dragoman.server.admin.mount import AdminMount
from dragoman.server.app import App
from dragoman.server.gateway import Gateway
from tests.server.admin.fake import ADMIN, FakeAdministration

API = "/admin/api"
HOST = "gateway.example"
BEARER = {"authorization": f"Bearer {ADMIN}"}
ADDRESS = "198.51.100.7"
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """An answer; ``headers`` are the last of each name, ``cookies`` every Set-Cookie line."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Signed:
    """A session: its cookie and its token."""

    cookie: str
    token: str

    def headers(self, **others: str) -> dict[str, str]:
        """What a page of the gateway's own sends with a change."""
        own = {"cookie": self.cookie, "x-csrf-token": self.token, "origin": f"http://{HOST}"}
        return {**own, **{name.replace("_", "-"): text for name, text in others.items()}}


class Site:
    """A context manager around one event loop."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __enter__(self) -> Site:
        self._runner = asyncio.Runner()
        self._runner.run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._runner.run(self._transport.close())
        self._runner.close()

    async def _open(self) -> None:
        self._transport = Transport()
        dispatcher = Dispatcher(clock=lambda: self.time, random=random.random)
        pipeline = Pipeline(
            protocols=protocols(),
            profile_of=profile_of,
            transport=self._transport,
            dispatcher=dispatcher,
        )
        self.gateway = Gateway(pipeline)
        self.administration = FakeAdministration(self.gateway)
        self.mount = AdminMount(self.gateway, self.administration, clock=lambda: self.time)
        self.app = App(self.gateway, self.mount)

    def routes(self) -> list[tuple[str, str]]:
        """Every (method, path) of the routes, the hidden ones as well."""
        from dragoman.server.admin.api import ROUTERS  # noqa: PLC0415
        from dragoman.server.admin.mount import PREFIX  # noqa: PLC0415

        app: Any = self.run(self.mount.app())
        assert len(app.routes) == len(ROUTERS), "a route was added beside ROUTERS"
        return [
            (method, PREFIX + route.path)  # type: ignore[attr-defined]
            for router in ROUTERS
            for route in router.routes
            for method in sorted(route.methods)  # type: ignore[attr-defined]
        ]

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = BEARER,
        *,
        address: str = ADDRESS,
        scheme: str = "http",
    ) -> Reply:
        """One request; ``body`` is sent as JSON, bytes as they are. ``path`` is below /admin/api
        unless it begins with //, which stands for the root."""
        full = path[1:] if path.startswith("//") else API + path
        given = {"host": HOST, **(headers or {})}
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given = {"content-type": "application/json", **given}
        given.setdefault("content-length", str(len(data)))
        return self.run(self.ask_async(method, full, data, given, address, scheme))

    async def ask_async(
        self,
        method: str,
        path: str,
        data: bytes,
        headers: Mapping[str, str],
        address: str,
        scheme: str,
    ) -> Reply:
        """One request, on the loop that runs."""
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": scheme,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
            "client": (address, 40_000),
            "server": (HOST, 80),
        }
        waiting = [{"type": "http.request", "body": data, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        listed = [(name.decode(), text.decode()) for name, text in start["headers"]]
        return Reply(
            start["status"],
            dict(listed),
            [text for name, text in listed if name == "set-cookie"],
            b"".join(message.get("body", b"") for message in sent[1:]),
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the application's loop."""
        return self._runner.run(work)

    def sign_in(self, key: str = ADMIN) -> Signed:
        """Open a session."""
        reply = self.ask("POST", "/session", {"key": key}, None)
        assert reply.status == 201, reply.body
        return Signed(reply.cookies[0].split(";")[0], reply.json["csrf_token"])
