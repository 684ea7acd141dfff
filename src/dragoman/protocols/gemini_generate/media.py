"""Media parts ⇄ ``inlineData`` and ``fileData``."""

from __future__ import annotations

import base64
import re
from urllib.parse import urlsplit

from dragoman.canonical.parts import Extensions, Json, Media, MediaKind, set_extension
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID, Blob, FileData

_BY_EXTENSION = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "bmp": "image/bmp",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "avi": "video/x-msvideo",
    "3gp": "video/3gpp",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "json": "application/json",
}
# Google checks the type against its lists before it looks at the bytes, and then goes by the bytes,
# so a likely concrete type passes where "image/*" is refused.
_BY_KIND: dict[MediaKind, str] = {
    "image": "image/jpeg",
    "audio": "audio/mpeg",
    "video": "video/mp4",
}
_UNKNOWN_BYTES = "application/octet-stream"
_YOUTUBE = re.compile(r"^https?://(?:(?:www\.|m\.)?youtube\.com|youtu\.be)/")
# The Files API's own addresses open only with the key that uploaded the file.
_STORED = re.compile(r"^(?:https://generativelanguage\.googleapis\.com/.*)?files/")
OURS = "_stored"  # bookkeeping: the file id was given by a client of this protocol
_FETCHABLE = ("http://", "https://", "gs://")
_URL_SAFE = str.maketrans("-_", "+/")


def kind_of(media_type: str | None) -> MediaKind:
    """``image/png`` → image; whatever is no image, sound or film is a document."""
    match (media_type or "").partition("/")[0].lower():
        case "image":
            return "image"
        case "audio":
            return "audio"
        case "video":
            return "video"
        case _:
            return "document"


def standard_base64(data: str) -> str:
    """URL-safe or unpadded base64, as Google's Python SDK sends and Google accepts it, in the standard
    alphabet that every other protocol wants."""
    if "-" in data or "_" in data:
        data = data.translate(_URL_SAFE)
    return data + "=" * (-len(data) % 4)


def from_blob(blob: Blob, extensions: Extensions | None) -> Media:
    """``inlineData`` → a part; ``extensions`` are those of the wire part around it."""
    media_type = blob.mime_type or _UNKNOWN_BYTES
    return Media(
        kind=kind_of(media_type),
        media_type=media_type,
        data=standard_base64(blob.data or ""),
        name=blob.display_name,
        extensions=_with_unknown(extensions, "inlineData", blob),
    )


def from_file(file: FileData, extensions: Extensions | None) -> Media:
    """``fileData`` → a part: fetchable addresses become URLs, names in Google's store file ids."""
    uri = file.file_uri or ""
    extensions = _with_unknown(extensions, "fileData", file)
    if _STORED.match(uri) or not uri.startswith(_FETCHABLE):
        return Media(
            kind=kind_of(file.mime_type),
            media_type=file.mime_type,
            file_id=uri,
            name=file.display_name,
            extensions=set_extension(extensions, PROTOCOL_ID, OURS, True),
        )
    media_type = file.mime_type or _guess(uri)
    return Media(
        kind="video" if media_type is None and _YOUTUBE.match(uri) else kind_of(media_type),
        media_type=media_type,
        url=uri,
        name=file.display_name,
        extensions=extensions,
    )


def to_wire(part: Media, own: dict[str, Json]) -> dict[str, Json] | None:
    """A part → ``{"inlineData": …}`` or ``{"fileData": …}``, without the fields this protocol set aside
    (``own``). None if another provider stores the file."""
    if part.text is not None:
        blob: dict[str, Json] = {
            "mimeType": _text_type(part.media_type),
            "data": base64.b64encode(part.text.encode()).decode(),
        }
        return {"inlineData": _named(blob, part)}
    if part.data is not None:
        default = _BY_KIND.get(part.kind, _UNKNOWN_BYTES)
        blob = {"mimeType": part.media_type or default, "data": part.data}
        return {"inlineData": _named(blob, part)}
    uri = part.url if part.url is not None else part.file_id or ""
    file: dict[str, Json] = {"fileUri": uri}
    media_type = part.media_type
    if part.url is None:
        if OURS not in own and not (uri.startswith(_FETCHABLE) or _STORED.match(uri)):
            return None
    elif media_type is None and not _YOUTUBE.match(uri):
        media_type = _guess(uri) or _BY_KIND.get(part.kind)
    if media_type is not None:
        file["mimeType"] = media_type
    return {"fileData": _named(file, part)}


def _named(data: dict[str, Json], part: Media) -> dict[str, Json]:
    if part.name is not None:
        data["displayName"] = part.name
    return data


def _with_unknown(
    extensions: Extensions | None, field: str, data: Blob | FileData
) -> Extensions | None:
    if not data.extra:
        return extensions
    return set_extension(extensions, PROTOCOL_ID, field, data.extra)


def _guess(uri: str) -> str | None:
    try:
        name = urlsplit(uri).path.rpartition("/")[2]
    except ValueError:  # an address that is none, such as http://[
        return None
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower()) if "." in name else None


def _text_type(media_type: str | None) -> str:
    return media_type if media_type and media_type.startswith("text/") else "text/plain"
