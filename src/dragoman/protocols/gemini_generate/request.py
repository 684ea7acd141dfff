"""A client's request: parse, decode, and forward untouched."""

from __future__ import annotations

import hashlib

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json, Part, Reasoning, Text
from dragoman.canonical.request import Message, Request, Role, StreamOptions
from dragoman.canonical.signature import Signature, carries_sealed, unseal
from dragoman.protocols.base import Encoded, ModelProfile, Parsed, Target
from dragoman.protocols.gemini_generate import settings, tools, types
from dragoman.protocols.gemini_generate.parts import own_fields, read_part
from dragoman.protocols.gemini_generate.reading import Reader, rest
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID, several
from dragoman.protocols.gemini_generate.upstream_request import encode_request

_READER = Reader(types.GenerateContentRequest)
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_URL_SAFE = str.maketrans("-_", "+/")
_READ = frozenset(
    (
        *("model", "stream", "contents", "system_instruction", "tools", "tool_config"),
        *("generation_config", "service_tier"),
    )
)


def parse_request(body: bytes, target: Target) -> Parsed:
    """Read a body just far enough to route it. Raises InvalidRequest."""
    wire = _READER.client(body)
    model = require_model(target)
    if not several(wire.contents):
        raise InvalidRequest("contents must not be empty.", param="contents")
    config = wire.generation_config
    return Parsed(
        body=body,
        wire=wire,
        model=model,
        stream=bool(target.stream or wire.stream),
        include_usage=True,
        max_output_tokens=None if config is None else config.max_output_tokens,
        answers=1 if config is None else config.candidate_count or 1,
        target=target,
    )


def require_model(target: Target) -> str:
    """The model of the path. Raises InvalidRequest if there is none."""
    if not target.model:
        raise InvalidRequest("The path names no model: models/{model}:…", param="model")
    return target.model


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's own bytes: the model stands in the path, and usage always comes.

    Signatures of other vendors, which the client carries sealed, must not reach Google: such a request
    is written anew.
    """
    if carries_sealed(parsed.body):
        return encode_request(decode_request(parsed), profile)
    if parsed.wire.stream is None:
        return Encoded(body=parsed.body)
    # Google knows no such field; the path says it.
    fields = _RAW.decode(parsed.body)
    del fields["stream"]
    return Encoded(body=msgspec.json.encode(fields))


def decode_request(parsed: Parsed) -> Request:
    """The canonical form. Raises InvalidRequest."""
    request = decode_wire(parsed.wire, parsed.model)
    request.stream = parsed.stream
    request.stream_options = StreamOptions(include_usage=True, framing=parsed.target.framing)
    return request


def decode_wire(wire: types.GenerateContentRequest, model: str) -> Request:
    """As ``decode_request``, without the wishes about streaming."""
    messages = _messages(wire)
    config = wire.generation_config or types.GenerationConfig()
    request = Request(
        model=model,
        messages=messages,
        tools=tools.read_tools(wire.tools),
        settings=settings.read_settings(config),
        output=settings.read_output(config),
        reasoning=settings.read_reasoning(config.thinking_config),
    )
    request.settings.service_tier = wire.service_tier
    own = rest(wire, _READ)
    if left := settings.rest_of_config(config):
        own["generationConfig"] = left
    if (
        config.response_schema is not None
        and config.response_json_schema is None
        and request.output
    ):
        own[settings.ORIGINAL_SCHEMA] = config.response_schema
    if wire.tool_config is not None and (left := _tool_config(wire.tool_config, request)):
        own["toolConfig"] = left
    if own:
        request.extensions = {PROTOCOL_ID: own}
    return request


def _tool_config(config: types.ToolConfig, request: Request) -> dict[str, Json]:
    left = rest(config, frozenset(("function_calling_config",)))
    calling = config.function_calling_config
    if calling is not None:
        request.tool_choice = tools.read_choice(calling)
        if unknown := tools.rest_of_choice(calling):
            left["functionCallingConfig"] = unknown
    return left


def _messages(wire: types.GenerateContentRequest) -> list[Message]:
    ids = _CallIds()
    messages: list[Message] = []
    system = wire.system_instruction
    if isinstance(system, str):
        system = types.Content(parts=types.Part(text=system))
    if system is not None and (message := _message(system, "system", ids)) is not None:
        messages.append(message)
    for content in several(wire.contents):
        role: Role = "assistant" if content.role == "model" else "user"
        last = messages[-1] if messages and messages[-1].role == role else None
        if role == "assistant" and last is None:
            ids.next_turn()
        message = _message(content, role, ids)
        if message is None:
            continue
        if last is not None and message.extensions is None:
            last.parts += message.parts
        else:
            messages.append(message)
    for message in messages:
        if message.role == "assistant":
            message.parts = _joined(message.parts)
    if not any(message.role != "system" for message in messages):
        raise InvalidRequest("contents must not be empty.", param="contents")
    return messages


def _message(content: types.Content, role: Role, ids: _CallIds) -> Message | None:
    parts: list[Part] = []
    for wire_part in several(content.parts):
        part = read_part(wire_part, ids, client_signature)
        if part is not None:
            parts.append(part)
    left = rest(content, frozenset(("role", "parts")))
    if not parts:
        return None
    return Message(role=role, parts=parts, extensions={PROTOCOL_ID: left} if left else None)


def _joined(parts: list[Part]) -> list[Part]:
    """Texts and thoughts that a stream cut in pieces, as one again.

    Google's SDKs keep a streamed answer as one content per chunk. A thought's signature proves the
    whole text to other vendors; Google's own must stay on the very part that it came with.
    """
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, Text) and isinstance(last, Text):
            if part.extensions is None and last.extensions is None:
                last.text += part.text
                continue
        elif isinstance(part, Reasoning) and isinstance(last, Reasoning):
            signature = part.signature
            foreign = signature is None or not signature.belongs_to(PROTOCOL_ID)
            if foreign and last.signature is None and _unadorned(last) and _unadorned(part):
                last.text += part.text
                last.signature = signature
                last.extensions = part.extensions
                continue
        joined.append(part)
    return joined


def _unadorned(part: Reasoning) -> bool:
    return not part.redacted and not own_fields(part.extensions)


def client_signature(value: str) -> Signature:
    """A signature that a client sent back.

    Google's Python SDK holds signatures as bytes and writes them in URL-safe base64, so a sealed one
    may have changed its alphabet on the way.
    """
    standard = value.translate(_URL_SAFE)
    sealed = unseal(standard, PROTOCOL_ID)
    return sealed if sealed.value != standard else unseal(value, PROTOCOL_ID)


class _CallIds:
    """Joins results to calls. Without ids, Google joins them by name and order within a turn."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str]] = []  # (name, id) of the calls that wait for a result

    def next_turn(self) -> None:
        self._open.clear()

    def call(self, call: types.FunctionCall) -> str:
        name = call.name or ""
        call_id = call.id or self._new(name)
        self._open.append((name, call_id))
        return call_id

    def result(self, result: types.FunctionResponse) -> str:
        name = result.name or ""
        for waiting in self._open:
            if waiting[1] == result.id or (not result.id and waiting[0] == name):
                self._open.remove(waiting)
                return waiting[1]
        return result.id or self._new(name)

    def _new(self, name: str) -> str:
        digest = hashlib.blake2s(name.encode(), digest_size=4).hexdigest()
        self._count += 1
        return f"call_{self._count - 1}_{digest}"
