"""A site as Hugging Face wants its providers' to be, with one thing broken on purpose.

::

    with PartnerSite("no tool call") as site:
        ...                                # site.url, site.requests
"""

from __future__ import annotations

import json
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any

MODEL = "org/model"
SLOW_SECONDS = 0.3
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
NATIVE: dict[str, Any] = {
    "summarization": [{"summary_text": "Short."}],
    "translation": [{"translation_text": "Court."}],
    "question-answering": {"answer": "Warsaw", "score": 0.9, "start": 24, "end": 30},
    "text-classification": [[{"label": "POSITIVE", "score": 0.9}]],
    "token-classification": [
        {"entity_group": "LOC", "score": 1, "word": "Warsaw", "start": 24, "end": 30}
    ],
    "feature-extraction": [[0.1, 0.2, 3]],
    "text-to-image": PNG,
}
"""Task → an answer that the official clients can read."""


class PartnerSite:
    """A context manager; everything works but what ``broken`` names."""

    def __init__(self, broken: str = "", native: Any = None) -> None:
        """``native`` is what the native tasks answer in the place of NATIVE."""
        self.served: list[str] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.broken = broken
        self._native = native
        site = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                site.requests.append((self.command, self.path, body))
                status, kind, data = site.answer(self.path, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                if request_id := site.id_for(self.path, status):
                    self.send_header("Inference-Id", request_id)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _any  # noqa: N815 - names of the base class

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> PartnerSite:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def id_for(self, path: str, status: int) -> str:
        """The header's value; empty for none."""
        if self.broken == "no id in errors" and status >= 400:
            return ""
        fixed = {"one id for all": str(uuid.UUID(int=7)), "an id that is none": "17"}
        request_id = fixed.get(self.broken) or str(uuid.uuid4())
        if status < 300 and path.startswith(("/v1/c", "/hf/models")):
            self.served.append(request_id)
        return request_id

    def answer(self, path: str, body: Any) -> tuple[int, str, bytes]:
        """(status, media type, body)."""
        if self.broken == "refuses the key":
            return _json({"error": {"message": "This key is unknown."}}, 401)
        if path == "/v1/models":
            return _json({"object": "list", "data": self._models()})
        if path == "/hf/billing":
            return self._bill(body["requestIds"])
        if path.startswith(f"/hf/models/{MODEL}/pipeline/"):
            if self.broken == "slow":
                time.sleep(SLOW_SECONDS)
            task = path.rpartition("/")[2]
            value = NATIVE[task] if self._native is None else self._native
            return (200, "image/png", value) if isinstance(value, bytes) else _json(value)
        if body.get("model") != MODEL:
            return _json({"error": {"message": "There is no such model."}}, 404)
        if self.broken == "fails":
            return _json({"error": {"message": "The upstream failed."}}, 502)
        if body.get("stream"):
            return self._stream(path)
        if path == "/v1/completions":
            text = None if self.broken == "text" else " Paris."
            return _json({"id": "1", "choices": [{"text": text}]})
        return _json(self._completion(body))

    def _models(self) -> list[dict[str, Any]]:
        row: dict[str, Any] = {
            "id": MODEL,
            "context_length": 4096,
            "pricing": {"input": 0.15, "output": 1},
        }
        match self.broken:
            case "no price":
                row["pricing"] = None
            case "a price in words":
                row["pricing"] = {"input": "0.15", "output": "1"}
            case "no context length":
                del row["context_length"]
            case "not listed":
                return []
        return [row]

    def _completion(self, body: Any) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": "Hello."}
        if "tools" in body and self.broken != "no tool call":
            name = "get_wether" if self.broken == "another tool" else "get_weather"
            given = "{" if self.broken == "broken arguments" else '{"city": "Paris"}'
            function = {"name": name, "arguments": given}
            message = {"content": None, "tool_calls": [{"id": "1", "function": function}]}
        if "response_format" in body:
            message["content"] = {
                "prose": "It is France.",
                "another schema": '{"city": "Paris"}',
                "JSON in a fence": '```json\n{"city": "Paris", "country": "France"}\n```',
            }.get(self.broken, '{"city": "Paris", "country": "France"}')
        completion: dict[str, Any] = {
            "id": "chatcmpl-1",
            "created": 1_760_000_000,
            "model": MODEL,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        if self.broken.startswith("odd "):
            completion[self.broken.removeprefix("odd ")] = None
        return completion

    def _stream(self, path: str) -> tuple[int, str, bytes]:
        if self.broken == "slow":
            time.sleep(SLOW_SECONDS)
        if self.broken == "no stream":
            return _json(self._completion({}))
        text = "" if self.broken == "an empty stream" else "Hello"
        content = {"text": text} if path == "/v1/completions" else {"delta": {"content": text}}
        event = "{" if self.broken == "half an event" else json.dumps({"choices": [content]})
        return 200, "text/event-stream", f"data: {event}\n\ndata: [DONE]\n\n".encode()

    def _bill(self, ids: list[str]) -> tuple[int, str, bytes]:
        match self.broken:
            case "no billing":
                return _json({"error": "Not Found"}, 404)
            case "nothing billed yet":
                return _json({"requests": None})
            case "one request is not billed":
                ids = [one for one in ids if one in self.served][1:]
            case "everything is billed":
                return _json({"requests": [{"requestId": one, "costNanoUsd": 5} for one in ids]})
        cost = {"half a nano-USD": 0.5, "a negative cost": -1}.get(self.broken, 0)
        rows = [{"requestId": one, "costNanoUsd": cost} for one in ids if one in self.served]
        return _json({"requests": rows})


def _json(value: Any, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(value).encode()
