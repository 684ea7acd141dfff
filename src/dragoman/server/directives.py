"""What a request says to the gateway itself: taken out before the body is read as its protocol's.

``provider`` names whose channels may answer, by id or alias. It comes in the body, as text (OpenRouter's
object of that name is no business of ours and stays), in an ``extra_body`` that a client sent as it
stands in its SDK's manual, or in the header ``dragoman-provider``.

A Hugging Face token of the client's own comes in ``x-hf-authorization``, as Gradio's clients send it, or
in ``authorization`` where the gateway asks for no key.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.server.answer import RawHeaders
from dragoman.server.body import header

PROVIDER_HEADER = b"dragoman-provider"
_MARK = b'"provider"'
_TOKEN_HEADERS = (b"x-hf-authorization", b"authorization")
_HF_TOKEN = re.compile(r"(?:(?i:bearer) +)?(hf_[!-~]{1,500})")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


class _Places(msgspec.Struct):
    """Where the name may stand."""

    provider: Any = None
    extra_body: Any = None


_PLACES = msgspec.json.Decoder(_Places)


def take_provider(body: bytes, headers: RawHeaders) -> tuple[bytes, str]:
    """(the body without what is meant for the gateway, the provider's name or empty).

    An ``extra_body`` that names a provider is put in its place: its other members become the body's, as
    the OpenAI SDK would have sent them. Everything else keeps its order and its bytes. A body that is
    no JSON object is left for its protocol to refuse.
    """
    named = (header(headers, PROVIDER_HEADER) or "").strip()
    if _MARK not in body:
        return body, named
    try:
        places = _PLACES.decode(body)
        extra = places.extra_body if isinstance(places.extra_body, dict) else {}
        inside, outside = _name(extra.get("provider")), _name(places.provider)
        if inside is None and outside is None:
            return body, named
        fields = _FIELDS.decode(body)
        if inside is not None:
            fields.update(_FIELDS.decode(fields.pop("extra_body")))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return body, named
    if inside is not None or outside is not None:
        del fields["provider"]
    return _encode(fields), inside or outside or named


def own_token(headers: RawHeaders) -> Secret | None:
    """The client's own Hugging Face token, for a provider that may answer on its account."""
    for name in _TOKEN_HEADERS:
        if found := _HF_TOKEN.fullmatch((header(headers, name) or "").strip()):
            return Secret(found[1])
    return None


def _name(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else None
