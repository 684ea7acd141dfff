"""Whole answers, both ways."""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import InvalidRequest, UpstreamBroken
from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Response
from dragoman.canonical.signature import Origin, Signature, for_client
from dragoman.protocols.openai_chat import answer_types
from dragoman.protocols.openai_chat.context import merge_missing
from dragoman.protocols.openai_chat.messages import annotations_of, decode_assistant
from dragoman.protocols.openai_chat.parts import Sign, Wire, image_url, leftovers
from dragoman.protocols.openai_chat.reasoning import (
    encode_detail,
    is_detail,
    needs_details,
    reasoning_text,
)
from dragoman.protocols.openai_chat.request import uses_functions
from dragoman.protocols.openai_chat.tools import call_wire, made_up_id
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.custom_tools import custom_names, restore
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.openai_shared.finish import decode_finish, finish_word, native_reason
from dragoman.protocols.openai_shared.usage import (
    decode_usage,
    encode_usage,
    unknown_usage,
)
from dragoman.protocols.wire_json import is_there, read_upstream

_COMPLETION = msgspec.json.Decoder(answer_types.Completion)
_GLANCE = msgspec.json.Decoder(answer_types.Glance)
_ANY = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode


def decode_response(body: bytes, origin: Origin) -> Response:
    """Read an upstream's answer. Raises the error it holds, or UpstreamBroken."""
    wire = read_upstream(body, _COMPLETION)
    raw: Wire = read_upstream(body, _ANY)
    for holder in (raw, *(raw.get("choices") or ())):
        if (error := error_in(holder)) is not None:
            raise error
    if not wire.choices:
        raise UpstreamBroken("The upstream's answer holds no choices.")
    response = Response(
        id=wire.id or "",
        model=wire.model or "",
        created=int(wire.created) if wire.created else None,
        service_tier=wire.service_tier,
        usage=decode_usage(wire.usage) if wire.usage is not None else None,
    )
    response.choices = [
        _decode_choice(choice, wire.choices[i], i, response, sign_as(origin))
        for i, choice in enumerate(raw["choices"])
    ]
    usage = unknown_usage(raw.get("usage") or {})
    for field in (*answer_types.Completion.__struct_fields__, "object"):
        raw.pop(field, None)
    if usage:
        raw["usage"] = usage
    response.extensions = leftovers(raw)
    return response


def glance_response(body: bytes, origin: Origin) -> Response:
    """What forwarding needs of an answer. Raises as ``decode_response``, a tenth of whose time it
    takes."""
    wire = read_upstream(body, _GLANCE)
    doubtful = is_there(wire.error) or is_there(wire.base_resp) or not wire.choices
    if doubtful or any(is_there(choice.error) for choice in wire.choices or ()):
        return decode_response(body, origin)
    return Response(
        model=wire.model or "",
        choices=[
            Choice(index=index, finish=decode_finish(choice.finish_reason or "stop"))
            for index, choice in enumerate(wire.choices or ())
        ],
        usage=decode_usage(wire.usage) if wire.usage is not None else None,
    )


def sign_as(origin: Origin) -> Sign:
    """How signatures in an answer of ``origin`` are marked."""
    return lambda value: Signature(value, origin)


def _decode_choice(
    wire: Wire, typed: answer_types.Choice, position: int, response: Response, sign: Sign
) -> Choice:
    index = typed.index if typed.index is not None else position
    message: Wire = wire.pop("message")
    message.pop("role", None)
    call_id = made_up_id(response.id, response.created, index)
    try:
        parts = decode_assistant(message, f"choices.{position}.message", sign, call_id)
    except InvalidRequest as error:
        raise UpstreamBroken(f"The upstream's answer lacks '{error.param}'.") from None
    finish = decode_finish(
        typed.finish_reason or "stop",
        native=typed.native_finish_reason,
        stop=typed.stop_reason,
        tool_calls=any(isinstance(part, ToolCall) for part in parts),
    )
    logprobs = wire.pop("logprobs", None) or {}
    content = logprobs.pop("content", None)
    if more := {field: value for field, value in logprobs.items() if value is not None}:
        wire["logprobs"] = more
    if finish.stop_sequence is not None:
        del wire["stop_reason"]
    for field in ("index", "finish_reason", "native_finish_reason", "error"):
        wire.pop(field, None)
    if rest := leftovers(message):
        wire["message"] = rest[PROTOCOL_ID]
    return Choice(
        index=index,
        parts=parts,
        finish=finish,
        logprobs=content or None,
        extensions=leftovers(wire),
    )


def encode_response(response: Response, request: Request) -> bytes:
    """Write the answer to a client's ``request``."""
    view = View(request)
    wire: Wire = {
        "id": response.id,
        "object": "chat.completion",
        "created": response.created or 0,
        "model": response.model or request.model,
        "choices": [_encode_choice(choice, view) for choice in response.choices],
    }
    if response.usage is not None:
        wire["usage"] = encode_usage(response.usage)
    if response.service_tier is not None:
        wire["service_tier"] = response.service_tier
    merge_missing(wire, own_extensions(response.extensions, PROTOCOL_ID))
    return _encode(wire)


class View:
    """How the client of a request wants to see its answer: which tools it declared as custom,
    whether in the old ``functions`` form, and whether it asked not to see reasoning."""

    __slots__ = ("custom", "hides_reasoning", "legacy")

    def __init__(self, request: Request) -> None:
        self.custom = custom_names(request)
        self.legacy = uses_functions(request.extensions)
        self.hides_reasoning = request.reasoning is not None and request.reasoning.visible is False


def _encode_choice(choice: Choice, view: View) -> Wire:
    calls = [restore(part, view.custom) for part in choice.parts if isinstance(part, ToolCall)]
    wire: Wire = {"index": choice.index, "message": _encode_message(choice.parts, calls, view)}
    if choice.logprobs is not None:
        wire["logprobs"] = {"content": choice.logprobs}
    word = finish_word(choice.finish, bool(calls))
    wire["finish_reason"] = "function_call" if view.legacy and word == "tool_calls" else word
    if (native := native_reason(choice.finish)) is not None:
        wire["native_finish_reason"] = native
    if choice.finish is not None and choice.finish.stop_sequence is not None:
        wire["stop_reason"] = choice.finish.stop_sequence
    merge_missing(wire, own_extensions(choice.extensions, PROTOCOL_ID))
    if wire.setdefault("logprobs", None) is not None:
        wire["logprobs"] = {"content": None, "refusal": None, **wire["logprobs"]}
    return wire


def _encode_message(parts: list[Part], calls: list[ToolCall], view: View) -> Wire:
    message: Wire = {
        "role": "assistant",
        "content": _encode_content(parts),
        "refusal": "".join(p.text for p in parts if isinstance(p, Refusal)) or None,
    }
    if not view.hides_reasoning:
        _encode_reasoning(parts, message)
    if annotations := annotations_of([p for p in parts if isinstance(p, Text)]):
        message["annotations"] = annotations
    for part in parts:
        if isinstance(part, Media) and part.kind == "audio":
            message["audio"] = audio_wire(part)
    if images := [wire for part in parts if (wire := answer_image(part)) is not None]:
        message["images"] = images
    if calls and view.legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [call_wire(call, proof(call.signature)) for call in calls]
    return message


def proof(signature: Signature | None) -> str | None:
    """A signature as the client should carry it."""
    return for_client(signature, PROTOCOL_ID) if signature is not None else None


def _encode_content(parts: list[Part]) -> Json:
    """One string, which is all the SDKs know; a list only if the answer came with parts that nothing
    else can hold."""
    content = [p for p in parts if isinstance(p, Text) or (_is_own(p) and not is_detail(p))]
    if all(isinstance(part, Text) for part in content):
        return "".join(p.text for p in content if isinstance(p, Text)) or None
    return [
        {"type": "text", "text": p.text} if isinstance(p, Text) else p.value
        for p in content
        if isinstance(p, Text | Opaque)
    ]


def _is_own(part: Part) -> bool:
    return isinstance(part, Opaque) and part.protocol == PROTOCOL_ID


def _encode_reasoning(parts: list[Part], message: Wire) -> None:
    reasoning = [
        p for p in parts if isinstance(p, Reasoning) or (isinstance(p, Opaque) and is_detail(p))
    ]
    if text := reasoning_text(reasoning):
        message["reasoning_content"] = text
    if reasoning and needs_details(reasoning):
        message["reasoning_details"] = [
            encode_detail(p, i, proof(p.signature) if isinstance(p, Reasoning) else None)
            for i, p in enumerate(reasoning)
        ]


def audio_wire(part: Media) -> Wire:
    """``audio`` of an answer; the SDK demands all four fields."""
    own = own_extensions(part.extensions, PROTOCOL_ID)
    return {"id": "audio", "expires_at": 0, "transcript": "", **own, "data": part.data or ""}


def answer_image(part: Part) -> Wire | None:
    """One of ``images``, OpenRouter's way of answering with pictures."""
    return image_url(part) if isinstance(part, Media) and part.kind == "image" else None
