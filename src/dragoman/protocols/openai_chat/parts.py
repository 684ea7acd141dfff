"""Content parts, both ways.

A wire part is a dictionary that has passed the types of ``types.py``. Readers take out of it what
they understand; what remains rides in ``extensions``.
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import (
    CacheHint,
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
)
from dragoman.canonical.signature import Signature
from dragoman.protocols.openai_chat.context import Context
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.media import (
    audio_format,
    audio_media_type,
    join_data_url,
    sniff,
    split_data_url,
)

Wire = dict[str, Json]
Sign = Callable[[str], Signature]
"""A signature found on the wire → the signature with its origin."""


def decode_content(content: Json, path: str, sign: Sign) -> list[Part]:
    """Read ``content``: a string, a list of parts, or nothing.

    Raises InvalidRequest when a part lacks the field its type is about.
    """
    if not content:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    return [decode_part(part, f"{path}.{i}", sign) for i, part in enumerate(content)]


def decode_part(wire: Wire, path: str, sign: Sign) -> Part:
    """Read one part; a type nobody knows becomes Opaque."""
    kind = wire["type"]
    if kind == "thinking":
        return _thinking(wire, path, sign)
    read = _READERS.get(kind)
    if read is None:
        return Opaque(protocol=PROTOCOL_ID, value=wire)
    del wire["type"]
    cache = take_cache(wire)
    part = read(wire, path)
    part.cache = cache
    part.extensions = leftovers(wire)
    return part


def leftovers(wire: Wire) -> dict[str, Wire] | None:
    """Extensions holding what was not taken; a null says nothing."""
    rest = {field: value for field, value in wire.items() if value is not None}
    return {PROTOCOL_ID: rest} if rest else None


def take_cache(wire: Wire) -> CacheHint | None:
    """Take a cache breakpoint: Anthropic's form, as OpenRouter and LiteLLM have it, or OpenAI's.

    OpenAI's with a lifetime stays an extension: no other provider has its lifetimes.
    """
    control = wire.pop("cache_control", None)
    if control is not None:
        return CacheHint(ttl=control.get("ttl"))
    if wire.get("prompt_cache_breakpoint") == {"mode": "explicit"}:
        del wire["prompt_cache_breakpoint"]
        return CacheHint()
    return None


def need(wire: Wire, field: str, path: str) -> Json:
    """Take a field that must be there."""
    value = wire.pop(field, None)
    if value is None:
        raise InvalidRequest(f"Missing '{path}.{field}'.", param=f"{path}.{field}")
    return value


def _text(wire: Wire, path: str) -> Part:
    return Text(text=need(wire, "text", path))


def _refusal(wire: Wire, path: str) -> Part:
    return Refusal(text=need(wire, "refusal", path))


def _image(wire: Wire, path: str) -> Part:
    url, detail = _take_url(wire, "image_url", path)
    part = media_of_url("image", url)
    part.detail = detail
    return part


def _video(wire: Wire, path: str) -> Part:
    url, _ = _take_url(wire, "video_url", path)
    return media_of_url("video", url)


def _take_url(wire: Wire, field: str, path: str) -> tuple[str, str | None]:
    """(URL, detail) of an ``image_url`` or ``video_url``; a bare string is a URL too."""
    value = need(wire, field, path)
    if isinstance(value, str):
        return value, None
    url, detail = value.pop("url"), value.pop("detail", None)
    if value:
        wire[field] = value
    return url, detail


def media_of_url(kind: str, url: str) -> Media:
    """Media given by a URL, which may hold the data itself."""
    inline = split_data_url(url)
    if inline is None:
        return Media(kind=kind, url=url)  # type: ignore[arg-type]
    return Media(kind=kind, media_type=inline[0], data=inline[1])  # type: ignore[arg-type]


def _audio(wire: Wire, path: str) -> Part:
    audio = need(wire, "input_audio", path)
    part = Media(
        kind="audio",
        media_type=audio_media_type(audio.pop("format", "wav")),
        data=audio.pop("data"),
    )
    if audio:
        wire["input_audio"] = audio
    return part


def _file(wire: Wire, path: str) -> Part:
    file = need(wire, "file", path)
    data, file_id, name = (file.pop(f, None) for f in ("file_data", "file_id", "filename"))
    if data is None and file_id is None:
        raise InvalidRequest(
            "A file needs 'file_data' or 'file_id'.", param=f"{path}.file.file_data"
        )
    if data is None:
        part = Media(kind="document", file_id=file_id)
    elif data.startswith(("https://", "http://")):  # OpenRouter takes URLs here
        part = Media(kind="document", url=data)
    elif (inline := split_data_url(data)) is not None:
        part = Media(kind="document", media_type=inline[0], data=inline[1])
    else:
        part = Media(kind="document", media_type=sniff(data), data=data)
    part.name = name
    if file:
        wire["file"] = file
    return part


def _thinking(wire: Wire, path: str, sign: Sign) -> Part:
    """Mistral's part (``thinking`` is a list of text parts) and Anthropic's (a string)."""
    del wire["type"]
    text = wire.pop("thinking", None)
    if isinstance(text, list):
        texts = [item.get("text") if isinstance(item, dict) else None for item in text]
        text = "".join(texts) if all(isinstance(t, str) for t in texts) else None  # type: ignore[arg-type]
    if not isinstance(text, str):
        raise InvalidRequest(
            f"'{path}.thinking' must be text or a list of text parts.", param=f"{path}.thinking"
        )
    signature = wire.pop("signature", None)
    return Reasoning(
        text=text,
        signature=sign(signature) if isinstance(signature, str) and signature else None,
        extensions=leftovers(wire),
    )


_READERS: dict[str, Callable[[Wire, str], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "video_url": _video,
    "input_audio": _audio,
    "file": _file,
}


def encode_part(part: Part, path: str, context: Context) -> Wire | None:
    """Write a part of a user, system or tool message; None, with a note, if it has no place there."""
    match part:
        case Text():
            wire: Wire | None = {"type": "text", "text": part.text}
        case Media():
            wire = _encode_media(part, path, context)
        case Refusal():
            wire = {"type": "text", "text": part.text}
            context.notes.renamed(path, "a refusal outside an assistant's message is text")
        case Opaque(protocol=protocol, value=value) if protocol == PROTOCOL_ID:
            return dict(value) if isinstance(value, dict) else None
        case _:
            wire = None
            context.notes.dropped(path, "not possible in this role")
    if wire is not None:
        context.cache(wire, part.cache, path)
        context.extend(wire, part.extensions, path)
    return wire


def _encode_media(part: Media, path: str, context: Context) -> Wire | None:
    wire = _MEDIA_WRITERS[part.kind](part, context)
    if part.text is not None:
        heading = f"{part.name}:\n" if part.name else ""
        context.notes.emulated(path, "a text document is sent as text")
        return {"type": "text", "text": heading + part.text}
    if wire is None:
        context.notes.dropped(path, f"this form of {part.kind} is not accepted")
        return None
    if part.media_type is not None and part.data is None:
        context.notes.emulated(f"{path}.media_type", "the upstream reads it off the file")
    if part.name is not None and part.kind != "document":
        context.notes.dropped(f"{path}.name", "only documents have a name")
    if part.detail is not None and part.kind != "image":
        context.notes.dropped(f"{path}.detail", "only images have a detail")
    return wire


def _url(part: Media) -> str | None:
    """The URL for media that may be given by one."""
    return join_data_url(part.media_type, part.data) if part.data is not None else part.url


def image_url(part: Media) -> Wire | None:
    """An ``image_url`` part."""
    if (url := _url(part)) is None:
        return None
    image: Wire = {"url": url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _encode_image(part: Media, context: Context) -> Wire | None:
    return image_url(part)


def _encode_audio(part: Media, context: Context) -> Wire | None:
    if part.data is None:
        return None
    audio = {"data": part.data, "format": audio_format(part.media_type)}
    return {"type": "input_audio", "input_audio": audio}


def _encode_video(part: Media, context: Context) -> Wire | None:
    if not context.quirks.video_input or (url := _url(part)) is None:
        return None
    return {"type": "video_url", "video_url": {"url": url}}


def _encode_document(part: Media, context: Context) -> Wire | None:
    if not context.quirks.document_input:
        return None
    file: Wire = {}
    if part.name is not None:
        file["filename"] = part.name
    if part.data is not None:
        # A bare base64 text came in bare; the official API wants a data URL.
        file["file_data"] = (
            join_data_url(part.media_type, part.data) if part.media_type else part.data
        )
    elif part.file_id is not None:
        file["file_id"] = part.file_id
    elif part.url is not None and context.quirks.file_url:
        file["file_data"] = part.url
    else:
        return None
    return {"type": "file", "file": file}


_MEDIA_WRITERS: dict[str, Callable[[Media, Context], Wire | None]] = {
    "image": _encode_image,
    "audio": _encode_audio,
    "video": _encode_video,
    "document": _encode_document,
}
