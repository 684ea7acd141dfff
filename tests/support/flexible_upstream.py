"""An upstream of many addresses, each of whose answers can be changed while it runs.

::

    with FlexibleUpstream() as upstream:
        door = upstream.door("first")         # a channel's base URL is door.url
        door.reply = Reply(status=429, headers={"retry-after": "30"})
        ...
        assert door.seen[0].credential == "key-1"

It takes whatever it is sent and speaks OpenAI's two protocols; how faithfully the gateway speaks them
is the stand-in's business (``tests.support.upstream``).
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.support.standin import openai_chat, openai_responses
from tests.support.standin.frames import Frame
from tests.support.standin.script import PNG, Answer, Turn, VendorError

TEXT = "Every word of this answer must arrive, and each of them once."
START_SECONDS = 10.0


class Hold:
    """What an answer waits for until the test lets it go on."""

    def __init__(self) -> None:
        self._released = threading.Event()

    def release(self) -> None:
        """Go on."""
        self._released.set()

    async def over(self) -> None:
        """Return once it is released."""
        while not self._released.is_set():
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Reply:
    """How a request is answered.

    ``delay`` are seconds before the headers. ``hold`` is waited for before the headers or, in a
    stream, after ``hold_after`` pieces of content; then the connection breaks if ``cut``. ``pause``
    are seconds between the pieces of a stream. ``usage_first`` tells the usage before the content, as
    Anthropic does. ``text`` is what a chat model says.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hold: Hold | None = None
    hold_after: int | None = None
    cut: bool = False
    pause: float = 0.0
    usage_first: bool = False
    text: str = TEXT


OK = Reply()


@dataclass
class Seen:
    """A request that came. ``left`` is set if its client went away before the end."""

    credential: str
    body: Any
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> str:
        """The model it asks for."""
        return str(self.body["model"])


class Door:
    """One address. ``reply`` may be changed at any time; a function is asked for every request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.reply: Reply | Callable[[Seen], Reply] = OK
        self.seen: list[Seen] = []
        self.in_flight = 0
        self.peak = 0

    @property
    def credentials(self) -> Counter[str]:
        """How many requests came with which credential."""
        return Counter(one.credential for one in self.seen)

    def enter(self, seen: Seen) -> Reply:
        """A request has come."""
        self.seen.append(seen)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        return self.reply if isinstance(self.reply, Reply) else self.reply(seen)


class FlexibleUpstream:
    """A context manager; doors may be made at any time."""

    def __init__(self) -> None:
        self._doors: dict[str, Door] = {}
        self._root = ""
        self._ids = itertools.count(1)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="flexible-upstream", daemon=True)

    def __enter__(self) -> FlexibleUpstream:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the flexible upstream did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def door(self, name: str) -> Door:
        """The address of that name; made if there is none."""
        if name not in self._doors:
            self._doors[name] = Door(f"{self._root}/{name}")
        return self._doors[name]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/{door}/chat/completions", self._chat)
        app.router.add_post("/{door}/responses", self._responses)
        app.router.add_post("/{door}/embeddings", self._embeddings)
        app.router.add_post("/{door}/images/generations", self._images)
        # Cancelling the handler is how aiohttp tells that the client went away.
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        host, port = runner.addresses[0][:2]
        self._root = f"http://{host}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, _Words(openai_chat, "chatcmpl-standin", self._ids))

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, _Words(openai_responses, "resp_standin", self._ids))

    async def _embeddings(self, request: web.Request) -> web.Response:
        """For each input a vector of its place and its length."""
        asked = await request.json()
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        data = [
            {"object": "embedding", "index": place, "embedding": [float(place), float(len(text))]}
            for place, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return web.json_response(
            {"object": "list", "model": asked["model"], "data": data, "usage": usage}
        )

    async def _images(self, request: web.Request) -> web.Response:
        """A picture, or what the reply's text says is one in base64, for 10 tokens in and 100 out."""
        credential = request.headers.get("authorization", "").removeprefix("Bearer ")
        door = self._doors[request.match_info["door"]]
        visit = _Visit(door, reply := door.enter(Seen(credential, await request.json())))
        visit.leave()
        if reply.status != 200:
            return web.Response(
                body=openai_chat.error(VendorError(reply.status, f"Scripted {reply.status}."))[2],
                status=reply.status,
                headers=reply.headers,
                content_type="application/json",
            )
        picture = PNG if reply.text == TEXT else reply.text
        usage = {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}
        return web.json_response({"created": 1, "data": [{"b64_json": picture}], "usage": usage})

    async def _answer(self, request: web.Request, words: _Words) -> web.StreamResponse:
        door = self._doors[request.match_info["door"]]
        seen = Seen(
            request.headers.get("authorization", "").removeprefix("Bearer "), await request.json()
        )
        visit = _Visit(door, door.enter(seen))
        try:
            return await visit.answer(request, seen, words)
        except (asyncio.CancelledError, ConnectionError):
            seen.left.set()
            raise
        finally:
            visit.leave()


class _Words:
    """What an answer says, in one protocol and under an id of its own."""

    def __init__(self, vendor: Any, placeholder: str, ids: itertools.count[int]) -> None:
        self._vendor = vendor
        self._placeholder = placeholder.encode()
        self._id = f"{placeholder.partition('-')[0]}_{next(ids)}".encode()
        self.content_type = vendor.CONTENT_TYPE

    def whole(self, turn: Turn, text: str) -> bytes:
        body: bytes = self._vendor.whole(Answer(text=text), turn)
        return body.replace(self._placeholder, self._id)

    def stream(self, turn: Turn, text: str) -> list[Frame]:
        frames: list[Frame] = self._vendor.stream(Answer(text=text), turn)
        return [Frame(kind, data.replace(self._placeholder, self._id)) for kind, data in frames]

    def error(self, status: int) -> bytes:
        body: bytes = self._vendor.error(VendorError(status, f"Scripted {status}."))[2]
        return body


class _Visit:
    """One request on its way through a door."""

    def __init__(self, door: Door, reply: Reply) -> None:
        self._door = door
        self._reply = reply
        self._inside = True

    def leave(self) -> None:
        """It is answered. Said before the last bytes leave: whoever has them may come back at once."""
        self._door.in_flight -= self._inside
        self._inside = False

    async def answer(self, request: web.Request, seen: Seen, words: _Words) -> web.StreamResponse:
        reply = self._reply
        await asyncio.sleep(reply.delay)
        if reply.hold is not None and reply.hold_after is None:
            await reply.hold.over()
            if reply.cut:
                return _broken(request, web.Response())
        if reply.status != 200:
            return web.Response(
                body=words.error(reply.status),
                status=reply.status,
                headers=reply.headers,
                content_type="application/json",
            )
        turn = Turn(seen.model, "openai", stream=bool(seen.body.get("stream")))
        if not turn.stream:
            return web.Response(
                body=words.whole(turn, reply.text),
                headers=reply.headers,
                content_type="application/json",
            )
        return await self._stream(request, words.stream(turn, reply.text), words.content_type)

    async def _stream(
        self, request: web.Request, frames: list[Frame], content_type: str
    ) -> web.StreamResponse:
        reply = self._reply
        response = web.StreamResponse(headers={**reply.headers, "content-type": content_type})
        await response.prepare(request)
        said = 0
        if reply.usage_first:
            frames = _usage_first(frames)
        for frame in frames:
            if reply.hold is not None and frame.kind != "head" and said == reply.hold_after:
                await reply.hold.over()
                if reply.cut:
                    return _broken(request, response)
            if frame.kind == "done":
                self.leave()
            await response.write(frame.data)
            said += frame.kind == "body"
            await asyncio.sleep(reply.pause)
        await response.write_eof()
        return response


def _usage_first(frames: list[Frame]) -> list[Frame]:
    """The usage comes with the head."""
    told = [Frame("head", frame.data) for frame in frames if frame.kind == "usage"]
    heads = [frame for frame in frames if frame.kind == "head"]
    rest = [frame for frame in frames if frame.kind not in ("head", "usage")]
    return [*heads, *told, *rest]


def _broken(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Reset the connection, so that nobody can take the end for a clean one."""
    if request.transport is not None:
        request.transport.abort()
    return response
