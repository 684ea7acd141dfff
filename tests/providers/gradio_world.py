"""A Hub and its Spaces without a socket: an opening is driven, and every request it makes is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.parts import Media, Text
from dragoman.canonical.request import Message, Request
from dragoman.canonical.secret import Secret
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gradio import PROTOCOL
from dragoman.providers.catalog import load_catalog
from dragoman.providers.gradio_space import open_space
from dragoman.providers.opening import Draft, Memory, Opened, Opening
from dragoman.wire.http import HttpReply, HttpRequest

FIXTURES = Path(__file__).parent.parent / "fixtures" / "gradio"
HUB = "https://huggingface.co"
SPACE = "https://someone-chat.hf.space"
NOW = 1_800_000_000.0
HI = Request(model="m", messages=[Message(role="user", parts=[Text(text="hi")])])
IMAGE = Media(kind="image", media_type="image/png", data="aGk=", name="../a\r\nb.png")
Answer = Callable[[HttpRequest], HttpReply]


def reply(status: int, body: Any = b"", **headers: str) -> HttpReply:
    """An answer; ``body`` is JSON unless it is bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return HttpReply(status=status, headers=named, body=raw)


class World:
    """The Space ``someone/chat`` runs ``app`` (a recorded server). ``answers`` maps (method and the
    URL's end) to what is answered instead; ``requests`` is what was asked for."""

    def __init__(self, app: str = "6.31-full") -> None:
        self.app = app
        self.requests: list[HttpRequest] = []
        self.answers: dict[str, Answer | HttpReply | GatewayError] = {}
        self.memory = Memory()

    @property
    def asked(self) -> list[str]:
        """Method and URL of every request."""
        return [f"{one.method} {one.url}" for one in self.requests]

    def to(self, ending: str) -> HttpRequest:
        """The one request whose URL ends so."""
        (found,) = [one for one in self.requests if one.url.endswith(ending)]
        return found

    def open(self, draft: Draft) -> Opened:
        """Drive an opening to its end. Raises what it raises."""
        return self.run(open_space(draft, self.memory))

    def run(self, opening: Opening) -> Opened:
        """Drive an opening that has been made already."""
        try:
            step = next(opening)
            while True:
                assert isinstance(step, HttpRequest), step
                self.requests.append(step)
                answer = self._answer(step)
                step = (
                    opening.throw(answer)
                    if isinstance(answer, GatewayError)
                    else opening.send(answer)
                )
        except StopIteration as end:
            opened: Opened = end.value
            return opened

    def _answer(self, request: HttpRequest) -> HttpReply | GatewayError:
        url = request.url
        for ending, answer in self.answers.items():
            if f"{request.method} {url}".endswith(ending):
                return answer(request) if callable(answer) else answer
        path = urlsplit(url).path
        if path == "/api/spaces/someone/chat/host":
            return reply(200, {"subdomain": "someone-chat", "host": SPACE})
        if path.startswith("/api/spaces/"):
            return reply(404, {"error": "Repository not found"})
        if path.endswith("/config"):
            return HttpReply(status=200, body=self._config(url))
        if path.endswith("/info"):
            return HttpReply(status=200, body=(FIXTURES / f"{self.app}-info.json").read_bytes())
        if path.endswith("/upload"):
            return reply(200, ["/there/file.png"])
        if path.endswith("/queue/join") or "/call/" in path:
            return reply(200, {"event_id": "event-1"})
        return reply(404, {"detail": "Not Found"})

    def _config(self, url: str) -> bytes:
        config = json.loads((FIXTURES / f"{self.app}-config.json").read_bytes())
        parts = urlsplit(url)
        config["root"] = f"{parts.scheme}://{parts.netloc}"
        return json.dumps(config).encode()


def draft(
    model: str = "someone/chat",
    *,
    asked: Request = HI,
    listed: bool = True,
    token: str = "",
    callers: str = "",
    base_url: str = HUB,
    headers: dict[str, str] | None = None,
    **quirks: Any,
) -> Draft:
    """A request before it is opened, as the engine makes it for a channel of type ``gradio``."""
    encoded = PROTOCOL.encode_request(asked, ModelProfile(model=model))
    sent = {"content-type": "application/json", "accept": "application/json", **(headers or {})}
    if token:
        sent["authorization"] = f"Bearer {token}"
    return Draft(
        request=HttpRequest(method="POST", url=f"{base_url}/", headers=sent, body=encoded.body),
        purpose="generate",
        protocol="gradio",
        provider="gradio",
        base_url=base_url,
        model=model,
        listed=listed,
        stream=False,
        credential=Secret(token) if token else None,
        caller_credential=Secret(callers) if callers else None,
        quirks={**load_catalog()["gradio"].quirks, **quirks},
        now=NOW,
    )


def job(world: World) -> dict[str, Any]:
    """What the app was asked to do."""
    sent: dict[str, Any] = json.loads(world.to("/queue/join").body)
    return sent
