"""``POST /images/generations``, for upstreams.

Source: ``openai.types.image_generate_params``, ``images_response``. The quirk ``image_response_format``
is what is asked for as ``response_format`` (``b64_json`` if nothing is said); empty for models that
always answer in base64 and refuse the field, as ``gpt-image-1`` does.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.images import Image, ImageRequest, ImageResponse, media_type_of
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import own_extensions
from dragoman.canonical.usage import Usage, split, whole
from dragoman.protocols.base import Encoded, ImageCodecs, ModelProfile
from dragoman.protocols.openai_chat.context import merge_missing
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.openai_shared.usage import Count
from dragoman.protocols.wire_json import read_upstream

_UNKNOWN_HERE = ("negative_prompt", "steps", "guidance_scale", "seed")


class Item(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None


class Details(msgspec.Struct):
    text_tokens: Count = None
    image_tokens: Count = None


class WireUsage(msgspec.Struct):
    """``input_tokens`` and ``output_tokens`` include what their details count."""

    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class Answer(msgspec.Struct):
    data: list[Item] | None = None
    model: str | None = None
    usage: WireUsage | None = None
    error: Any = None
    base_resp: Any = None


_ANSWER = msgspec.json.Decoder(Answer)
_encode = msgspec.json.Encoder().encode


def encode_request(request: ImageRequest, profile: ModelProfile) -> Encoded:
    """The body for the upstream, with notes on what OpenAI's form cannot say."""
    notes = Notes()
    body: dict[str, Any] = {
        "model": profile.model or request.model,
        "prompt": request.prompt,
        "n": request.n,
    }
    if request.width is not None and request.height is not None:
        body["size"] = f"{request.width}x{request.height}"
    elif request.width is not None or request.height is not None:
        field = "width" if request.height is None else "height"
        notes.dropped(field, "a size needs both width and height")
    if wanted := profile.quirks.get("image_response_format", "b64_json"):
        body["response_format"] = wanted
    for field in _UNKNOWN_HERE:
        if getattr(request, field) is not None:
            notes.dropped(field, "OpenAI's images have no such field")
    notes.foreign("", request.extensions, PROTOCOL_ID)
    merge_missing(body, own_extensions(request.extensions, PROTOCOL_ID))
    return Encoded(body=_encode(body), notes=notes.items)


def decode_response(body: bytes) -> ImageResponse:
    """Read an upstream's answer. Raises the error it holds, or UpstreamBroken for one without images
    and for what is no PNG, JPEG or WebP."""
    wire = read_upstream(body, _ANSWER)
    if (error := error_in({"error": wire.error, "base_resp": wire.base_resp})) is not None:
        raise error
    if not wire.data:
        raise UpstreamBroken("The upstream's answer holds no images.")
    return ImageResponse(
        model=wire.model or "",
        images=[_image(item) for item in wire.data],
        usage=_usage(wire.usage) if wire.usage is not None else None,
    )


def _image(item: Item) -> Image:
    if not item.b64_json:
        raise UpstreamBroken(
            "The upstream gave an image's address, not the image; the gateway does not fetch it."
            if item.url
            else "The upstream's answer holds no image."
        )
    try:
        data = base64.b64decode(item.b64_json, validate=True)
    except (binascii.Error, ValueError):
        raise UpstreamBroken("The upstream's image is not valid base64.") from None
    media_type = media_type_of(data)
    if media_type is None:
        raise UpstreamBroken("The upstream's image is no PNG, JPEG or WebP.")
    return Image(data, media_type)


def _usage(wire: WireUsage) -> Usage:
    """Disjoint buckets. What an image model writes are images, unless its details say otherwise."""
    given = wire.input_tokens_details or Details()
    made = wire.output_tokens_details or Details()
    text_in, image_in = split(whole(wire.input_tokens), whole(given.image_tokens))
    image_out, text_out = split(whole(wire.output_tokens), whole(made.text_tokens))
    return Usage(input=text_in, input_image=image_in, output=text_out, output_image=image_out)


IMAGES = ImageCodecs(
    encode_request=encode_request,
    decode_response=decode_response,
    endpoint=lambda model: "/images/generations",
)
