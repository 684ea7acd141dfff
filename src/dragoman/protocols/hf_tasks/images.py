"""Images: a text in, a picture out; for clients.

The documented form answers ``{image, content_type}`` with the bytes in base64, ``run`` has that under
``output``, and the native form is the bytes themselves (huggingface.js
``packages/tasks/src/tasks/text-to-image/spec``).
"""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.images import ImageRequest, ImageResponse
from dragoman.canonical.parts import Json
from dragoman.protocols.base import ImageForm, Target
from dragoman.protocols.hf_tasks.types import PROTOCOL_ID, Name
from dragoman.protocols.wire_json import read_client

_Pixels = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
_Steps = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class ImageParameters(msgspec.Struct, kw_only=True):
    """The parameters of the task; ``scheduler`` is noted as dropped."""

    model: Name | None = None
    negative_prompt: str | None = None
    width: _Pixels | None = None
    height: _Pixels | None = None
    num_inference_steps: _Steps | None = None
    guidance_scale: Annotated[float, msgspec.Meta(ge=0, le=1_000)] | None = None
    seed: _Whole | None = None
    scheduler: str | None = None


class _Text(msgspec.Struct):
    text: str


class _Body(msgspec.Struct, kw_only=True):
    inputs: str | _Text = ""
    model: Name | None = None
    parameters: ImageParameters | None = None


_body = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, target: Target) -> ImageRequest:
    """Read a client's request; the model is empty if it named none. Raises InvalidRequest naming the
    field at fault."""
    wire = read_client(body, _body)
    prompt = wire.inputs.text if isinstance(wire.inputs, _Text) else wire.inputs
    if not prompt.strip():
        raise InvalidRequest("'inputs' is missing or empty: it says what to draw.", param="inputs")
    given = wire.parameters or ImageParameters()
    return ImageRequest(
        model=target.model or wire.model or given.model or "",
        prompt=prompt,
        negative_prompt=given.negative_prompt,
        width=given.width,
        height=given.height,
        steps=given.num_inference_steps,
        guidance_scale=given.guidance_scale,
        seed=given.seed,
        extensions={PROTOCOL_ID: {"scheduler": given.scheduler}} if given.scheduler else None,
    )


def take_defaults(request: ImageRequest, defaults: dict[str, Json]) -> None:
    """Fill in what the client left open from ``defaults``, a mapping's parameters. Raises
    InvalidRequest."""
    try:
        mapped = msgspec.convert(defaults, ImageParameters)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"The parameters that the model is mapped with: {error}.", param="parameters"
        ) from None
    for field in ("negative_prompt", "width", "height", "guidance_scale", "seed"):
        if getattr(request, field) is None:
            setattr(request, field, getattr(mapped, field))
    if request.steps is None:
        request.steps = mapped.num_inference_steps


def encode_seed(response: ImageResponse, request: ImageRequest) -> tuple[bytes, str]:
    """The answer of the task's own route."""
    return _encode(_seed(response)), "application/json"


def encode_run(response: ImageResponse, request: ImageRequest) -> tuple[bytes, str]:
    """The answer of the route for any task."""
    answer = {"output": _seed(response), "task": "image-generation", "model": request.model}
    return _encode(answer), "application/json"


def encode_native(response: ImageResponse, request: ImageRequest) -> tuple[bytes, str]:
    """The answer for Hugging Face's own clients."""
    image = response.images[0]
    return image.data, image.media_type


def _seed(response: ImageResponse) -> dict[str, str]:
    image = response.images[0]
    return {"image": base64.b64encode(image.data).decode(), "content_type": image.media_type}


IMAGE_FORMS = {
    "seed": ImageForm(decode_request=decode_request, encode_response=encode_seed),
    "run": ImageForm(decode_request=decode_request, encode_response=encode_run),
    "native": ImageForm(decode_request=decode_request, encode_response=encode_native),
}
