"""A client's body → the canonical request, or the same body again for an upstream of this protocol.

Source: ``anthropic.types.message_create_params`` and its beta; headers of Claude Code 2.1 and the SDKs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, Part, Reasoning, Text, ToolCall
from dragoman.canonical.request import Message, OutputFormat, Request
from dragoman.canonical.signature import Signature, carries_sealed, unseal
from dragoman.protocols.anthropic_messages.blocks import (
    JSON,
    MissingField,
    decode_block,
    decode_cache,
    own,
)
from dragoman.protocols.anthropic_messages.encode import encode_request
from dragoman.protocols.anthropic_messages.settings import decode_settings
from dragoman.protocols.anthropic_messages.thinking import decode_thinking
from dragoman.protocols.anthropic_messages.tools import decode_tool, decode_tool_choice
from dragoman.protocols.anthropic_messages.types import (
    BETAS,
    BILLING_HEADER,
    NEW_VERSION,
    OBJECT,
    OLD_VERSION,
    PROTOCOL_ID,
    FormatIn,
    MessageIn,
    MetadataIn,
    RequestIn,
    field_names,
    leftovers,
)
from dragoman.protocols.base import Encoded, ModelProfile, Parsed, Target
from dragoman.protocols.wire_json import read_client

_REQUEST = msgspec.json.Decoder(RequestIn)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

_KNOWN = field_names(RequestIn)
_MESSAGE = field_names(MessageIn)
_FORMAT = field_names(FormatIn)
_OUTPUT_CONFIG = frozenset({"effort"})
_ROLES = frozenset({"system", "user", "assistant"})

_UNSIGNED = (b'"signature":""', b'"signature": ""')
_SAMPLING = ("temperature", "top_p", "top_k")
_FIELD_OF_SETTING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
    "service_tier": "service_tier",
}


def parse_request(body: bytes, target: Target) -> Parsed:
    """Check a body and read what routing needs. Raises InvalidRequest that names the field."""
    wire = read_client(body, _REQUEST)
    if not wire.model:
        raise InvalidRequest("A model must be named.", param="model")
    if not wire.messages:
        raise InvalidRequest("There must be at least one message.", param="messages")
    return Parsed(
        body=body,
        wire=wire,
        model=wire.model,
        stream=bool(wire.stream),
        include_usage=True,
        max_output_tokens=wire.max_tokens,
        target=target,
        session=_session(wire.metadata),
    )


def _session(metadata: MetadataIn | None) -> str:
    """Claude Code puts its session into the user's id; a mere user has many conversations."""
    user = metadata.user_id if metadata is not None else None
    return user if user and "session" in user else ""


def decode_request(parsed: Parsed) -> Request:
    """The canonical request. Raises InvalidRequest for a block that lacks a field its type needs."""
    document = read_client(parsed.body, OBJECT)
    try:
        return _request(document, parsed.target)
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None


def decode_count(body: bytes, target: Target) -> Request:
    """The request of ``/v1/messages/count_tokens``: the same, without limits."""
    return decode_request(parse_request(body, target))


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's bytes with its version and betas; only the model's name is changed, and sampling
    settings go that the client's own API version refuses (langchain sends them nevertheless).

    A body with thinking that other providers made is translated instead, because the API refuses a
    conversation with thinking it did not sign.
    """
    if _has_foreign_thinking(parsed.body, profile):
        return encode_request(decode_request(parsed), profile)
    notes = Notes()
    refused = _refused(parsed, profile, notes)
    body = parsed.body
    if refused or (profile.model and profile.model != parsed.model):
        fields = read_client(body, _FIELDS)
        fields["model"] = msgspec.Raw(JSON.encode(profile.model or parsed.model))
        for field in refused:
            fields.pop(field, None)
        body = JSON.encode(fields)
    headers = {"anthropic-version": parsed.target.version or OLD_VERSION}
    if parsed.target.betas:
        headers[BETAS] = ",".join(parsed.target.betas)
    return Encoded(body=body, notes=notes.items, headers=headers)


def _has_foreign_thinking(body: bytes, profile: ModelProfile) -> bool:
    """Whether ``body`` may hold thinking whose signature is sealed or, as ``response`` writes that of
    models which sign nothing, empty."""
    if carries_sealed(body):
        return True
    unsigned = any(mark in body for mark in _UNSIGNED)
    return unsigned and not profile.quirks.get("unsigned_thinking")


def _refused(parsed: Parsed, profile: ModelProfile, notes: Notes) -> list[str]:
    """The wire fields that must go, each with a note. Versions are ISO dates and compare as text."""
    wire: RequestIn = parsed.wire
    strict_version = (parsed.target.version or OLD_VERSION) >= NEW_VERSION
    refused: list[str] = []
    for setting, field in _FIELD_OF_SETTING.items():
        value = getattr(wire, field)
        if value is msgspec.UNSET or (value is None and field not in _SAMPLING):
            continue
        if strict_version and field in _SAMPLING:
            notes.dropped(f"settings.{setting}", f"API version {parsed.target.version} refuses it")
        elif setting in profile.drops:
            notes.dropped(f"settings.{setting}", "the provider refuses it")
        else:
            continue
        refused.append(field)
    return refused


def _request(document: dict[str, Any], target: Target) -> Request:
    extras: dict[str, Json] = leftovers(document, _KNOWN)
    messages = _messages(document, extras)
    settings, metadata = decode_settings(document)
    output_config = document.get("output_config") or {}
    if document.get("output_format") and not output_config.get("format"):
        output_config = {**output_config, "format": document["output_format"]}  # as betas had it
    output = _output(output_config)
    reasoning, thinking = decode_thinking(document.get("thinking"), output_config.get("effort"))
    choice, parallel, choice_rest = decode_tool_choice(document.get("tool_choice"))
    nested = {
        "metadata": metadata,
        "thinking": thinking,
        "tool_choice": choice_rest,
        "output_config": _output_rest(output_config, output),
        BETAS: list(target.betas),
    }
    extras |= {field: value for field, value in nested.items() if value}
    return Request(
        model=document["model"],
        messages=messages,
        tools=[
            decode_tool(tool, f"tools.{index}")
            for index, tool in enumerate(document.get("tools") or [])
        ],
        tool_choice=choice,
        parallel_tool_calls=parallel,
        settings=settings,
        output=output,
        reasoning=reasoning,
        stream=bool(document.get("stream")),
        cache=decode_cache(document.get("cache_control")),
        extensions=own(extras),
    )


def _messages(document: dict[str, Any], extras: dict[str, Json]) -> list[Message]:
    """``system`` and ``messages`` as one list. The billing block goes into ``extras``."""
    messages: list[Message] = []
    system = document.get("system")
    if isinstance(system, list) and system and _is_billing(system[0]):
        extras[BILLING_HEADER] = system[0]
        system = system[1:]
    if system:
        messages.append(Message(role="system", parts=_parts(system, "system")))
    for index, item in enumerate(document["messages"]):
        message = _message(item, f"messages.{index}")
        before = messages[-1] if messages else None
        if (
            message.role == "system"
            and message.extensions is None
            and before is not None
            and len(messages) == 1
            and before.role == "system"
            and before.extensions is None
        ):
            # There is no telling apart what stands before the first turn.
            before.parts += message.parts
        else:
            messages.append(message)
    return messages


def _is_billing(block: dict[str, Any]) -> bool:
    text = block.get("text")
    return isinstance(text, str) and text.startswith(BILLING_HEADER) and "\n" not in text


def _message(item: dict[str, Any], path: str) -> Message:
    role = item["role"]
    if role not in _ROLES:
        raise InvalidRequest("A message's role is user, assistant or system.", param=f"{path}.role")
    content = item.get("content")
    if content is None and role != "system":
        raise InvalidRequest("A message needs content.", param=f"{path}.content")
    return Message(
        role=role,
        parts=_parts(content or [], f"{path}.content"),
        extensions=own(leftovers(item, _MESSAGE)),
    )


def _parts(content: str | list[dict[str, Any]], path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(text=content)]
    parts: list[Part] = []
    for index, block in enumerate(content):
        try:
            part = decode_block(block, _unseal)
        except MissingField as error:
            where = f"{path}.{index}.{error.path}"
            raise InvalidRequest(f"A field is missing, at '{where}'.", param=where) from None
        if isinstance(part, ToolCall) and parts and _signs_a_call(parts[-1]):
            part.signature = parts.pop().signature  # type: ignore[union-attr]
        parts.append(part)
    return parts


def _signs_a_call(part: Part) -> bool:
    """Whether ``part`` is the redacted thinking that ``response`` puts before a signed tool call of
    another provider (Gemini's), for which no block of this protocol has a place."""
    return (
        isinstance(part, Reasoning)
        and part.redacted
        and part.signature is not None
        and part.signature.origin.protocol != PROTOCOL_ID
    )


def _unseal(value: str) -> Signature:
    return unseal(value, PROTOCOL_ID)


def _output(config: dict[str, Any]) -> OutputFormat | None:
    wanted = config.get("format")
    if not wanted or wanted["type"] != "json_schema":
        return None
    return OutputFormat(kind="json_schema", schema=wanted.get("schema"))


def _output_rest(config: dict[str, Any], output: OutputFormat | None) -> dict[str, Json]:
    """What is left over of ``output_config``, its ``format`` included."""
    rest = leftovers(config, _OUTPUT_CONFIG)
    wanted = rest.pop("format", None)
    more = leftovers(wanted, _FORMAT) if wanted and output is not None else wanted
    if more:
        rest["format"] = more
    return rest
