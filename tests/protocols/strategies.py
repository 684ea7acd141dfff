"""Hypothesis strategies for canonical requests; ``answer_strategies`` has the answers.

Everything generated is something a decoder could have produced: call ids are unique, results answer
calls, signatures have an origin. Texts hold any Unicode but lone surrogates, which JSON cannot carry.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from dragoman.canonical.parts import (
    CacheHint,
    Extensions,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    Tool,
    ToolChoice,
)
from dragoman.canonical.signature import Origin, Signature

PROTOCOL_IDS = (
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "gemini_generate",
    "ollama_chat",
)
PROVIDER = "standin"  # the provider the conformance tests encode for

characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=24)
# Visible, so that no protocol may treat it as blank and leave it out.
words = st.text(characters, min_size=1, max_size=24).filter(lambda text: bool(text.strip()))
names = st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)
ids = st.from_regex(r"call_[A-Za-z0-9]{4,12}", fullmatch=True)

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
encoded = st.binary(min_size=1, max_size=24).map(lambda raw: base64.b64encode(raw).decode())


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None or ``strategy``: what a client may leave unsaid."""
    return st.none() | strategy


def signatures(protocols: Sequence[str] = PROTOCOL_IDS) -> st.SearchStrategy[Signature]:
    """Opaque values from some protocol, from our provider, another, or nobody in particular."""
    origins = st.builds(
        Origin,
        protocol=st.sampled_from(protocols),
        provider=st.sampled_from(["", PROVIDER, "elsewhere"]),
        model=st.just("m"),
    )
    return st.builds(Signature, value=encoded, origin=origins)


extensions: st.SearchStrategy[Extensions] = st.dictionaries(
    st.sampled_from(PROTOCOL_IDS),
    # Not null: on the wire that is the same as leaving the field out.
    st.dictionaries(
        names.map(lambda name: f"x_{name}"),
        json_values.filter(lambda value: value is not None),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
    max_size=2,
)
caches = st.builds(CacheHint, ttl=optional(st.sampled_from(["5m", "1h"])))


def text_parts(content: st.SearchStrategy[str] = words) -> st.SearchStrategy[Text]:
    """Text, sometimes with a cache breakpoint."""
    return st.builds(Text, text=content, cache=optional(caches))


# With the first bytes of their kind: a protocol without a field for it looks there.
_MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBP",
}


@st.composite
def _images(draw: st.DrawFn) -> Media:
    media_type = draw(st.sampled_from(sorted(_MAGIC)))
    data = base64.b64encode(_MAGIC[media_type] + draw(st.binary(min_size=16, max_size=24))).decode()
    return Media(kind="image", media_type=media_type, data=data)


images = _images()


@st.composite
def media(draw: st.DrawFn) -> Media:
    """An image, sound, film or document, inline, by URL, by file id, or as text."""
    kind, media_type = draw(
        st.sampled_from(
            [
                ("image", "image/png"),
                ("image", "image/gif"),
                ("audio", "audio/wav"),
                ("video", "video/mp4"),
                ("document", "application/pdf"),
            ]
        )
    )
    part = Media(kind=kind, media_type=media_type, name=draw(optional(names)))
    match draw(st.sampled_from(["data", "url", "file_id", "text"])):
        case "data":
            part.data = draw(encoded)
        case "url":
            part.url = draw(names.map(lambda name: f"https://files.example/{name}"))
        case "file_id":
            part.file_id = draw(names.map(lambda name: f"file-{name}"))
        case _:
            part.kind, part.media_type, part.text = "document", "text/plain", draw(words)
    if part.kind == "image":
        part.detail = draw(optional(st.sampled_from(["low", "high", "auto"])))
    return part


@st.composite
def tool_calls(draw: st.DrawFn, call_id: str, tools: Sequence[Tool]) -> ToolCall:
    """A call with valid arguments, now and then signed; a custom tool gets free text."""
    tool = draw(st.sampled_from(tools))
    if tool.kind == "custom":
        return ToolCall(id=call_id, name=tool.name, arguments=draw(words), custom=True)
    return ToolCall(
        id=call_id,
        name=tool.name,
        arguments=json.dumps(draw(json_objects), ensure_ascii=draw(st.booleans())),
        signature=draw(optional(signatures())),
    )


@st.composite
def tool_results(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    """What the tool answered to ``call``."""
    content: list[Text | Media | Opaque] = list(draw(st.lists(text_parts(), max_size=2)))
    if draw(st.booleans()):
        content.append(draw(images))
    return ToolResult(
        call_id=call.id,
        name=draw(st.sampled_from([None, call.name])),
        content=content,
        is_error=draw(st.booleans()),
        custom=call.custom,
    )


@st.composite
def reasonings(draw: st.DrawFn) -> Reasoning:
    """Thinking: plain, signed, or encrypted whole."""
    if draw(st.integers(0, 3)) == 0:
        return Reasoning(redacted=True, signature=draw(signatures()))
    return Reasoning(text=draw(words), signature=draw(optional(signatures())))


opaques = st.builds(
    Opaque,
    protocol=st.sampled_from(PROTOCOL_IDS),
    value=st.fixed_dictionaries({"type": names.map(lambda name: f"x_{name}"), "v": json_scalars}),
)

schemas: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    names,
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "enum": ["a", "b"]},
            {"type": "integer", "description": "how many"},
            {"type": "array", "items": {"type": "number"}},
            {"type": "object", "properties": {"deep": {"type": "boolean"}}},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ]
    ),
    min_size=1,
    max_size=3,
).map(
    lambda properties: {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }
)


@st.composite
def tools(draw: st.DrawFn, name: str) -> Tool:
    """A function; now and then a free-text tool or one the provider runs itself."""
    kind = draw(st.sampled_from(["function"] * 6 + ["custom", "hosted"]))
    if kind == "custom":
        return Tool(name=name, kind="custom", description=draw(optional(words)))
    if kind == "hosted":
        owner = draw(st.sampled_from(PROTOCOL_IDS))
        return Tool(name=name, kind="hosted", protocol=owner, config={"type": f"x_{name}"})
    return Tool(
        name=name,
        description=draw(optional(words)),
        parameters=draw(optional(schemas)),
        strict=draw(optional(st.booleans())),
        cache=draw(optional(caches)),
    )


settings = st.builds(
    Settings,
    max_output_tokens=optional(st.integers(16, 100_000)),
    temperature=optional(st.floats(0, 2).map(lambda value: round(value, 3))),
    top_p=optional(st.floats(0.01, 1).map(lambda value: round(value, 3))),
    top_k=optional(st.integers(1, 500)),
    stop=optional(st.lists(words, min_size=1, max_size=6)),
    n=optional(st.integers(1, 3)),
    seed=optional(st.integers(0, 2**31 - 1)),
    presence_penalty=optional(st.floats(-2, 2).map(lambda value: round(value, 3))),
    frequency_penalty=optional(st.floats(-2, 2).map(lambda value: round(value, 3))),
    logit_bias=optional(
        st.dictionaries(
            st.integers(0, 50_000).map(str), st.integers(-100, 100), min_size=1, max_size=2
        )
    ),
    logprobs=optional(st.just(True)),
    modalities=optional(st.just(["text"])),
    verbosity=optional(st.sampled_from(["low", "medium", "high"])),
    service_tier=optional(st.sampled_from(["auto", "default", "flex", "priority"])),
    user=optional(names),
    metadata=optional(st.dictionaries(names, names, min_size=1, max_size=2)),
    store=optional(st.booleans()),
)
outputs = st.sampled_from(
    [OutputFormat(kind="text"), OutputFormat(kind="json_object")]
) | st.builds(
    OutputFormat,
    kind=st.just("json_schema"),
    name=names,
    description=optional(words),
    schema=schemas,
    strict=optional(st.booleans()),
)


@st.composite
def thinking(draw: st.DrawFn) -> ReasoningConfig:
    """How much to think; thinking that is off has no budget and no effort."""
    mode = draw(optional(st.sampled_from(["off", "on", "adaptive"])))
    config = ReasoningConfig(mode=mode)
    if mode != "off":
        efforts = ["minimal", "low", "medium", "high", "xhigh", "max"]
        config.effort = draw(optional(st.sampled_from(efforts if mode else ["none", *efforts])))
        config.visible = draw(optional(st.booleans()))
        config.summary = draw(optional(st.sampled_from(["auto", "concise", "detailed"])))
    if mode == "on":
        config.budget_tokens = draw(optional(st.integers(1024, 30_000)))
    return config


@st.composite
def assistant_turns(draw: st.DrawFn, calls: list[ToolCall]) -> Message:
    """An earlier answer: reasoning, text, refusals or foreign blocks, then ``calls``."""
    parts: list[Part] = list(draw(st.lists(reasonings(), max_size=1)))
    parts += draw(st.lists(text_parts(), min_size=0 if calls else 1, max_size=2))
    parts += draw(st.lists(st.builds(Refusal, text=words) | opaques, max_size=1))
    return Message(role="assistant", parts=[*parts, *calls])


@st.composite
def user_turns(draw: st.DrawFn) -> Message:
    """Text, and what stands beside it."""
    parts: list[Part] = list(draw(st.lists(text_parts(), min_size=1, max_size=2)))
    parts += draw(st.lists(media(), max_size=1))
    if draw(st.integers(0, 5)) == 0:
        parts[0].extensions = draw(extensions)
    return Message(role="user", parts=parts, name=draw(optional(names)))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request."""
    tool_names = draw(st.lists(names, max_size=3, unique=True))
    offered = [draw(tools(name)) for name in tool_names]
    callable_tools = [tool for tool in offered if tool.kind != "hosted"]
    roles = draw(st.lists(st.sampled_from(["system", "developer"]), max_size=2))
    messages = [Message(role=role, parts=[draw(text_parts())]) for role in roles]
    messages.append(draw(user_turns()))
    for _ in range(draw(st.integers(0, 2))):
        wanted = draw(st.lists(ids, max_size=2, unique=True)) if callable_tools else []
        calls = [draw(tool_calls(one, callable_tools)) for one in unused(wanted, messages)]
        messages.append(draw(assistant_turns(calls)))
        messages += [Message(role="tool", parts=[draw(tool_results(call))]) for call in calls]
        messages.append(draw(user_turns()))
    request = Request(
        model="m",
        messages=messages,
        tools=offered,
        settings=draw(settings),
        output=draw(optional(outputs)),
        reasoning=draw(optional(thinking())),
        stream=draw(st.booleans()),
        cache=draw(optional(caches)),
        extensions=draw(optional(extensions)),
    )
    functions = [tool.name for tool in request.tools if tool.kind == "function"]
    if functions:
        request.parallel_tool_calls = draw(optional(st.booleans()))
        mode = draw(optional(st.sampled_from(["auto", "none", "required", "tool"])))
        if mode is not None:
            chosen = [draw(st.sampled_from(functions))] if mode == "tool" else []
            request.tool_choice = ToolChoice(mode=mode, names=chosen)
    return request


@st.composite
def portable_requests(draw: st.DrawFn) -> Request:
    """A request of the kind that every protocol can say: texts, inline images, functions."""
    tool_names = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    offered = [Tool(name=name, parameters=draw(schemas)) for name in tool_names]
    plain = st.builds(Text, text=words)
    messages = [Message(role="system", parts=[draw(plain)])]
    messages.append(Message(role="user", parts=[draw(plain), *draw(st.lists(images, max_size=2))]))
    for wanted in draw(st.lists(st.lists(ids, min_size=1, max_size=3, unique=True), max_size=2)):
        calls = [draw(tool_calls(one, offered)) for one in unused(wanted, messages)]
        for call in calls:
            call.signature = None
        messages.append(Message(role="assistant", parts=[draw(plain), *calls]))
        for call in calls:
            result = ToolResult(call_id=call.id, name=call.name, content=[draw(plain)])
            messages.append(Message(role="tool", parts=[result]))
        messages.append(Message(role="user", parts=[draw(plain)]))
    return Request(model="m", messages=messages, tools=offered)


def unused(wanted: Sequence[str], messages: Sequence[Message]) -> list[str]:
    """The call ids of ``wanted`` that no earlier call has."""
    used = {part.id for one in messages for part in one.parts if isinstance(part, ToolCall)}
    return [one for one in wanted if one not in used]
