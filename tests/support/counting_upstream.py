"""An upstream that counts its input tokens by a vocabulary, and tells only in its answers.

It has no route for counting, so a gateway in front of it can but learn. It speaks OpenAI's chat
protocol, and knows the texts of ``tests/fixtures/token_counts``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.support.counted_texts import INSTRUCTIONS, TEMPLATE, counted_texts
from tests.support.standin import openai_chat
from tests.support.standin.script import Answer, Counts, Turn


class CountingUpstream:
    """A context manager; ``url`` is a channel's base URL. ``asked`` counts the requests for an answer,
    ``elsewhere`` has the paths of all others."""

    def __init__(self, vocabulary: str) -> None:
        self._counts = {one.text: one.counts[vocabulary] for one in counted_texts()}
        self.asked = 0
        self.elsewhere: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> CountingUpstream:
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
        self._thread.join()

    def true_count(self, *texts: str) -> int:
        """Input tokens of a request with one message for each of ``texts``: nobody outside sees what
        is put around them."""
        return INSTRUCTIONS + sum(self._counts[text] + TEMPLATE for text in texts)

    def _answer(self, body: Any) -> bytes:
        self.asked += 1
        prompt = self.true_count(*(message["content"] for message in body["messages"]))
        turn = Turn(body["model"], openai_chat.VENDOR)
        return openai_chat.whole(Answer(text="Yes.", counts=Counts(prompt=prompt, output=2)), turn)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # headers and body leave together

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/chat/completions":
                    self._send(200, upstream._answer(json.loads(sent)))
                else:
                    upstream.elsewhere.append(self.path)
                    self._send(404, b'{"error": {"message": "There is no such route."}}')

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Tests are quiet."""

        return Handler
