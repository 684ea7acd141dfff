"""What an app has put out so far, read as reasoning and text.

An output is a text, a message ``{role, content, metadata}``, a list of messages, a chat's whole
history (messages, or pairs as until version 5), or a pair of reasoning and answer. A message with a
title is a thought (``gradio.ChatMessage``). In a text, reasoning stands in a ``<details>`` block or
in ``<think>`` tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from dragoman.canonical.parts import Json
from dragoman.protocols.gradio.thoughts import split_thoughts


class Segment(NamedTuple):
    """A stretch of the answer; ``thought`` is what is not meant as its text."""

    thought: bool
    text: str


def read_outputs(outputs: list[Json], *, final: bool) -> list[Segment]:
    """The answer in an endpoint's outputs: a chat history among them, else the first that says
    something. Until it is ``final``, what may yet turn out to be a tag is held back."""
    values = [_updated(output) for output in outputs]
    history = next((value for value in values if _is_history(value)), None)
    if history is not None:
        return _joined(_read(history, final))
    for value in values:
        if segments := _joined(_read(value, final)):
            return segments
    return []


def _read(value: Json, final: bool) -> list[Segment]:
    match value:
        case None:
            return []
        case str():
            return [Segment(*one) for one in split_thoughts(value, final=final)]
        case dict():
            return _read_object(value, final)
        case [str() | None as thought, str() | None as text]:
            return [Segment(True, thought or ""), *_read(text, final)]
        case list():
            return _read_list(value, final)
        case bool() | int() | float():
            return [Segment(False, msgspec.json.encode(value).decode())]
        case _:
            return []


def _read_object(value: dict[str, Json], final: bool) -> list[Segment]:
    if "content" in value:
        segments = _read_content(value["content"], final)
        metadata = value.get("metadata")
        if isinstance(metadata, dict) and metadata.get("title"):
            return [Segment(True, segment.text) for segment in segments]
        return segments
    if isinstance(value.get("path"), str) and "meta" in value:
        return [Segment(False, _link(value))]
    if isinstance(value.get("text"), str):
        files = value.get("files")
        read = _read(value["text"], final)
        return [*read, *(s for one in files or () for s in _read(one, final))]
    return [Segment(False, msgspec.json.encode(value).decode())] if value else []


def _read_content(content: Json, final: bool) -> list[Segment]:
    """A message's content: a text, a file, or a list of such parts."""
    parts = content if isinstance(content, list) else [content]
    segments: list[Segment] = []
    for part in parts:
        match part:
            case {"type": "text", "text": str(text)}:
                segments += _read(text, final)
            case {"type": "file", "file": dict(file)} | {"file": dict(file)}:
                segments.append(Segment(False, _link(file)))
            case {"component": _, "value": dict(shown)}:
                segments += _read(shown, final)
            case _:
                segments += _read(part, final)
    return segments


def _read_list(value: list[Json], final: bool) -> list[Segment]:
    if _are_pairs(value):
        return _read_content(value[-1][1], final)
    asked = [
        i for i, one in enumerate(value) if isinstance(one, dict) and one.get("role") == "user"
    ]
    answer = value[asked[-1] + 1 :] if asked else value
    # Only the last may still grow; what is before it is as good as final.
    last = len(answer) - 1
    return [s for i, one in enumerate(answer) for s in _read(one, final or i < last)]


def _is_history(value: Json) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return _are_pairs(value) or all(isinstance(one, dict) and "role" in one for one in value)


def _are_pairs(value: list[Json]) -> bool:
    return bool(value) and all(isinstance(one, list) and len(one) == 2 for one in value)


def _updated(value: Json) -> Json:
    """An output may be an update of its component, with the value among others."""
    if isinstance(value, dict) and value.get("__type__") == "update":
        return value.get("value")
    return value


def _link(file: dict[str, Json]) -> str:
    """A file of the app's, as a link in the text: every protocol can carry that."""
    url, name = file.get("url"), file.get("orig_name")
    name = name if isinstance(name, str) and name else "file"
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return f"[{name}]"
    mime = file.get("mime_type")
    mark = "!" if isinstance(mime, str) and mime.startswith("image/") else ""
    return f"{mark}[{name}]({url})"


def _joined(segments: Iterable[Segment]) -> list[Segment]:
    """Without empty ones; neighbours of one kind are one, a blank line between them."""
    joined: list[Segment] = []
    for segment in segments:
        if not segment.text:
            continue
        if joined and joined[-1].thought == segment.thought:
            joined[-1] = Segment(segment.thought, f"{joined[-1].text}\n\n{segment.text}")
        else:
            joined.append(segment)
    return joined
