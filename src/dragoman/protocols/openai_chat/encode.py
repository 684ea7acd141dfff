"""The canonical request as a Chat Completions body for an upstream."""

from __future__ import annotations

import msgspec

from dragoman.canonical.parts import own_extensions
from dragoman.canonical.request import OutputFormat, Request
from dragoman.canonical.signature import carries_sealed
from dragoman.protocols.base import Encoded, ModelProfile, Parsed
from dragoman.protocols.openai_chat.context import Context, merge_missing
from dragoman.protocols.openai_chat.encode_messages import encode_messages
from dragoman.protocols.openai_chat.parts import Wire
from dragoman.protocols.openai_chat.reasoning import PARAGRAPH, encode_config
from dragoman.protocols.openai_chat.request import SETTINGS, decode_request
from dragoman.protocols.openai_chat.tools import encode_tools
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.relay import repeat_body

_encode = msgspec.json.Encoder().encode

_SERVICE_TIERS = {"standard_only": "default", "standard": "default"}
"""Anthropic's and Bedrock's words."""


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The body for the upstream, and a note on everything it cannot say as it was said.

    Raises Unavailable if the channel's quirks are not valid.
    """
    context = Context(profile)
    own = own_extensions(request.extensions, PROTOCOL_ID)
    body: Wire = {
        "model": profile.model or request.model,
        "messages": encode_messages(request.messages, context),
    }
    _encode_settings(request, profile, body, context)
    encode_tools(request, body, context)
    if request.output is not None:
        _encode_output(request.output, body, context)
    if request.reasoning is not None:
        if "reasoning" in context.drops:
            context.notes.dropped("reasoning", "refused by this provider")
        else:
            style = context.quirks.reasoning_style or own.get("_reasoning_style", "effort")
            body |= encode_config(request.reasoning, style, context)
    if request.stream:
        body["stream"] = True
        if context.quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
    if request.cache is not None:
        _encode_cache(request, body, context)
    context.notes.foreign("", request.extensions, PROTOCOL_ID)
    merge_missing(body, own)
    return Encoded(body=_encode(body), notes=context.notes.items)


def _encode_settings(request: Request, profile: ModelProfile, body: Wire, context: Context) -> None:
    settings, notes, quirks = request.settings, context.notes, context.quirks
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if value is None:
            continue
        path = f"settings.{name}"
        if name in context.drops:
            notes.dropped(path, "refused by this provider")
        elif name == "max_output_tokens":
            body[quirks.max_tokens_field] = value
            if profile.max_output_tokens is not None and value > profile.max_output_tokens:
                body[quirks.max_tokens_field] = profile.max_output_tokens
                notes.clamped(path, f"the model's ceiling is {profile.max_output_tokens}")
        elif name == "stop":
            body["stop"] = value[: quirks.stop_limit]
            if len(value) > quirks.stop_limit:
                notes.clamped(path, f"only the first {quirks.stop_limit} are sent")
        elif name == "temperature" and quirks.temperature_range is not None:
            lowest, highest = quirks.temperature_range
            body[name] = min(max(value, lowest), highest)
            if body[name] != value:
                notes.clamped(path, f"it may be from {lowest:g} to {highest:g}")
        elif name == "top_k" and not quirks.top_k:
            notes.dropped(path, "this provider does not know it")
        elif name == "service_tier" and value in _SERVICE_TIERS:
            body[name] = _SERVICE_TIERS[value]
            notes.renamed(path, f"{value} is {body[name]} here")
        elif name in SETTINGS:
            body[name] = value


def _encode_output(output: OutputFormat, body: Wire, context: Context) -> None:
    if "output" in context.drops:
        context.notes.dropped("output", "refused by this provider")
        return
    if output.kind != "json_schema":
        body["response_format"] = {"type": output.kind}
        return
    if not context.quirks.json_schema:
        body["response_format"] = {"type": "json_object"}
        context.notes.emulated("output", "the schema is told in a system message")
        _add_instruction(body["messages"], _schema_instruction(output))
        return
    schema: Wire = {"name": output.name or "answer"}
    for field in ("description", "schema", "strict"):
        value = getattr(output, field)
        if value is None:
            continue
        if field == "strict" and "strict" in context.drops:
            context.notes.dropped("output.strict", "refused by this provider")
        else:
            schema[field] = value
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _schema_instruction(output: OutputFormat) -> str:
    about = f"{output.description}\n" if output.description else ""
    schema = _encode(output.schema or {}).decode()
    return f"{about}Answer with one JSON object that is valid against this JSON Schema:\n{schema}"


def _add_instruction(messages: list[Wire], text: str) -> None:
    """Append to the first system message, if the conversation opens with one, else open with one."""
    first = messages[0] if messages else None
    if first is None or first["role"] not in ("system", "developer"):
        messages.insert(0, {"role": "system", "content": text})
    elif isinstance(first["content"], str):
        first["content"] = PARAGRAPH.join(filter(None, (first["content"], text)))
    else:
        first["content"] = [*first["content"], {"type": "text", "text": text}]


def _encode_cache(request: Request, body: Wire, context: Context) -> None:
    """A breakpoint for the whole request: OpenRouter passes it on to Anthropic."""
    if context.quirks.cache_control is True:
        context.cache(body, request.cache, "")
    else:
        context.notes.dropped("cache", "the upstream caches prompts by itself")


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's own bytes, but for the model's name and the wish for usage in a stream.

    A body that carries another provider's sealed signatures is translated instead, because only its
    maker accepts a signature; and so is one for a provider whose quirk ``forwards`` is false.
    """
    if carries_sealed(parsed.body) or not profile.quirks.get("forwards", True):
        return encode_request(decode_request(parsed), profile)
    return Encoded(body=repeat_body(parsed, profile))
