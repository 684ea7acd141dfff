"""Reading hostile JSON into typed values, with errors that name the field."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from dragoman.canonical.errors import InvalidRequest, UpstreamBroken

T = TypeVar("T")

ABSENT = msgspec.Raw()
"""Default of a field that is only looked at: msgspec takes no ``Raw | None``."""

_LONGEST_LOADING = 86_400.0

_PATH = re.compile(r"^(?P<what>.*) - at `(?P<path>[^`]*)`$", re.DOTALL)


def read_client(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a client's body. Raises InvalidRequest whose ``param`` is the dotted path at fault
    (``messages.0.content``) and whose message never quotes the body."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        # msgspec stops at Python's recursion limit (about 1,000 levels).
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.", code="invalid_json") from None


def read_upstream(body: bytes, decoder: msgspec.json.Decoder[T], what: str = "answer") -> T:
    """Decode what an upstream sent. Raises UpstreamBroken that never quotes the body."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise UpstreamBroken(f"The upstream's {what} has an unexpected shape: {error}.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise UpstreamBroken(f"The upstream's {what} is not valid JSON.") from None


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    match = _PATH.match(str(error))
    if match is None:
        return InvalidRequest(f"{error}.")
    path = match["path"].removeprefix("$").lstrip(".")
    path = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", path).lstrip(".")
    return InvalidRequest(
        f"{match['what']}, at '{path}'." if path else f"{match['what']}.", param=path or None
    )


def loading_seconds(value: object) -> float | None:
    """How long a model is still being loaded, where an error body says so: Hugging Face's 503
    ``{"error": "Model … is currently loading", "estimated_time": 20.0}``."""
    seconds = value.get("estimated_time") if isinstance(value, dict) else None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    return float(seconds) if 0 <= seconds < _LONGEST_LOADING else None


def is_there(value: msgspec.Raw) -> bool:
    """Whether a field was sent and is not null."""
    return bytes(value) not in (b"", b"null")
