"""What legacy completions look like on the wire.

Source: ``openai.types.completion_create_params``, ``completion``, ``completion_choice``; vLLM's
``stop_reason`` and Together's ``finish_reason`` words besides.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.protocols.openai_shared.stream_decoder import ChunkBase, ChunkChoiceBase

PROTOCOL_ID = "openai_completions"


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class CompletionRequest(msgspec.Struct):
    prompt: str | list[str | int | list[int]] | None = None
    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None


class Logprobs(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None
    text_offset: list[int] | None = None


class Choice(ChunkChoiceBase, kw_only=True):
    """A choice of a whole answer and of a chunk; they have the same form."""

    text: str | None = None
    logprobs: Logprobs | None = None


class Completion(ChunkBase, kw_only=True):
    choices: list[Choice] | None = None


Wire = dict[str, Any]
