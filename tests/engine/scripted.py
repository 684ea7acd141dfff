"""An upstream that follows a script, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.secret import Secret
from dragoman.engine.answer import Answer, Headers
from dragoman.engine.reply import Deadlines, Exchange, UpstreamReply
from dragoman.engine.transport import Transport
from dragoman.wire.http import HttpRequest

Step = bytes | float | GatewayError
"""Bytes to deliver, seconds to wait, or an error to raise."""


class Script:
    """One upstream answer: status, headers, then the steps of its body."""

    def __init__(
        self,
        *steps: Step,
        status: int = 200,
        content_type: str = "application/json",
        headers_after: float = 0.0,
        refuse: GatewayError | None = None,
    ) -> None:
        self.steps = steps
        self.status = status
        self.content_type = content_type
        self.headers_after = headers_after
        self.refuse = refuse
        self.headers: dict[str, str] = {}


class _Reply(UpstreamReply):
    def __init__(self, script: Script, exchange: _Exchange) -> None:
        self.status = script.status
        self.headers = {"content-type": script.content_type, **script.headers}
        self._steps = list(script.steps)
        self._exchange = exchange

    async def chunk(self) -> bytes:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, GatewayError):
                raise step
            if isinstance(step, bytes):
                self._exchange.heard()
                return step
            await asyncio.sleep(step)
        return b""

    def began(self) -> None:
        self._exchange.began()


class _Exchange(Exchange):
    def __init__(self, script: Script, deadlines: Deadlines, transport: ScriptedTransport) -> None:
        super().__init__(deadlines)
        self._script = script
        self._transport = transport

    async def open(self) -> UpstreamReply:
        await asyncio.sleep(self._script.headers_after)
        if self._script.refuse is not None:
            raise self._script.refuse
        return _Reply(self._script, self)

    def close(self, *, clean: bool) -> None:
        self._transport.closed.append(clean)


class ScriptedTransport(Transport):
    """Answers each request with the next script; remembers what was asked and how it ended."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        super().__init__()
        self._scripts = list(scripts)
        self.requests: list[HttpRequest] = []
        self.closed: list[bool] = []

    def exchange(
        self, request: HttpRequest, deadlines: Deadlines, proxy: Secret | None = None
    ) -> Exchange:
        self.requests.append(request)
        return _Exchange(self._scripts.pop(0), deadlines, self)


class RecordedAnswer(Answer):
    """What the client got."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = {}
        self.body = b""
        self.ended = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.begun = self.ended = True
        self.status, self.headers, self.body = status, headers, body

    async def begin(self, headers: Headers) -> None:
        assert not self.begun, "the status line leaves once"
        self.begun = True
        self.status, self.headers = 200, headers

    async def write(self, data: bytes) -> None:
        assert self.begun
        assert not self.ended
        self.body += data

    async def end(self) -> None:
        self.ended = True
