"""A vendor whose models do every task: it writes, fills schemas, draws and embeds."""

from __future__ import annotations

import base64
import json
import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

TEXT = "Every word arrives, and each of them once."
PLACE = "Paris"
FILLED: dict[str, Any] = {  # by the name of the schema that is to be filled
    "answers": {"answers": [{"answer": PLACE, "score": 0.9}]},
    "labels": {
        "labels": [
            {"label": "NEGATIVE", "score": 0.1},
            {"label": "POSITIVE", "score": 0.9},
        ]
    },
    "entities": {"entities": [{"entity": "LOC", "score": 0.8, "word": PLACE}]},
}


def _png() -> bytes:
    """A picture of one dark dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\0")
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


PNG = _png()


class Vendor:
    """A context manager; ``url`` is the base URL of its OpenAI API. ``seen`` are the bodies that came."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Vendor:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> tuple[str, bytes]:
        """Content type and body of the answer."""
        self.seen.append(body)
        if path.endswith("/embeddings"):
            return _json(
                {"object": "list", "model": body["model"], "data": _vectors(body), **_USED}
            )
        if path.endswith("/images/generations"):
            return _json({"created": 1, "data": [{"b64_json": base64.b64encode(PNG).decode()}]})
        form = (body.get("response_format") or {}).get("json_schema")
        text = TEXT if form is None else json.dumps(FILLED[form["name"]])
        common = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            return _json({**common, "object": "chat.completion", "choices": [choice], **_USED})
        chunks = [
            *({"delta": {"content": piece}, "finish_reason": None} for piece in words(text)),
            {"delta": {}, "finish_reason": "stop"},
        ]
        common["object"] = "chat.completion.chunk"
        events = [{**common, "choices": [{"index": 0, **chunk}]} for chunk in chunks]
        events.append({**common, "choices": [], **_USED})
        lines = [*(json.dumps(event) for event in events), "[DONE]"]
        return "text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode()


_USED = {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}}


def words(text: str) -> list[str]:
    """The pieces in which a text is streamed."""
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


def _vectors(body: dict[str, Any]) -> list[dict[str, Any]]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    return [
        {"object": "embedding", "index": index, "embedding": [float(len(text)), 0.5, -1.0]}
        for index, text in enumerate(texts)
    ]


def _json(value: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()


def _handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            kind, data = vendor.answer(self.path, body)
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler
