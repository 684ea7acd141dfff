"""Whole answers, both ways, and the log-probabilities of both whole and streamed ones."""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Json, Refusal, Text, own_extensions
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Finish, Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.openai_completions import types
from dragoman.protocols.openai_completions.types import PROTOCOL_ID, Wire
from dragoman.protocols.openai_shared.errors import error_in
from dragoman.protocols.openai_shared.finish import decode_finish, finish_word, native_reason
from dragoman.protocols.openai_shared.usage import decode_usage, encode_usage
from dragoman.protocols.wire_json import read_upstream

_COMPLETION = msgspec.json.Decoder(types.Completion)
_OBJECT = msgspec.json.Decoder(dict[str, Json])
_KNOWN = frozenset({*types.Completion.__struct_fields__, "object"})
_encode = msgspec.json.Encoder().encode


def decode_response(body: bytes, origin: Origin) -> Response:
    """Read an upstream's answer. Raises the error it holds, or UpstreamBroken."""
    wire = read_upstream(body, _COMPLETION)
    raw = read_upstream(body, _OBJECT)
    for holder in (raw, *(raw.get("choices") or ())):
        if (error := error_in(holder)) is not None:
            raise error
    if not wire.choices:
        raise UpstreamBroken("The upstream's answer holds no choices.")
    rest = {f: v for f, v in raw.items() if f not in _KNOWN and v is not None}
    return Response(
        id=wire.id or "",
        model=wire.model or "",
        created=int(wire.created) if wire.created else None,
        service_tier=wire.service_tier,
        usage=decode_usage(wire.usage) if wire.usage is not None else None,
        choices=[_decode_choice(choice, i) for i, choice in enumerate(wire.choices)],
        extensions={PROTOCOL_ID: rest} if rest else None,
    )


def _decode_choice(wire: types.Choice, position: int) -> Choice:
    return Choice(
        index=wire.index if wire.index is not None else position,
        parts=[Text(text=wire.text)] if wire.text else [],
        finish=decode_finish(
            wire.finish_reason or "stop", native=wire.native_finish_reason, stop=wire.stop_reason
        ),
        logprobs=decode_logprobs(wire.logprobs),
    )


def encode_response(response: Response, request: Request) -> bytes:
    """Write the answer to a client's ``request``: its visible text, as there is room for no more."""
    wire: Wire = {
        "id": response.id,
        "object": "text_completion",
        "created": response.created or 0,
        "model": response.model or request.model,
        "choices": [_encode_choice(choice) for choice in response.choices],
    }
    if response.usage is not None:
        wire["usage"] = encode_usage(response.usage)
    if response.service_tier is not None:
        wire["service_tier"] = response.service_tier
    for field, value in own_extensions(response.extensions, PROTOCOL_ID).items():
        wire.setdefault(field, value)
    return _encode(wire)


def _encode_choice(choice: Choice) -> Wire:
    return {
        "text": "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal)),
        "index": choice.index,
        "logprobs": encode_logprobs(choice.logprobs),
        **encode_finish(choice.finish),
    }


def encode_finish(finish: Finish | None) -> Wire:
    """The fields that say why a choice ended. A client without tools knows no ``tool_calls``."""
    word = finish_word(finish, tool_calls=False)
    wire: Wire = {"finish_reason": "stop" if word == "tool_calls" else word}
    if (native := native_reason(finish)) is not None:
        wire["native_finish_reason"] = native
    if finish is not None and finish.stop_sequence is not None:
        wire["stop_reason"] = finish.stop_sequence
    return wire


def decode_logprobs(wire: types.Logprobs | None) -> list[Json] | None:
    """Parallel lists → one object per token, as chat has it; ``text_offset`` comes along."""
    if wire is None or not wire.tokens:
        return None
    chances, offsets = wire.token_logprobs or [], wire.text_offset or []
    alternatives = wire.top_logprobs or []
    found: list[Json] = []
    for i, token in enumerate(wire.tokens):
        others = (alternatives[i] if i < len(alternatives) else None) or {}
        item: Wire = {
            "token": token,
            "logprob": chances[i] if i < len(chances) else None,
            "top_logprobs": [{"token": t, "logprob": chance} for t, chance in others.items()],
        }
        if i < len(offsets):
            item["text_offset"] = offsets[i]
        found.append(item)
    return found


def encode_logprobs(items: list[Json] | None, start: int = 0) -> Wire | None:
    """One object per token → parallel lists; ``start`` is how much text came before."""
    tokens = [item for item in items or () if isinstance(item, dict)]
    if not tokens:
        return None
    wire: dict[str, list[Any]] = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for item in tokens:
        token = str(item.get("token", ""))
        wire["tokens"].append(token)
        wire["token_logprobs"].append(item.get("logprob"))
        others = item.get("top_logprobs")
        wire["top_logprobs"].append(
            {str(o.get("token", "")): o.get("logprob") for o in others if isinstance(o, dict)}
            if isinstance(others, list)
            else {}
        )
        wire["text_offset"].append(item.get("text_offset", start))
        start += len(token)
    return wire
