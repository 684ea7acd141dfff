"""Embedding requests and answers, free of any protocol."""

from __future__ import annotations

import msgspec

from dragoman.canonical.parts import Extensions
from dragoman.canonical.usage import Usage


class EmbeddingRequest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``inputs`` are texts or token lists; ``single`` remembers that the client sent one bare input,
    ``base64`` that it wants little-endian float32 in base64 (OpenAI's ``encoding_format``)."""

    model: str
    inputs: list[str | list[int]]
    single: bool = False
    dimensions: int | None = None
    base64: bool = False
    task_type: str | None = None
    title: str | None = None
    user: str | None = None
    extensions: Extensions | None = None


class EmbeddingResponse(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``vectors`` in the order of the inputs."""

    model: str = ""
    vectors: list[list[float]] = msgspec.field(default_factory=list)
    usage: Usage | None = None
