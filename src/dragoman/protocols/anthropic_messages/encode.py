"""Canonical request → the body of ``POST /v1/messages``.

Quirks this codec understands (``ModelProfile.quirks``):

- ``reasoning_style``: ``budget`` (default; ``thinking.budget_tokens``) or ``effort`` (adaptive thinking
  with ``output_config.effort``); ``efforts``: the effort words the model knows, default all five.
- ``thinking_display`` (True): the model takes ``thinking.display``.
- ``unsigned_thinking`` (False): thinking without a signature is accepted (compatible servers that do
  not check it, and miss it in tool loops).
- ``json_schema`` (True): ``output_config.format`` is known; else the schema goes into the system prompt.
- ``strict_tools`` (True): ``strict`` on tools is known.
- ``system_messages`` (False): system messages are accepted after a user turn.
- ``exclusive_sampling`` (False): ``temperature`` and ``top_p`` may not be sent together.
"""

from __future__ import annotations

from typing import Any

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Json, own_extensions
from dragoman.canonical.request import OutputFormat, Request
from dragoman.protocols.anthropic_messages.blocks import JSON
from dragoman.protocols.anthropic_messages.parts import PartEncoder, WireBlock, cache_control
from dragoman.protocols.anthropic_messages.schema import closed_schema
from dragoman.protocols.anthropic_messages.settings import encode_settings, output_limit
from dragoman.protocols.anthropic_messages.thinking import encode_thinking
from dragoman.protocols.anthropic_messages.tools import (
    encode_tool_choice,
    encode_tools,
    tool_names,
)
from dragoman.protocols.anthropic_messages.turns import Turns
from dragoman.protocols.anthropic_messages.types import (
    BETAS,
    BILLING_HEADER,
    OLD_VERSION,
    PROTOCOL_ID,
)
from dragoman.protocols.base import Encoded, ModelProfile

_OBJECT_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."
_SCHEMA_ONLY = (
    "Answer with one JSON document that is valid against this JSON Schema, and nothing else: no "
    "prose, no code fence.\n"
)

_COUNTED = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "context_management",
        "mcp_servers",
        "speed",
    }
)
"""What ``/v1/messages/count_tokens`` takes (``anthropic.types.message_count_tokens_params``)."""


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The upstream body, always for API version 2023-06-01, which takes sampling settings.

    Raises InvalidRequest only for a request nested too deeply to be written.
    """
    return _encode(request, profile, counting=False)


def encode_count(request: Request, profile: ModelProfile) -> Encoded:
    """As ``encode_request``, for ``/v1/messages/count_tokens``."""
    return _encode(request, profile, counting=True)


def _encode(request: Request, profile: ModelProfile, *, counting: bool) -> Encoded:
    notes = Notes()
    try:
        document = _document(request, profile, notes)
        if counting:
            document = {field: value for field, value in document.items() if field in _COUNTED}
        body = JSON.encode(document)
    except RecursionError:
        raise InvalidRequest("The request is nested too deeply.") from None
    headers = {"anthropic-version": OLD_VERSION}
    betas = own_extensions(request.extensions, PROTOCOL_ID).get(BETAS)
    if isinstance(betas, list) and betas:
        headers[BETAS] = ",".join(str(beta) for beta in betas)
    return Encoded(body=body, notes=notes.items, headers=headers)


def _document(request: Request, profile: ModelProfile, notes: Notes) -> dict[str, Any]:
    notes.foreign("", request.extensions, PROTOCOL_ID)
    extras = dict(own_extensions(request.extensions, PROTOCOL_ID))
    for field in [field for field, value in extras.items() if value is None]:
        notes.renamed(field, "a null says as much as nothing")
        del extras[field]
    encoder = PartEncoder(profile, notes, tool_names(request))
    turns = Turns(profile, encoder, notes)
    for index, message in enumerate(request.messages):
        turns.add(index, message)
    turns.finish()
    tools = encode_tools(request, profile, encoder, notes)
    thinking = encode_thinking(
        request.reasoning,
        profile,
        asked_tokens=request.settings.max_output_tokens,
        max_tokens=output_limit(request, profile, notes),
        mid_loop=turns.mid_loop,
        notes=notes,
    )
    thinking.config = _completed("thinking", thinking.config, extras, notes)
    output_format, instruction = _output(request.output, profile, notes)
    system = [*_billing(extras), *turns.system, *instruction]
    choice = encode_tool_choice(
        request,
        profile,
        has_tools=bool(tools),
        thinking=thinking.on,
        encoder=encoder,
        notes=notes,
    )
    settings = encode_settings(request, profile, thinking=thinking.on, notes=notes)
    metadata = {**settings.pop("metadata", {}), **_taken(extras, "metadata")}
    extras.pop(BETAS, None)
    optional: dict[str, Any] = {
        "system": system or None,
        "tools": tools or None,
        "tool_choice": _completed("tool_choice", choice, extras, notes),
        "thinking": thinking.config,
        "output_config": _output_config(thinking.effort, output_format, extras, notes),
        "cache_control": None if request.cache is None else cache_control(request.cache),
        "metadata": metadata or None,
        "stream": request.stream or None,
    }
    return {
        "model": profile.model or request.model,
        "max_tokens": thinking.max_tokens,
        "messages": turns.messages,
        **{field: value for field, value in optional.items() if value is not None},
        **settings,
        **extras,
    }


def _billing(extras: dict[str, Json]) -> list[WireBlock]:
    block = extras.pop(BILLING_HEADER, None)
    return [block] if isinstance(block, dict) else []


def _taken(extras: dict[str, Json], field: str) -> dict[str, Any]:
    """A copy of what ``extras`` adds to an object of the body; it is used up."""
    extra = extras.pop(field, None)
    return dict(extra) if isinstance(extra, dict) else {}


def _completed(
    field: str, computed: dict[str, Any] | None, extras: dict[str, Json], notes: Notes
) -> dict[str, Any] | None:
    """``computed`` with the fields ``extras`` adds to it; they mean nothing without a ``type``."""
    extra = _taken(extras, field)
    merged = {**(computed or {}), **extra}
    if extra and "type" not in merged:
        notes.dropped(field, "what it belongs to is not sent")
        return None
    return merged or None


def _output_config(
    effort: str | None,
    output_format: dict[str, Any] | None,
    extras: dict[str, Json],
    notes: Notes,
) -> dict[str, Any] | None:
    config = _taken(extras, "output_config")
    output_format = _completed("format", output_format, config, notes)
    if output_format is not None:
        config["format"] = output_format
    if effort is not None:
        config["effort"] = effort
    return config or None


def _output(
    output: OutputFormat | None, profile: ModelProfile, notes: Notes
) -> tuple[dict[str, Any] | None, list[WireBlock]]:
    """``output_config.format``, and the system text that stands for what it cannot say."""
    if output is None:
        return None, []
    if "output" in profile.drops:
        notes.dropped("output", "the provider refuses it")
        return None, []
    if output.kind == "text":
        notes.renamed("output", "text is what is always written")
        return None, []
    if output.kind == "json_object" or output.schema is None:
        notes.emulated("output", "asked for in the system prompt")
        return None, [{"type": "text", "text": _OBJECT_ONLY}]
    schema = _titled(output)
    if not profile.quirks.get("json_schema", True):
        notes.emulated("output", "asked for in the system prompt")
        return None, [{"type": "text", "text": _SCHEMA_ONLY + JSON.encode(schema).decode()}]
    if schema is not output.schema:
        notes.renamed("output", "its name and description stand in the schema")
    if output.strict is not None:
        notes.renamed("output.strict", "the schema is always kept to")
    compiled, lost = closed_schema(schema)
    if lost:
        notes.clamped("output", f"only advice now: {', '.join(lost)}")
    elif compiled != schema:
        notes.renamed("output.schema", "in the words the grammar knows")
    return {"type": "json_schema", "schema": compiled}, []


def _titled(output: OutputFormat) -> dict[str, Any]:
    """The schema, with the format's name and description where it has none of its own."""
    schema = output.schema or {}
    names = {"title": output.name, "description": output.description}
    more = {field: text for field, text in names.items() if text and field not in schema}
    return {**schema, **more} if more else schema
