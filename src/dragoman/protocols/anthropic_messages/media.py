"""Images and documents as the Messages API takes them.

Source: ``anthropic.types.image_block_param`` and ``document_block_param``. Images are JPEG, PNG, GIF
or WebP; documents are PDF or plain text; sound and film have no block at all.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Media

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF = "application/pdf"
_PLAIN = "text/plain"
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": _PDF}
_MAGIC = (
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGg", "image/png"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", _PDF),
)
"""How files begin once they are base64, for media whose type nobody named."""
_TEXTUAL = frozenset({"application/json", "application/xml", "application/yaml"})


def media_block(media: Media, path: str, notes: Notes) -> dict[str, Any] | None:
    """The block for ``media``, or None with a note if there is none for it."""
    if media.kind not in ("image", "document"):
        notes.dropped(path, f"{media.kind} is not accepted")
        return None
    source = _image_source(media) if media.kind == "image" else _document_source(media)
    if isinstance(source, str):
        notes.dropped(path, source)
        return None
    if media.media_type is not None and source.get("media_type") != media.media_type:
        notes.renamed(f"{path}.media_type", "the source's own type stands")
    block: dict[str, Any] = {"type": media.kind, "source": source}
    if media.kind == "document" and media.name is not None:
        block["title"] = media.name
    else:
        _note_bare(media, path, notes)
    return block


def _note_bare(media: Media, path: str, notes: Notes) -> None:
    if media.name is not None:
        notes.dropped(f"{path}.name", "an image has no name here")
    if media.detail == "auto":
        notes.renamed(f"{path}.detail", "this is how images are always read")
    elif media.detail is not None:
        notes.dropped(f"{path}.detail", "the detail of images cannot be chosen")


def _image_source(media: Media) -> dict[str, Any] | str:
    """The ``source`` object, or why there is none."""
    if media.data is not None:
        return _base64_image(media.media_type, media.data)
    if media.url is not None:
        inline = split_data_url(media.url)
        return _url(media.url) if inline is None else _base64_image(*inline)
    if media.file_id is not None:
        return {"type": "file", "file_id": media.file_id}
    return "an image needs data, a URL or a file"


def _base64_image(media_type: str | None, data: str) -> dict[str, Any] | str:
    media_type = _known_type(media_type, data)
    if media_type not in _IMAGES:
        return f"{media_type or 'an image of unknown type'} is not accepted"
    return {"type": "base64", "media_type": media_type, "data": data}


def _document_source(media: Media) -> dict[str, Any] | str:
    """The ``source`` object, or why there is none."""
    if media.text is not None:
        return _text(media.text)
    if media.data is not None:
        return _base64_document(media.media_type, media.data)
    if media.url is not None:
        inline = split_data_url(media.url)
        return _url(media.url) if inline is None else _base64_document(*inline)
    if media.file_id is not None:
        return {"type": "file", "file_id": media.file_id}
    return "a document needs text, data, a URL or a file"


def _base64_document(media_type: str | None, data: str) -> dict[str, Any] | str:
    media_type = _known_type(media_type, data)
    if media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": data}
    if media_type is not None and (media_type.startswith("text/") or media_type in _TEXTUAL):
        try:
            return _text(base64.b64decode(data, validate=True).decode())
        except (binascii.Error, ValueError):
            return "the document is no UTF-8 text"
    return f"{media_type or 'a document of unknown type'} is not accepted"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "media_type": _PLAIN, "data": text}


def _url(url: str) -> dict[str, Any] | str:
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        return f"URLs of scheme '{scheme[:20]}' are not fetched"
    return {"type": "url", "url": url}


def _known_type(media_type: str | None, data: str) -> str | None:
    if media_type:
        bare = media_type.partition(";")[0].strip().lower()
        return _ALIASES.get(bare, bare)
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def split_data_url(url: str) -> tuple[str | None, str] | None:
    """A data URL (RFC 2397) → (media type if named, base64); None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type.strip() or None, data
