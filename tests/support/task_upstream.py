"""An upstream whose one model does every task: it reads which answer is wanted from the schema.

It speaks OpenAI's chat, embeddings and images. Its stories can be made endless (``endless``), so that
nobody hears their end who does not leave.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.support.standin import openai_chat, script, side
from tests.support.standin.script import Answer, Turn

TEXT = "Once upon a tïme 😀, in a land far away."
START_SECONDS = 10.0
_PAUSE = 0.02


class TaskUpstream:
    """A context manager; ``url`` is a channel's base URL, ``asked`` are the bodies that came."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.endless = False
        self.left = threading.Event()
        """Set when a client went away before the end of its stream."""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="task-upstream", daemon=True)

    def __enter__(self) -> TaskUpstream:
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the task upstream did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embed)
        app.router.add_post("/v1/images/generations", self._draw)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        turn = Turn(body["model"], openai_chat.VENDOR, stream=bool(body.get("stream")))
        answer = Answer(text=_said(body))
        if not turn.stream:
            return _json(openai_chat.whole(answer, turn))
        response = web.StreamResponse(headers={"content-type": openai_chat.CONTENT_TYPE})
        await response.prepare(request)
        try:
            for frame in openai_chat.stream(answer, turn):
                await response.write(frame.data)
                while self.endless and frame.kind == "body":
                    await response.write(frame.data)
                    await asyncio.sleep(_PAUSE)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return response

    async def _embed(self, request: web.Request) -> web.Response:
        return _json(side.openai_embeddings(await self._body(request)))

    async def _draw(self, request: web.Request) -> web.Response:
        await self._body(request)
        return web.json_response({"created": 1, "data": [{"b64_json": script.PNG}]})

    async def _body(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.asked.append(body)
        return body


def _said(body: dict[str, Any]) -> str:
    wanted = (body.get("response_format") or {}).get("json_schema")
    if wanted is None:
        return TEXT
    found: list[dict[str, Any]]
    match list(wanted["schema"]["properties"]):
        case ["labels"]:
            items = wanted["schema"]["properties"]["labels"]["items"]
            names = items["properties"]["label"]["enum"]
            found = [
                {"label": name, "score": 0.75 if at == 0 else 0.25 / (len(names) - 1)}
                for at, name in enumerate(names)
            ]
            return json.dumps({"labels": found})
        case ["entities"]:
            found = [
                {"entity": "PER", "score": 0.98, "word": "Ada"},
                {"entity": "LOC", "score": 0.95, "word": "London"},
            ]
            return json.dumps({"entities": found})
        case ["answers"]:
            return json.dumps({"answers": [{"answer": "London", "score": 0.9}]})
        case unknown:
            raise ValueError(f"no task wants {unknown}")


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


PICTURE = base64.b64decode(script.PNG)
"""The bytes of every picture."""
