"""Plain HTTP for what no SDK would send."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.support.gateway import TOKEN, Gateway

BEARER = {"authorization": f"Bearer {TOKEN}"}

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_completions": "/v1/completions",
    "anthropic_messages": "/v1/messages",
    "gemini_generate": "/v1beta/models/{model}:generateContent",
    "ollama_chat": "/api/chat",
}


class Reply:
    """A whole answer; header names are in lower case."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> tuple[str, str]:
        """(message, whatever else the protocol's error says), whichever protocol it is."""
        body = self.json
        error = body["error"]
        if isinstance(error, str):
            return error, ""
        return error["message"], json.dumps({**body, "error": {**error, "message": ""}})


def ask(
    gateway: Gateway,
    method: str,
    path: str,
    body: bytes | dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    try:
        connection.request(
            method,
            path,
            body=data,
            headers={
                "content-type": "application/json",
                **(BEARER if headers is None else headers),
            },
        )
        return Reply(connection.getresponse())
    finally:
        connection.close()


def request_body(protocol: str, model: str, **more: Any) -> dict[str, Any]:
    """A small valid request."""
    user = {"role": "user", "content": "hi"}
    match protocol:
        case "openai_responses":
            body: dict[str, Any] = {"model": model, "input": "hi"}
        case "openai_completions":
            body = {"model": model, "prompt": "hi"}
        case "anthropic_messages":
            body = {"model": model, "max_tokens": 50, "messages": [user]}
        case "gemini_generate":
            body = {"contents": [{"parts": [{"text": "hi"}]}]}
        case "ollama_chat":
            body = {"model": model, "messages": [user], "stream": False}
        case _:
            body = {"model": model, "messages": [user]}
    return body | more


def path_of(protocol: str, model: str) -> str:
    """The generation path of ``protocol``."""
    return PATHS[protocol].format(model=model)
