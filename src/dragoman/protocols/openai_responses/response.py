"""A whole answer, both ways: the ``response`` object.

Source: ``openai.types.responses.response``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from dragoman.canonical.carry import signature_apart
from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.parts import Json, Part, Text, ToolCall
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.openai_responses import marks, types
from dragoman.protocols.openai_responses.echo import echo
from dragoman.protocols.openai_responses.errors import failure
from dragoman.protocols.openai_responses.items import decode_item
from dragoman.protocols.openai_responses.output import OutputEncoder
from dragoman.protocols.openai_responses.usage import decode_usage, encode_usage
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.wire_json import read_upstream

_read = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode

_REPEATED = frozenset(
    {
        "object",
        "instructions",
        "metadata",
        "parallel_tool_calls",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
        "top_logprobs",
        "max_output_tokens",
        "max_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "store",
        "text",
        "truncation",
        "user",
        "background",
        "presence_penalty",
        "frequency_penalty",
    }
)
"""What an answer repeats of its request; the client gets its own request's values."""

_REASON_OF_WORD = {
    "max_output_tokens": FinishReason.LENGTH,
    "max_messages": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "steered": FinishReason.PAUSE,
}
_PLAIN_WORDS = ("max_output_tokens", "content_filter")
_PENDING = {
    "queued": FinishReason.PAUSE,
    "in_progress": FinishReason.PAUSE,
    "cancelled": FinishReason.ERROR,
}
"""Statuses of background responses."""
_WORD_OF_REASON = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.PAUSE: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}
"""Every other reason is ``completed`` (or ``failed``)."""


def decode_response(body: bytes, origin: Origin) -> Response:
    """Read an upstream's answer. Raises UpstreamBroken, or the error that it holds."""
    raw = read_upstream(body, _read)
    if (error := raw.get("error")) or raw.get("status") == "failed":
        raise failure(error)
    if (other := error_in(raw)) is not None:
        raise other
    wire = read_body(raw)
    parts = decode_output(wire.output or [], origin)
    choice = Choice(parts=parts, logprobs=take_logprobs(parts))
    choice.finish = decode_finish(wire, raw, has_calls(parts))
    return Response(
        id=wire.id or "",
        model=wire.model or "",
        created=int(wire.created_at) if wire.created_at else None,
        service_tier=wire.service_tier,
        choices=[choice],
        usage=None if wire.usage is None else decode_usage(wire.usage),
        extensions={marks.ID: {}},
    )


def read_body(raw: dict[str, Any]) -> types.ResponseBody:
    """The typed form of a response object. Raises UpstreamBroken."""
    try:
        return msgspec.convert(raw, types.ResponseBody)
    except msgspec.ValidationError as error:
        raise UpstreamBroken(f"The upstream's answer has an unexpected shape: {error}.") from None


def signer(origin: Origin) -> Callable[[str], Signature]:
    """What gives an upstream's encrypted reasoning its origin."""
    return lambda value: Signature(value, origin)


def decode_output(items: list[types.Object], origin: Origin) -> list[Part]:
    """The parts of output items. Raises UpstreamBroken."""
    sign = signer(origin)
    try:
        return [
            part
            for index, item in enumerate(items)
            for part in decode_item(item, f"output.{index}", sign)
        ]
    except InvalidRequest as error:
        raise UpstreamBroken(f"The upstream's answer is malformed: {error.message}") from None


def take_logprobs(parts: list[Part]) -> list[Json] | None:
    """Move the log probabilities of all texts to where the canonical form has them."""
    found: list[Json] = []
    for part in parts:
        if isinstance(part, Text) and (mine := marks.own(part.extensions)):
            found += mine.pop("logprobs", [])
            if not mine:
                part.extensions = None
    return found or None


def has_calls(parts: list[Part]) -> bool:
    """Whether the client is to run tools."""
    return any(isinstance(part, ToolCall) for part in parts)


def decode_finish(wire: types.ResponseBody, raw: dict[str, Any], calls: bool) -> Finish:
    """How the answer ended, with the fields of the response object that have no other home: in a
    stream they come with its end."""
    found = {
        name: value
        for name, value in marks.leftovers(raw, types.ResponseBody).items()
        if name not in _REPEATED
    }
    status = wire.status or "completed"
    if status == "incomplete":
        details = wire.incomplete_details or {}
        word = details.get("reason")
        word = word if isinstance(word, str) else "max_output_tokens"
        if word not in _PLAIN_WORDS or len(details) > 1:
            found["incomplete_details"] = details
        finish = Finish(
            reason=_REASON_OF_WORD.get(word, FinishReason.LENGTH),
            raw=None if word in _PLAIN_WORDS else word,
        )
    elif status in _PENDING:
        finish = Finish(reason=_PENDING[status], raw=status)
    else:
        finish = Finish(reason=FinishReason.TOOL_CALLS if calls else FinishReason.STOP)
    finish.extensions = marks.extensions(found)
    return finish


def encode_response(response: Response, request: Request) -> bytes:
    """The client's answer."""
    choice = response.choices[0] if response.choices else Choice()
    writer = ResponseWriter(
        request, response.id, response.model, native=marks.born_here(response.extensions)
    )
    writer.created = response.created
    writer.service_tier = response.service_tier
    parts = [piece for part in choice.parts for piece in signature_apart(part)]
    output = OutputEncoder(request, writer.id).encode(parts, choice.logprobs)
    finish = choice.finish or Finish(
        reason=FinishReason.TOOL_CALLS if has_calls(choice.parts) else FinishReason.STOP
    )
    usage = None if response.usage is None else encode_usage(response.usage)
    return _encode(writer.final(finish, output, usage))


def response_id(given: str, model: str, *, native: bool) -> str:
    """An id as this API writes it, always the same for the same answer."""
    if given.startswith("resp_") or (native and given):
        return given
    digest = hashlib.blake2s(f"{given} {model}".encode(), digest_size=16).hexdigest()
    return f"resp_{digest}"


class ResponseWriter:
    """Writes the ``response`` object of one answer, at its beginning and at its end."""

    def __init__(self, request: Request, given_id: str, model: str, *, native: bool) -> None:
        self.id = response_id(given_id, model, native=native)
        self.model = model
        self.created: int | None = None
        self.service_tier: str | None = None
        self._echo = echo(request)

    def object(
        self,
        status: str,
        output: list[Any],
        usage: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        incomplete: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The response object in any state."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created or 0,
            "status": status,
            "error": error,
            "incomplete_details": incomplete,
            "model": self.model,
            "output": output,
            "usage": usage,
            "service_tier": self.service_tier,
            **self._echo,
        }

    def final(
        self, finish: Finish, output: list[Any], usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        """The response object when the answer has ended."""
        mine = marks.fields(finish.extensions)
        word = _WORD_OF_REASON.get(finish.reason)
        if finish.reason is FinishReason.REFUSAL and _refuses(output):
            word = None
        if finish.raw is not None and _PENDING.get(finish.raw) is finish.reason:
            return self.object(finish.raw, output, usage) | mine
        if finish.reason is FinishReason.ERROR:
            message = f"The model failed: {finish.raw}." if finish.raw else "The model failed."
            error = {"code": "server_error", "message": message}
            return self.object("failed", output, usage, error) | mine
        if word is not None:
            return self.object("incomplete", output, usage, None, {"reason": word}) | mine
        return self.object("completed", output, usage) | mine


def _refuses(output: list[Any]) -> bool:
    """Whether a refusal can be read in the answer, so that its status need not tell it."""
    return any(
        content.get("type") == "refusal"
        for item in output
        if item.get("type") == "message"
        for content in item["content"]
    )
