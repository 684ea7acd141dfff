"""A stand-in for the platforms behind the built-ins, and for a token endpoint that rotates.

::

    with Platform() as platform:
        platform.valid = {"key-1"}                  # the credentials that it takes
        platform.say["deepseek-flash"] = {...}      # an answer of HTTP 200 instead of the usual one
        ...
        assert platform.chats[-1].body["model"] == "glm-5.3"

Sources: docs.z.ai, platform.kimi.ai, api-docs.deepseek.com, Alibaba Model Studio, platform.minimax.io;
RFC 6749, sections 5 and 6.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiohttp import web

THOUGHT, SAID = "The sun is out.", "It is sunny."
USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}


@dataclass
class Chat:
    """A request that came to the platform ``name``."""

    name: str
    credential: str
    body: Any


class Platform:
    """A context manager; each platform has a path of its own."""

    def __init__(self) -> None:
        self.url = ""
        self.valid: set[str] = {"key"}
        self.say: dict[str, Any] = {}
        self.listed: dict[str, list[str]] = {}
        self.chats: list[Chat] = []
        self.refresh_token = "refresh-0"
        """The one that the token endpoint takes; "" for none."""
        self.token_requests: list[dict[str, str]] = []
        self._numbers = itertools.count(1)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="platform", daemon=True)

    def __enter__(self) -> Platform:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the platform did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/token", self._token)
        app.router.add_get("/{name}/v1/models", self._models)
        app.router.add_post("/{name}/v1/chat/completions", self._chat)
        app.router.add_post("/{name}/v1/embeddings", self._embed)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address, port = runner.addresses[0][:2]
        self.url = f"http://{address}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.token_requests.append(form)
        if not self.refresh_token or form.get("refresh_token") != self.refresh_token:
            said = {"error": "invalid_grant", "error_description": f"not {form['refresh_token']}"}
            return web.json_response(said, status=400)
        # Whoever else wants a token meanwhile must be waiting, not asking.
        self.refresh_token, number = "", next(self._numbers)
        await asyncio.sleep(0.05)
        self.refresh_token, access = f"refresh-{number}", f"access-{number}"
        self.valid = {access}
        return web.json_response(
            {
                "access_token": access,
                "refresh_token": self.refresh_token,
                "token_type": "Bearer",
                "expires_in": 3600,
            }
        )

    async def _models(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._credential(request) not in self.valid:
            return self._refused()
        if name not in self.listed:
            return web.json_response({"error": {"message": "no such page"}}, status=404)
        data = [{"id": one, "object": "model"} for one in self.listed[name]]
        return web.json_response({"object": "list", "data": data})

    async def _embed(self, request: web.Request) -> web.Response:
        if self._credential(request) not in self.valid:
            return self._refused()
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
        return web.json_response(
            {"object": "list", "data": [vector], "model": "m", "usage": {"prompt_tokens": 1}}
        )

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        name, body = request.match_info["name"], await request.json()
        self.chats.append(Chat(name, self._credential(request), body))
        if self._credential(request) not in self.valid:
            return self._refused()
        if name in self.say:
            return web.json_response(self.say[name])
        if not body.get("stream"):
            return web.json_response(_whole(name, body["model"]))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for chunk in _chunks(name, body["model"]):
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    @staticmethod
    def _refused() -> web.Response:
        said = {"error": {"message": "Authentication fails", "code": "invalid_request_error"}}
        return web.json_response(said, status=401)

    @staticmethod
    def _credential(request: web.Request) -> str:
        return request.headers.get("authorization", "").removeprefix("Bearer ")


def _own_form(name: str) -> dict[str, str]:
    """MiniMax thinks within the text, the others beside it."""
    if name == "minimax":
        return {"content": f"<think>\n{THOUGHT}\n</think>\n\n{SAID}"}
    return {"reasoning_content": THOUGHT, "content": SAID}


def _whole(name: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", **_own_form(name)}
    return {
        "id": "up-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        "base_resp": {"status_code": 0, "status_msg": ""},
    }


def _chunks(name: str, model: str) -> list[dict[str, Any]]:
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    for field, text in _own_form(name).items():
        deltas += [{field: text[at : at + 3]} for at in range(0, len(text), 3)]
    frame = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    chunks: list[dict[str, Any]] = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [*chunks, {**frame, "choices": [], "usage": USAGE}]
