"""An upstream without manners: whatever goes wrong, it quotes the request's headers in its error.

The model chooses what happens: ``status-<number>`` an error of that status, ``garbage`` a 200 that is no
answer, ``stream`` a stream that breaks off with an error. ``/token`` refuses every refresh token and
quotes the whole request.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Echoing:
    """A context manager; ``url`` is its root, ``quoted`` is every text it has sent."""

    def __init__(self) -> None:
        self.quoted: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Echoing:
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
        self._thread.join(5)


def _handler(owner: Echoing) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(400, "application/json", self._error(b""))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            quote = self._error(body if self.path.endswith("/token") else b"")
            try:
                model = str(json.loads(body).get("model", ""))
            except ValueError:
                model = ""
            if model == "garbage":
                self._reply(200, "application/json", quote[:-3])
            elif model == "stream":
                begun = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,'
                begun += b'"delta":{"role":"assistant","content":"hi"},"finish_reason":null}]}\n\n'
                self._reply(200, "text/event-stream", begun + b"data: " + quote + b"\n\n")
            else:
                status = int(model.removeprefix("status-")) if "status-" in model else 400
                self._reply(status, "application/json", quote)

        def _error(self, body: bytes) -> bytes:
            text = f"Cannot take {self.path} with {dict(self.headers)!r} {body.decode()}"
            owner.quoted.append(text)
            error = {"message": text, "type": "invalid_request_error", "code": None}
            return json.dumps({"error": error, "error_description": text}).encode()

        def _reply(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-quoted", str(dict(self.headers))[:2000].replace("\n", " "))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
