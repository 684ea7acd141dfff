"""Image requests and answers, free of any protocol."""

from __future__ import annotations

import msgspec

from dragoman.canonical.parts import Extensions
from dragoman.canonical.usage import Usage


class ImageRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``width`` and ``height`` are pixels, ``steps`` those of a diffusion model, ``n`` how many images
    are wanted."""

    model: str
    prompt: str
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    n: int = 1
    extensions: Extensions | None = None


class Image(msgspec.Struct, frozen=True):
    """An encoded image and what it is (``image/png`` …)."""

    data: bytes
    media_type: str


class ImageResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``images`` has one at least."""

    model: str = ""
    images: list[Image]
    usage: Usage | None = None


def media_type_of(data: bytes) -> str | None:
    """What an image is by its first bytes: PNG, JPEG or WebP; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
