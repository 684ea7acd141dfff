"""Google as Vertex AI's users meet it, on loopback: the token endpoint, the native methods for express
keys and for projects, and the OpenAI-compatible endpoint.

::

    with Google() as google:
        account = google.account("one")
        google.express_keys.add("AQ.key")
        ... GOOGLE_CREDENTIALS_JSON=account.json(google.token_uri), VERTEX_BASE_URL=google.url ...
        assert google.calls[-1].who == "one"

Bodies are judged as strictly as ``standin.gemini`` does. Words of the prompt choose the scenario of
``standin.script``: "scenario=tools".
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiohttp import web
from google.genai import types

from tests.support.google_accounts import Account, Refused, Tokens
from tests.support.standin import gemini, openai_chat, side
from tests.support.standin.script import (
    CONCLUSION,
    THOUGHT,
    Answer,
    VendorError,
    perform,
    vector,
)

BLOCKS = "<{tag}>\nFirst.\n</{tag}>\n\nOne. <{tag}>Second.</{tag}>Two."
UNCLOSED = "<{tag}>It never ends."
_SCENARIO = re.compile(r"scenario=([a-z-]+)")
_METHODS = ("generateContent", "streamGenerateContent", "countTokens", "predict")
_TAG = re.compile(r"[a-z_]+")


@dataclass
class Call:
    """A request that was let in: ``who`` is the account's name or the express key."""

    who: str
    path: str
    model: str
    method: str
    project: str
    location: str
    headers: dict[str, str]
    body: Any
    raw: bytes = b""


class Google:
    """A context manager; ``url`` is its root."""

    def __init__(self) -> None:
        self.url = ""
        self.express_keys: set[str] = set()
        self.failing: dict[str, int] = {}  # who → the status that answers them
        self.unknown_models: set[str] = set()
        self.calls: list[Call] = []
        self.hold: threading.Event | None = None  # answers wait until it is set
        self.token_hold: threading.Event | None = None
        self.tokens = Tokens("")
        self.refused_assertions: list[tuple[str, str]] = []
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="google", daemon=True)

    def __enter__(self) -> Google:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the stand-in for Google did not start")
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
    def token_uri(self) -> str:
        """Where accounts have their tokens."""
        return f"{self.url}/token"

    def account(self, name: str, number: int = 0, **fields: Any) -> Account:
        """A new account. Those of one ``number`` share a key, which takes a while to make."""
        account = Account(name, number, **fields)
        self.tokens.add(account)
        return account

    def clear(self) -> None:
        """Forget the requests so far, and everything that is wrong."""
        self.calls.clear()
        self.tokens.exchanges.clear()
        self.refused_assertions.clear()
        self.failing.clear()
        self.hold = self.token_hold = None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/token", self._token)
        model = r"publishers/google/models/{model:[^:/]+}:{method}"
        place = r"/{version:v1|v1beta1}/projects/{project}/locations/{location}"
        app.router.add_post(r"/{version:v1|v1beta1}/" + model, self._native)
        app.router.add_post(f"{place}/{model}", self._native)
        app.router.add_post(f"{place}/endpoints/openapi/chat/completions", self._openai)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.tokens.audience = self.token_uri
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    # -- the token endpoint ----------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        body = await request.read()
        await _until(self.token_hold)
        try:
            granted = self.tokens.exchange(request.headers.get("content-type", ""), body)
        except Refused as refused:
            error, description = refused.args
            self.refused_assertions.append((error, description))
            answer = {"error": error, "error_description": description}
            return web.json_response(answer, status=400)
        return web.json_response(granted)

    # -- the native methods ----------------------------------------------------------------------

    async def _native(self, request: web.Request) -> web.StreamResponse:
        try:
            call = await self._let_in(request, request.match_info["model"])
            call.method = request.match_info["method"]
            if call.method not in _METHODS or (call.method == "predict" and not call.project):
                raise VendorError(404, f"Method {call.method} is not found.")
            if call.method == "predict":
                return _json(_predict(call.body))
            scenario = _scenario(call)
            headers = call.headers
            if call.method == "countTokens":
                if "generateContentRequest" in call.body:
                    raise gemini.invalid(
                        'Unknown name "generateContentRequest": Cannot find field.'
                    )
                return _json(side.gemini_count(call.body, headers, call.model))
            stream = call.method == "streamGenerateContent"
            body = _without_image_config(call.body)
            turn = gemini.read(body, headers, model=scenario, stream=stream)
            answer = perform(turn)
            turn.model = call.model
        except VendorError as failure:
            return _refusal(gemini, failure)
        await _until(self.hold)
        if not stream:
            return _json(gemini.whole(answer, turn))
        if request.query.get("alt") != "sse":
            return _refusal(gemini, gemini.invalid("The stand-in streams with alt=sse only."))
        return await _stream(request, gemini.CONTENT_TYPE, gemini.stream(answer, turn))

    # -- the OpenAI-compatible endpoint ----------------------------------------------------------

    async def _openai(self, request: web.Request) -> web.StreamResponse:
        try:
            call = await self._let_in(request, "")
            call.method = "openapi"
            body = dict(call.body)
            google = _google_fields(body.pop("extra_body", {}), body)
            model = str(body.get("model", ""))
            if not model.startswith("google/"):
                raise VendorError(404, f"Model {model!r} is not found: it must be publisher/model.")
            call.model = model.removeprefix("google/")
            scenario = _scenario(call)
            body["model"] = scenario
            turn = openai_chat.read(body, call.headers)
            answer = _tagged(scenario, perform(turn), google)
            turn.model = call.model
        except VendorError as failure:
            return _refusal(gemini, failure, in_a_list=True)
        await _until(self.hold)
        if not turn.stream:
            return _json(openai_chat.whole(answer, turn))
        return await _stream(request, openai_chat.CONTENT_TYPE, openai_chat.stream(answer, turn))

    # -- who asks --------------------------------------------------------------------------------

    async def _let_in(self, request: web.Request, model: str) -> Call:
        headers = {name.lower(): value for name, value in request.headers.items()}
        where = request.match_info
        project, location = where.get("project", ""), where.get("location", "")
        raw = await request.read()
        who = self._who(headers, project)
        if (status := self.failing.get(who)) is not None:
            raise VendorError(status, f"The stand-in was told to answer {status}.")
        if model in self.unknown_models:
            raise VendorError(
                404,
                f"Publisher Model `projects/{project}/locations/{location}/publishers/google/models/"
                f"{model}` was not found or your project does not have access to it.",
            )
        try:
            body = json.loads(raw)
        except ValueError:
            raise gemini.invalid("Invalid JSON payload received.") from None
        call = Call(who, request.path, model, "", project, location, headers, body, raw)
        self.calls.append(call)
        return call

    def _who(self, headers: dict[str, str], project: str) -> str:
        if not project:
            key = headers.get("x-goog-api-key", "")
            if "authorization" in headers or key not in self.express_keys:
                raise VendorError(400, "API key not valid. Please pass a valid API key.")
            return key
        account = self.tokens.whose(headers.get("authorization", ""))
        if account is None or "x-goog-api-key" in headers:
            raise VendorError(401, "Request had invalid authentication credentials.")
        if project not in account.projects:
            raise VendorError(403, f"Permission denied on resource project {project}.")
        return account.name


def _scenario(call: Call) -> str:
    found = _SCENARIO.search(call.raw.decode())
    return found[1] if found else "text"


def _without_image_config(body: dict[str, Any]) -> dict[str, Any]:
    """The body without the one field that the SDK's own type of the configuration lacks, judged."""
    config = dict(body.get("generationConfig", {}))
    if (image := config.pop("imageConfig", None)) is None:
        return body
    try:
        types.ImageConfig.model_validate_json(json.dumps(image))
    except ValueError as error:
        raise gemini.invalid(
            f"Invalid value at 'generation_config.image_config': {error}"
        ) from None
    return {**body, "generationConfig": config}


def _google_fields(extra: Any, body: dict[str, Any]) -> dict[str, Any]:
    """``extra_body.google``, judged. Raises VendorError."""
    if not isinstance(extra, dict) or extra.keys() - {"google"}:
        raise VendorError(400, "Invalid JSON payload: extra_body knows google only.")
    google = extra.get("google", {})
    known = {"safety_settings", "cached_content", "thinking_config", "thought_tag_marker"}
    if google.keys() - known:
        raise VendorError(400, f"Unknown fields in extra_body.google: {sorted(google)}")
    thinking = google.get("thinking_config", {})
    if thinking.keys() - {"include_thoughts", "thinking_budget", "thinking_level"}:
        raise VendorError(400, f"Unknown fields in thinking_config: {sorted(thinking)}")
    if thinking and "reasoning_effort" in body:
        raise VendorError(400, "Only one of reasoning_effort and thinking_config can be specified.")
    if not _TAG.fullmatch(google.get("thought_tag_marker", "think")):
        raise VendorError(400, "Invalid thought_tag_marker.")
    return dict(google)


def _tagged(scenario: str, answer: Answer, google: dict[str, Any]) -> Answer:
    """The answer with its thoughts in the text, between the tags that were asked for."""
    tag = google.get("thought_tag_marker", "")
    if not google.get("thinking_config", {}).get("include_thoughts"):
        return Answer(text=answer.text or CONCLUSION, calls=answer.calls, finish=answer.finish)
    text = {
        "blocks": BLOCKS,
        "unclosed": UNCLOSED,
        "reasoning-tools": f"<{{tag}}>{THOUGHT}</{{tag}}>",
    }.get(scenario, f"<{{tag}}>{THOUGHT}</{{tag}}>{answer.text}")
    text = text.format(tag=tag) if tag else THOUGHT + answer.text
    return Answer(text=text, calls=answer.calls, finish=answer.finish, counts=answer.counts)


def _predict(body: Any) -> bytes:
    """``:predict`` of an embedding model."""
    if not isinstance(body, dict) or body.keys() - {"instances", "parameters"}:
        raise gemini.invalid("Invalid JSON payload received.")
    size = body.get("parameters", {}).get("outputDimensionality")
    predictions = [
        {
            "embeddings": {
                "values": vector(instance["content"], size),
                "statistics": {"token_count": side.EMBEDDING_TOKENS, "truncated": False},
            }
        }
        for instance in body["instances"]
    ]
    return json.dumps({"predictions": predictions}).encode()


async def _until(event: threading.Event | None) -> None:
    while event is not None and not event.is_set():
        await asyncio.sleep(0.005)


async def _stream(request: web.Request, content_type: str, frames: Any) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": content_type})
    await response.prepare(request)
    for frame in frames:
        await response.write(frame.data)
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _refusal(vendor: Any, failure: VendorError, *, in_a_list: bool = False) -> web.Response:
    status, headers, body = vendor.error(failure)
    return web.Response(
        status=status, headers=headers, body=b"[" + body + b"]" if in_a_list else body
    )
