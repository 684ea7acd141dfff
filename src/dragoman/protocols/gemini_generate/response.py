"""Whole answers, both ways, and the wire form of what an answer is made of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from dragoman.canonical.collect import collect
from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.events import Event
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    own_extensions,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin, for_client
from dragoman.canonical.usage import Usage
from dragoman.protocols.gemini_generate import media, types
from dragoman.protocols.gemini_generate.answer import RESPONSE, AnswerReader
from dragoman.protocols.gemini_generate.finish import write_finish
from dragoman.protocols.gemini_generate.framing import ObjectReader
from dragoman.protocols.gemini_generate.logprobs import write_logprobs
from dragoman.protocols.gemini_generate.parts import arguments_object, response_value, with_own
from dragoman.protocols.gemini_generate.reading import Reader
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID
from dragoman.protocols.gemini_generate.usage import write_usage
from dragoman.wire.errors import FramingError

READER = Reader(types.GenerateContentResponse)
_ENCODER = msgspec.json.Encoder()


def decode_response(body: bytes, origin: Origin) -> Response:
    """An upstream's whole answer, which may be a stream's array. Raises the error that it holds, or
    UpstreamBroken."""
    reader = AnswerReader(origin)
    events: list[Event] = []
    for chunk in _chunks(body):
        events += reader.chunk(READER.upstream(chunk))
    return collect(events + reader.finish())


def _chunks(body: bytes) -> list[bytes]:
    if not body.lstrip().startswith(b"["):
        return [body]
    try:
        return ObjectReader().feed(body)
    except FramingError:
        raise UpstreamBroken("The upstream's answer is not valid JSON.") from None


def encode_response(response: Response, request: Request) -> bytes:
    """The whole answer for a client."""
    body: dict[str, Any] = {}
    candidates = [_candidate(choice) for choice in response.choices if not _blocked(choice)]
    if candidates:
        body["candidates"] = candidates
    finishes = [choice.finish for choice in response.choices]
    body.update(about_answer(finishes, response.usage, response.service_tier))
    body.update(identity(response.id, response.model, response.created))
    return _ENCODER.encode(body)


def _candidate(choice: Choice) -> dict[str, Any]:
    parts = [written for part in choice.parts if (written := write_part(part)) is not None]
    candidate = write_candidate(choice.index, parts, choice.finish or _NATURAL)
    if choice.logprobs:
        known = candidate.get("logprobsResult", {})
        candidate["logprobsResult"] = {**write_logprobs(choice.logprobs), **known}
    return candidate


_NATURAL = Finish(reason=FinishReason.STOP)


def _blocked(choice: Choice) -> bool:
    """Google answers a refused prompt with ``promptFeedback`` and no candidates."""
    return not choice.parts and is_block(choice.finish)


def is_block(finish: Finish | None) -> bool:
    """Whether ``finish`` says that the prompt was refused, in Google's own words."""
    feedback = _answer_fields(finish).get("promptFeedback")
    return isinstance(feedback, dict) and "blockReason" in feedback


def write_candidate(index: int, parts: list[Json], finish: Finish | None) -> dict[str, Any]:
    """One candidate, whole or as far as a chunk brings it."""
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = write_finish(finish)
        own = own_extensions(finish.extensions, PROTOCOL_ID)
        for name, value in own.items():
            if name == "content":
                candidate["content"].update(value)
            elif name != RESPONSE:
                candidate[name] = value
    return candidate


def about_answer(
    finishes: list[Finish | None], usage: Usage | None, service_tier: str | None
) -> dict[str, Any]:
    """What stands beside the candidates and is known at the end."""
    fields: dict[str, Any] = {}
    for finish in finishes:
        fields.update(_answer_fields(finish))
    counts = fields.pop("usageMetadata", {})
    if usage is not None:
        counts = write_usage(usage, counts)
    if service_tier is not None:
        (counts if usage is not None else fields)["serviceTier"] = service_tier
    if counts:
        fields["usageMetadata"] = counts
    return fields


def identity(response_id: str, model: str, created: int | None) -> dict[str, Any]:
    """The fields that every chunk repeats."""
    fields: dict[str, Any] = {}
    if model:
        fields["modelVersion"] = model
    if created is not None and (time := _time(created)) is not None:
        fields["createTime"] = time
    if response_id:
        fields["responseId"] = response_id
    return fields


def write_part(part: Part) -> dict[str, Json] | None:
    """One part of an answer; None for what this protocol cannot show."""
    written: dict[str, Json] = {}
    match part:
        case Text() | Refusal():
            written = {"text": part.text}
        case Reasoning():
            written = {"thought": True} if part.redacted else {"text": part.text, "thought": True}
            if part.signature is not None:
                written["thoughtSignature"] = for_client(part.signature, PROTOCOL_ID)
        case ToolCall():
            args, _ = arguments_object(part)
            call: dict[str, Json] = {"name": part.name, "args": args}
            written = {"functionCall": {"id": part.id, **call} if part.id else call}
            if part.signature is not None:
                written["thoughtSignature"] = for_client(part.signature, PROTOCOL_ID)
        case Media():
            # Whose file it is cannot matter here: the client can but look at its name.
            shown = media.to_wire(part, {media.OURS: True})
            assert shown is not None
            written = shown
        case ToolResult():
            written = {"functionResponse": _result(part)}
        case Opaque():
            return part.value if part.protocol == PROTOCOL_ID else None
    return with_own(written, part)


def _result(part: ToolResult) -> dict[str, Json]:
    text = "\n".join(item.text for item in part.content if isinstance(item, Text))
    shown = [write_part(item) for item in part.content if not isinstance(item, Text)]
    result = {"name": part.name or "", "response": response_value(part, text)}
    if part.call_id:
        result["id"] = part.call_id
    if nested := [item for item in shown if item is not None]:
        result["parts"] = nested
    return result


def _answer_fields(finish: Finish | None) -> dict[str, Json]:
    own = own_extensions(finish.extensions, PROTOCOL_ID) if finish is not None else {}
    fields = own.get(RESPONSE)
    return dict(fields) if isinstance(fields, dict) else {}


def _time(created: int) -> str | None:
    try:
        return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None
