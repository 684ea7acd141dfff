"""A stand-in for the Hugging Face router, and for any other host of OpenAI's and Anthropic's protocols
that lists its models.

::

    with HFRouter() as router:
        router.loading["org/model"] = [1.0]      # the next request gets a 503 with that time
        ...
        assert router.asked[-1].json["model"] == "org/model"

Sources: huggingface.co/docs/inference-providers (``/v1/models``, suffixes, ``X-HF-Bill-To``), and the
errors that users of it quote.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from types import ModuleType, TracebackType
from typing import Any

from aiohttp import web

from tests.support.standin import anthropic, openai_chat, openai_responses
from tests.support.standin.script import Answer, Turn, VendorError
from tests.support.upstream import Recorded

TOKEN = "hf_your_token_here"
TEXT = "The capital of France is Paris."
CREATED = 1_760_000_000


def model(name: str, *hosts: dict[str, Any]) -> dict[str, Any]:
    """A model as the router lists it."""
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": name.partition("/")[0],
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "providers": list(hosts),
    }


def host(
    name: str, length: int, price: tuple[float, float], status: str = "live"
) -> dict[str, Any]:
    """One of those who serve a model."""
    return {
        "provider": name,
        "status": status,
        "context_length": length,
        "pricing": {"input": price[0], "output": price[1]},
        "supports_tools": True,
    }


LISTED = (
    model(
        "meta-llama/Llama-3.3-70B-Instruct",
        host("cerebras", 131_072, (0.85, 1.2)),
        host("novita", 65_536, (0.13, 0.39)),
        host("gone", 1_000_000, (0.01, 0.01), "error"),
    ),
    model("katanemo/Arch-Router-1.5B", {"provider": "hf-inference", "status": "live"}),
    model("google/flan-t5-xxl"),
)


class HFRouter:
    """A context manager. It answers for every model but those of ``missing`` and, unless ``strict``,
    whether it lists them or not."""

    def __init__(
        self,
        listed: Iterable[dict[str, Any]] | None = LISTED,
        *,
        token: str = TOKEN,
        strict: bool = False,
    ) -> None:
        """Without ``listed`` there is no list of models. If ``strict``, a model that is not listed is
        a 404."""
        self.requests: list[Recorded] = []
        self.loading: dict[str, list[float]] = {}
        self.limited: set[str] = set()
        self.missing: set[str] = set()
        self.url = ""
        self.listed = None if listed is None else list(listed)
        self._token = token
        self._strict = strict
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hf-router", daemon=True)

    def __enter__(self) -> HFRouter:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the router did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def asked(self) -> list[Recorded]:
        """The requests but those for the list of models."""
        return [request for request in self.requests if request.method == "POST"]

    @property
    def row(self) -> str:
        """Base URLs for a row of the catalogue, in TOML."""
        return (
            f'protocols.openai_chat = "{self.url}/v1"\n'
            f'protocols.openai_responses = "{self.url}/v1"\n'
            f'protocols.anthropic_messages = "{self.url}"\n'
        )

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        for path, vendor in (
            ("/v1/chat/completions", openai_chat),
            ("/v1/responses", openai_responses),
            ("/v1/messages", anthropic),
        ):
            app.router.add_post(path, self._answering(vendor))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address, port = runner.addresses[0][:2]
        self.url = f"http://{address}:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

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

    def _knows(self, record: Recorded) -> bool:
        shown = record.headers.get("authorization", "").removeprefix("Bearer ")
        return self._token in (shown, record.headers.get("x-api-key"))

    async def _models(self, request: web.Request) -> web.Response:
        record = await self._record(request)
        if self.listed is None or not self._knows(record):
            return web.json_response({"error": "Not Found"}, status=404)
        return web.json_response({"object": "list", "data": self.listed})

    def _answering(self, vendor: ModuleType) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            record = await self._record(request)
            if not self._knows(record):
                return web.json_response({"error": "Invalid username or password."}, status=401)
            try:
                turn = vendor.read(json.loads(record.body), record.headers)
            except VendorError as failure:
                status, headers, body = vendor.error(failure)
                return web.Response(status=status, headers=headers, body=body)
            return self._refusal(turn) or await _said(request, vendor, turn)

        return handle

    def _refusal(self, turn: Turn) -> web.Response | None:
        name = turn.model
        base, _, suffix = name.partition(":")
        if times := self.loading.get(name):
            said = {"error": f"Model {name} is currently loading", "estimated_time": times.pop(0)}
            return web.json_response(said, status=503)
        if name in self.limited:
            return web.json_response(
                {"error": "Too Many Requests"}, status=429, headers={"retry-after": "60"}
            )
        if suffix and base in self.missing:
            return web.json_response(
                {"error": f"Model not supported by provider {suffix}"}, status=400
            )
        known = {one["id"] for one in self.listed or ()}
        if base in self.missing or (self._strict and base not in known):
            about = {
                "message": f"The requested model '{name}' is not supported by any provider you have "
                "enabled.",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_supported",
            }
            return web.json_response({"error": about}, status=400)
        return None


async def _said(request: web.Request, vendor: ModuleType, turn: Turn) -> web.StreamResponse:
    answer = Answer(text=TEXT)
    if not turn.stream:
        return web.Response(body=vendor.whole(answer, turn), content_type="application/json")
    response = web.StreamResponse(headers={"content-type": vendor.CONTENT_TYPE})
    await response.prepare(request)
    for frame in vendor.stream(answer, turn):
        await response.write(frame.data)
    await response.write_eof()
    return response
