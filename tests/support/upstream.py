"""The stand-in upstream as an HTTP server on loopback, in a thread of its own.

::

    with StandIn() as upstream:
        client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key=KEY)
        ...
        assert upstream.last.json["model"] == "text"

The model's name chooses the scenario (``standin.script.SCENARIOS``, or ``error-<status>``). Every
request is recorded, with the moment at which its client went away, if it did.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import Any

from aiohttp import web

from tests.support.standin import anthropic, gemini, ollama, openai_chat, openai_responses, side
from tests.support.standin.frames import Frame, without
from tests.support.standin.script import Answer, Turn, VendorError, perform, scripted_error

KEY = "upstream-key-of-the-standin"
SLOW_SECONDS = 0.1


@dataclass
class Recorded:
    """One request as it arrived. ``left`` is set when its client closed the connection early."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    received: float = field(default_factory=time.monotonic)
    left: threading.Event = field(default_factory=threading.Event)
    left_at: float | None = None

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class StandIn:
    """A context manager; ``url`` is the server's root, below which every vendor's paths lie."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)

    def __enter__(self) -> StandIn:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the stand-in did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def last(self) -> Recorded:
        """The newest request."""
        return self.requests[-1]

    def clear(self) -> None:
        """Forget the requests so far."""
        self.requests.clear()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for method, path, handler in self._routes():
            app.router.add_route(method, path, handler)
        # Cancelling the handler is how aiohttp tells that the client went away.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _routes(
        self,
    ) -> list[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]]:
        exchange = self._exchange
        return [
            ("POST", "/v1/chat/completions", exchange(openai_chat)),
            ("POST", "/v1/responses", exchange(openai_responses)),
            ("POST", "/v1/messages", exchange(anthropic)),
            ("POST", "/api/chat", exchange(ollama)),
            ("POST", r"/{version:v1|v1beta}/models/{model:[^:]+}:{verb}", self._gemini),
            ("POST", "/v1/completions", self._completions),
            ("POST", "/v1/embeddings", self._side(openai_chat, side.openai_embeddings)),
            ("POST", "/v1/responses/input_tokens", self._side(openai_chat, side.openai_count)),
            ("POST", "/v1/messages/count_tokens", self._count_anthropic),
            ("POST", "/api/embed", self._side(ollama, side.ollama_embed)),
            ("GET", "/v1/models", self._models),
            ("GET", "/v1beta/models", self._models),
            ("GET", "/api/tags", self._models),
            ("*", "/{path:.*}", self._unknown),
        ]

    # -- one exchange --------------------------------------------------------------------------

    async def _record(self, request: web.Request) -> Recorded:
        record = Recorded(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
        )
        self.requests.append(record)
        return record

    def _exchange(
        self, vendor: ModuleType
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A handler of one vendor's generation endpoint."""

        async def handle(request: web.Request) -> web.StreamResponse:
            record = await self._record(request)
            try:
                turn = vendor.read(_opened(record, vendor), record.headers)
                answer = perform(turn)
            except VendorError as failure:
                return _refuse(vendor, failure)
            return await self._answer(request, record, vendor, answer, turn)

        return handle

    async def _gemini(self, request: web.Request) -> web.StreamResponse:
        record = await self._record(request)
        model, verb = request.match_info["model"], request.match_info["verb"]
        try:
            body = _opened(record, gemini)
            if verb in ("embedContent", "batchEmbedContents"):
                return _json(side.gemini_embed(body, model, batch=verb != "embedContent"))
            if verb == "countTokens":
                return _json(side.gemini_count(body, record.headers, model))
            if verb not in ("generateContent", "streamGenerateContent"):
                raise VendorError(404, f"Method {verb} is not found.")
            turn = gemini.read(
                body, record.headers, model=model, stream=verb == "streamGenerateContent"
            )
            answer = perform(turn)
        except VendorError as failure:
            return _refuse(gemini, failure)
        return await self._answer(request, record, gemini, answer, turn)

    async def _answer(
        self,
        request: web.Request,
        record: Recorded,
        vendor: ModuleType,
        answer: Answer,
        turn: Turn,
    ) -> web.StreamResponse:
        try:
            if turn.stream:
                frames = vendor.stream(answer, turn)
                content_type = vendor.CONTENT_TYPE
                if vendor is gemini and request.query.get("alt") != "sse":
                    frames, content_type = gemini.as_array(frames), "application/json"
                return await _deliver_stream(request, answer, vendor, frames, content_type)
            return await _deliver_whole(request, answer, vendor, vendor.whole(answer, turn))
        except (asyncio.CancelledError, ConnectionError):
            record.left_at = time.monotonic()
            record.left.set()
            raise

    # -- the small endpoints -------------------------------------------------------------------

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        record = await self._record(request)
        try:
            answer, turn, _ = side.completions(_opened(record, openai_chat))
        except VendorError as failure:
            return _refuse(openai_chat, failure)
        if turn.stream:
            frames = side.completion_stream(answer, turn)
            return await _deliver_stream(
                request, answer, openai_chat, frames, openai_chat.CONTENT_TYPE
            )
        return _json(side.completion_whole(answer, turn))

    def _side(
        self, vendor: ModuleType, reply: Callable[[Any], bytes]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            record = await self._record(request)
            try:
                body = _opened(record, vendor)
                if str(body.get("model", "")).startswith("error-"):
                    raise scripted_error(int(body["model"].removeprefix("error-")))
                return _json(reply(body))
            except VendorError as failure:
                return _refuse(vendor, failure)

        return handle

    async def _count_anthropic(self, request: web.Request) -> web.StreamResponse:
        record = await self._record(request)
        try:
            return _json(side.anthropic_count(_opened(record, anthropic), record.headers))
        except VendorError as failure:
            return _refuse(anthropic, failure)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        record = await self._record(request)
        vendor: ModuleType = openai_chat
        if record.path.startswith("/api/"):
            vendor = ollama
        elif record.path.startswith("/v1beta/"):
            vendor = gemini
        elif "anthropic-version" in record.headers:
            vendor = anthropic
        try:
            _authorise(record, vendor)
        except VendorError as failure:
            return _refuse(vendor, failure)
        return _json(side.model_list(vendor.VENDOR))

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        return web.Response(status=404, text="404 page not found")


def _opened(record: Recorded, vendor: ModuleType) -> Any:
    """The decoded body of a request whose key is right; raises VendorError."""
    _authorise(record, vendor)
    if "json" not in record.headers.get("content-type", ""):
        raise VendorError(415, f"Unsupported content type {record.headers.get('content-type')!r}.")
    try:
        return json.loads(record.body)
    except ValueError:
        raise VendorError(400, "The body is not valid JSON.") from None


def _authorise(record: Recorded, vendor: ModuleType) -> None:
    bearer = record.headers.get("authorization", "").removeprefix("Bearer ")
    given = {
        openai_chat: (bearer,),
        openai_responses: (bearer,),
        anthropic: (record.headers.get("x-api-key"), bearer),
        gemini: (record.headers.get("x-goog-api-key"),),
        ollama: (KEY,),  # a local server asks for none
    }[vendor]
    if KEY not in given:
        raise VendorError(401, "The API key is wrong or missing.", code="invalid_api_key")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _refuse(vendor: ModuleType, failure: VendorError) -> web.Response:
    status, headers, body = vendor.error(failure)
    if failure.retry_after and vendor is not gemini:  # Google says it in the body
        headers = {**headers, "retry-after": str(failure.retry_after)}
    return web.Response(status=status, headers=headers, body=body)


async def _deliver_whole(
    request: web.Request, answer: Answer, vendor: ModuleType, body: bytes
) -> web.StreamResponse:
    if answer.delivery == "error":
        return _refuse(vendor, scripted_error(500))
    if answer.delivery == "stall":
        await asyncio.sleep(3600)
    if answer.delivery == "slow":
        await asyncio.sleep(10 * SLOW_SECONDS)
    if answer.delivery != "cut":
        return _json(body)
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _abort(request)
    return response


async def _deliver_stream(
    request: web.Request,
    answer: Answer,
    vendor: ModuleType,
    frames: list[Frame],
    content_type: str,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": content_type, "x-request-id": "up-1"})
    await response.prepare(request)
    middle = max(1, len(frames) // 2)
    match answer.delivery:
        case "no-finish":
            frames = without(frames, "finish", "usage", "done")
        case "no-done":
            frames = without(frames, "done")
        case "cut" | "stall":
            frames = frames[:middle]
        case "error":
            frames = [*frames[:middle], Frame("done", vendor.stream_error())]
        case "shredded":
            wire = b"".join(frame.data for frame in frames)
            frames = [Frame("body", wire[at : at + 3]) for at in range(0, len(wire), 3)]
    for frame in frames:
        await response.write(frame.data)
        await asyncio.sleep(SLOW_SECONDS if answer.delivery == "slow" else 0)
    if answer.delivery == "stall":
        await asyncio.sleep(3600)
    if answer.delivery == "cut":
        _abort(request)
        return response
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


def _abort(request: web.Request) -> None:
    """Reset the connection, so that the client cannot take the end for a clean one."""
    if request.transport is not None:
        request.transport.abort()
