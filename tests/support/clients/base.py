"""What the clients share: a question, an answer, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

WEATHER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Where"},
        "unit": {"type": "string", "enum": ["c", "f"]},
    },
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TIME_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "short": {"type": "boolean"}},
    "required": ["zone", "short"],
    "additionalProperties": False,
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "unit": {"type": "string"}},
    "required": ["answer", "unit"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Tool:
    """A function the model may call."""

    name: str
    description: str
    schema: dict[str, Any]


WEATHER = Tool("get_weather", "The weather in a city", WEATHER_SCHEMA)
TIME = Tool("get_time", "The time in a zone", TIME_SCHEMA)


@dataclass(frozen=True)
class Ask:
    """One question. ``images`` are base64 PNGs or web addresses; ``think`` asks for visible reasoning."""

    model: str
    prompt: str = "Say hello."
    system: str = ""
    images: Sequence[str] = ()
    tools: Sequence[Tool] = ()
    schema: dict[str, Any] | None = None
    think: bool = False
    stream: bool = False


@dataclass
class Call:
    """A tool call as the client sees it."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Outcome:
    """One answer. ``finish`` is the protocol's own word; ``turn`` is what goes back as history."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    turn: Any = None


class Failed(Exception):
    """The SDK raised. ``status`` is the HTTP status, None for an error within a stream."""

    def __init__(self, status: int | None, message: str, headers: dict[str, str]) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.headers = headers


def image_url(image: str) -> str:
    """The address of an image, which may be one that holds the data itself."""
    return image if image.startswith("http") else f"data:image/png;base64,{image}"


class Client(Protocol):
    """One SDK at one base URL."""

    protocol: ClassVar[str]

    def ask(self, question: Ask) -> Outcome:
        """Send one turn. Raises Failed."""
        ...

    def follow(
        self, question: Ask, answer: Outcome, results: Sequence[str], prompt: str
    ) -> Outcome:
        """Send the question again, then ``answer``, then the tools' ``results`` (one per call, in
        order) or, without any, the next ``prompt``. Raises Failed."""
        ...
