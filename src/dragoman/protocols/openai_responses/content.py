"""Content parts (``input_text``, ``input_image``, ``output_text`` …) ⇄ canonical parts.

Source: ``openai.types.responses.response_input_content_param``, ``response_output_message_param``,
``response_function_call_output_item_list_param``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import CacheHint, Media, Opaque, Part, Refusal, Text
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_shared.media import (
    audio_format,
    audio_media_type,
    join_data_url,
    sniff,
    split_data_url,
)

Content = Text | Media | Refusal | Opaque

_BREAKPOINT = {"mode": "explicit"}
_DEFAULT_DETAIL = "auto"


def decode_content(raw: types.Object, path: str) -> Content:
    """Read one content part. Raises InvalidRequest naming the field below ``path``."""
    kind = raw.get("type")
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return _opaque(raw)
    struct, read = known
    typed = marks.convert(raw, struct, path)
    return read(typed, raw, marks.leftovers(raw, struct))


def check_content(raw: types.Object, path: str) -> None:
    """Judge one content part without building anything. Raises InvalidRequest."""
    kind = raw.get("type")
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is not None:
        marks.convert(raw, known[0], path)


def _opaque(raw: dict[str, Any]) -> Opaque:
    return Opaque(protocol=marks.ID, value=raw, extensions=marks.extensions({marks.CONTENT: True}))


def _text(typed: types.TextContent, raw: dict[str, Any], rest: dict[str, Any]) -> Content:
    if typed.annotations:
        rest["annotations"] = typed.annotations
    if typed.logprobs:
        rest["logprobs"] = typed.logprobs
    cache = _cache(typed.prompt_cache_breakpoint, rest)
    return Text(text=typed.text, cache=cache, extensions=marks.extensions(rest))


def _refusal(typed: types.RefusalContent, raw: dict[str, Any], rest: dict[str, Any]) -> Content:
    return Refusal(text=typed.refusal, extensions=marks.extensions(rest))


def _image(typed: types.ImageContent, raw: dict[str, Any], rest: dict[str, Any]) -> Content:
    if typed.image_url is None and typed.file_id is None:
        return _opaque(raw)
    media = Media(kind="image", cache=_cache(typed.prompt_cache_breakpoint, rest))
    if typed.detail != _DEFAULT_DETAIL:
        media.detail = typed.detail
    if typed.image_url is None:
        media.file_id = typed.file_id
    else:
        if typed.file_id is not None:
            rest["file_id"] = typed.file_id
        _locate(media, typed.image_url)
    media.extensions = marks.extensions(rest)
    return media


def _file(typed: types.FileContent, raw: dict[str, Any], rest: dict[str, Any]) -> Content:
    media = Media(
        kind="document",
        name=typed.filename,
        detail=typed.detail,
        cache=_cache(typed.prompt_cache_breakpoint, rest),
    )
    # The API wants exactly one source; of several the first counts and the others are carried.
    sources = [name for name in ("file_data", "file_url", "file_id") if getattr(typed, name)]
    if not sources:
        return _opaque(raw)
    rest.update({name: getattr(typed, name) for name in sources[1:]})
    if sources[0] == "file_id":
        media.file_id = typed.file_id
    elif typed.file_data:
        media.media_type, media.data = split_data_url(typed.file_data) or (
            sniff(typed.file_data),
            typed.file_data,
        )
    else:
        _locate(media, typed.file_url or "")
    media.extensions = marks.extensions(rest)
    return media


def _audio(typed: types.AudioContent, raw: dict[str, Any], rest: dict[str, Any]) -> Content:
    audio = typed.input_audio
    return Media(
        kind="audio",
        media_type=audio_media_type(audio.format),
        data=audio.data,
        extensions=marks.extensions(rest),
    )


def _locate(media: Media, url: str) -> None:
    data = split_data_url(url)
    if data is None:
        media.url = url
    else:
        media.media_type, media.data = data


def _cache(breakpoint_: types.Object | None, rest: dict[str, Any]) -> CacheHint | None:
    """A cache breakpoint; what it says besides being one is carried."""
    if breakpoint_ is None:
        return None
    if breakpoint_ != _BREAKPOINT:
        rest["prompt_cache_breakpoint"] = breakpoint_
    return CacheHint()


_Reader = Callable[[Any, dict[str, Any], dict[str, Any]], Content]

_KINDS: dict[str, tuple[type[msgspec.Struct], _Reader]] = {
    "input_text": (types.TextContent, _text),
    "output_text": (types.TextContent, _text),
    "text": (types.TextContent, _text),
    "refusal": (types.RefusalContent, _refusal),
    "input_image": (types.ImageContent, _image),
    "input_file": (types.FileContent, _file),
    "input_audio": (types.AudioContent, _audio),
}


def encode_output(part: Text | Refusal | Opaque) -> dict[str, Any]:
    """A content part of an assistant message."""
    if isinstance(part, Opaque):
        return dict(part.value)
    rest = marks.fields(part.extensions)
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text, **rest}
    return {"type": "output_text", "text": part.text, "annotations": [], **rest}


class InputEncoder:
    """Content parts of user, system and developer messages, and of tool outputs.

    ``native``: the parts were decoded from this protocol, so nothing is filled in;
    ``breakpoints``: the upstream knows ``prompt_cache_breakpoint``.
    """

    def __init__(self, notes: Notes, *, native: bool, breakpoints: bool) -> None:
        self._notes = notes
        self._native = native
        self._breakpoints = breakpoints or native

    def encode(self, part: Part, path: str) -> dict[str, Any] | None:
        """The part on the wire, or None (with a note) if the API has no such part."""
        encoded = self._encode(part, path)
        if encoded is None:
            self._notes.dropped(path, "the Responses API takes no such input")
            return None
        if part.cache is not None:
            if self._breakpoints:
                encoded.setdefault("prompt_cache_breakpoint", dict(_BREAKPOINT))
                if part.cache.ttl is not None:
                    self._notes.clamped(f"{path}.cache", "kept as long as the provider likes")
            else:
                note_cache(self._notes, path)
        return encoded

    def _encode(self, part: Part, path: str) -> dict[str, Any] | None:
        match part:
            case Text() | Refusal():
                return {"type": "input_text", "text": part.text, **marks.fields(part.extensions)}
            case Media(text=str(text)):
                self._notes.emulated(path, "an inline text document is sent as text")
                return {"type": "input_text", "text": text}
            case Media():
                encoded = _encode_media(part)
                if encoded is None:
                    return None
                if not self._native:
                    self._complete(part, encoded, path)
                return encoded | marks.fields(part.extensions)
            case Opaque(protocol=marks.ID, value=dict(value)):
                return dict(value)
            case _:
                return None

    def _complete(self, part: Media, encoded: dict[str, Any], path: str) -> None:
        if "file_data" in encoded:
            # The API refuses file data without a name.
            encoded.setdefault("filename", "file")
        elif part.name is not None and "filename" not in encoded:
            self._notes.dropped(f"{path}.name")
        if part.media_type is not None and part.data is None:
            self._notes.emulated(f"{path}.media_type", "the provider looks at the file itself")


def _encode_media(part: Media) -> dict[str, Any] | None:
    source = part.url if part.data is None else join_data_url(part.media_type, part.data)
    match part.kind:
        case "image":
            found = {"file_id": part.file_id} if source is None else {"image_url": source}
            return {"type": "input_image", "detail": part.detail or _DEFAULT_DETAIL, **found}
        case "document":
            return {"type": "input_file", **_file_fields(part)}
        case "audio" if part.data is not None:
            sound = {"data": part.data, "format": audio_format(part.media_type)}
            return {"type": "input_audio", "input_audio": sound}
        case _:
            return None


def _file_fields(part: Media) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if part.data is not None:
        found["file_data"] = join_data_url(part.media_type, part.data)
    elif part.url is not None:
        found["file_url"] = part.url
    else:
        found["file_id"] = part.file_id
    if part.name is not None:
        found["filename"] = part.name
    if part.detail is not None:
        found["detail"] = part.detail
    return found


def note_cache(notes: Notes, path: str) -> None:
    """Note a cache breakpoint that is not written."""
    notes.emulated(f"{path}.cache" if path else "cache", "the provider caches prefixes by itself")
