"""What the tests of the Gradio codec share: recorded servers, and ways to ask and to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from dragoman.canonical.collect import collect
from dragoman.canonical.events import Event, PartDelta
from dragoman.canonical.parts import Reasoning, Text
from dragoman.canonical.request import Message, Request, Settings
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gradio import PROTOCOL
from dragoman.protocols.gradio.endpoint import choose
from dragoman.protocols.gradio.site import Door, Site, read_config, read_site
from dragoman.protocols.gradio.types import Question, Turn

FIXTURES = Path(__file__).parent.parent / "fixtures" / "gradio"
BASE = "http://gradio.test"
ORIGIN = Origin("gradio", "gradio", "some-model")


def recorded(name: str) -> bytes:
    """A recorded answer of a real server."""
    return (FIXTURES / name).read_bytes()


def site(name: str) -> Site:
    """The recorded server ``name`` (version and app)."""
    config = read_config(recorded(f"{name}-config.json"), BASE, ours=True)
    return read_site(config, recorded(f"{name}-info.json"))


def door(name: str, api_name: str = "") -> Door:
    """Its endpoint that chats."""
    return choose(site(name), api_name)


def made_door(*parameters: dict[str, Any], returns: str = "Textbox", name: str = "chat") -> Door:
    """An endpoint of our own making; a parameter is what ``/info`` says, with the component's
    ``props`` beside it."""
    (made,) = made_site({name: (list(parameters), returns)}).doors
    return made


def made_site(endpoints: dict[str, tuple[list[dict[str, Any]], str]], **config: Any) -> Site:
    """A server of our own making."""
    components: list[dict[str, Any]] = []
    dependencies = []
    described = {}
    for name, (parameters, returns) in endpoints.items():
        inputs = []
        for parameter in parameters:
            inputs.append(len(components))
            component = parameter.get("component", "Textbox")
            components.append(
                {
                    "id": len(components),
                    "type": component.lower(),
                    "props": parameter.get("props", {}),
                }
            )
        dependencies.append({"id": len(dependencies), "api_name": name, "inputs": inputs})
        described[f"/{name}"] = {
            "parameters": [
                {
                    "type": {"type": "string"},
                    "component": "Textbox",
                    "label": "",
                    **{key: value for key, value in parameter.items() if key != "props"},
                }
                for parameter in parameters
                if parameter.get("component") != "State"
            ],
            "returns": [{"component": returns}],
        }
    body = {
        "version": "6.31.0",
        "protocol": "sse_v3",
        "components": components,
        "dependencies": dependencies,
        **config,
    }
    read = read_config(json.dumps(body).encode(), BASE, ours=True)
    return read_site(read, json.dumps({"named_endpoints": described}).encode())


def question(*texts: str, **fields: Any) -> Question:
    """A conversation whose turns begin with the user's."""
    turns = [
        Turn(role="assistant" if index % 2 else "user", text=text)
        for index, text in enumerate(texts)
    ]
    return Question(turns=turns, **fields)


def asked(*messages: Message, **settings: Any) -> tuple[Question, list[tuple[str, str]]]:
    """What the codec makes of a request: the question, and (path, action) of its notes."""
    request = Request(model="m", messages=list(messages), settings=Settings(**settings))
    encoded = PROTOCOL.encode_request(request, ModelProfile(model="m"))
    notes = [(note.path, note.action.value) for note in encoded.notes]
    return msgspec.json.decode(encoded.body, type=Question), notes


def events_of(chunks: Iterable[bytes], *, whole: bool = False) -> list[Event]:
    """The events in a stream."""
    make = PROTOCOL.whole_decoder if whole else PROTOCOL.stream_decoder
    assert make is not None
    decoder = make(ORIGIN)
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    return events + decoder.finish()


def deltas(events: list[Event]) -> list[str]:
    """What was sent, piece by piece."""
    return [event.text for event in events if isinstance(event, PartDelta)]


def parts_of(response: Response) -> list[tuple[str, str]]:
    """(kind, text) of the answer's parts."""
    (choice,) = response.choices
    kinds = {Text: "text", Reasoning: "thought"}
    return [
        (kinds[type(part)], part.text)
        for part in choice.parts
        if isinstance(part, Text | Reasoning)
    ]


def answer_of(*chunks: bytes, whole: bool = False) -> list[tuple[str, str]]:
    """The answer's parts in a stream."""
    return parts_of(collect(events_of(chunks, whole=whole)))


def queue(*outputs: list[Any], final: list[Any] | None = None) -> bytes:
    """A queue's stream in which the app puts out ``outputs``, one after the other, each whole; the
    last is the final one unless ``final`` says otherwise."""
    messages: list[dict[str, Any]] = [
        {"msg": "process_generating", "output": {"data": data}, "success": True} for data in outputs
    ]
    last = outputs[-1] if final is None else final
    messages.append({"msg": "process_completed", "output": {"data": last}, "success": True})
    return b"".join(event(message) for message in messages)


def event(message: dict[str, Any]) -> bytes:
    """One event of the queue."""
    return b"data: " + json.dumps(message).encode() + b"\n\n"
