"""Data URLs and media types, as OpenAI's content parts carry them.

Sources: RFC 2397 (data URLs); ``openai.types.chat.chat_completion_content_part_param``.
"""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

_BASE64_MAGIC = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
"""How the commonest files begin once they are base64."""

_FORMAT_OF_AUDIO = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/pcm": "pcm16",
    "audio/l16": "pcm16",
    "audio/mp4": "m4a",
}
_AUDIO_OF_FORMAT = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "pcm16": "audio/pcm",
    "m4a": "audio/mp4",
}


def split_data_url(url: str) -> tuple[str | None, str] | None:
    """``data:image/png;base64,AAAA`` → (``image/png``, ``AAAA``); None if ``url`` is no data URL.

    Parameters such as ``charset`` are left out. Data that is not base64 in the URL is made so. A type
    the URL does not name is read off the data where it can be.
    """
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *parameters = [field.strip() for field in head.split(";")]
    if not any(parameter.lower() == "base64" for parameter in parameters):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return media_type.lower() or sniff(data), data


def join_data_url(media_type: str | None, data: str) -> str:
    """The data URL of base64 ``data``."""
    return f"data:{media_type or sniff(data) or ''};base64,{data}"


def sniff(data: str) -> str | None:
    """The media type that base64 ``data`` shows by its first bytes, None if it is not a common one."""
    return next((name for magic, name in _BASE64_MAGIC if data.startswith(magic)), None)


def audio_format(media_type: str | None) -> str:
    """``audio/mpeg`` → ``mp3``, as ``input_audio.format`` writes it; ``wav`` when unknown."""
    if media_type is None:
        return "wav"
    return _FORMAT_OF_AUDIO.get(media_type) or media_type.partition("/")[2] or "wav"


def audio_media_type(name: str) -> str:
    """``mp3`` → ``audio/mpeg``: the inverse of ``audio_format``."""
    return _AUDIO_OF_FORMAT.get(name, f"audio/{name}")
