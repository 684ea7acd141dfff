"""Anthropic Messages, as properties: nothing is lost on the way through the canonical form, and no
bytes escape the tree of errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.errors import GatewayError
from dragoman.canonical.parts import Text
from dragoman.canonical.request import Message, Request
from dragoman.canonical.signature import Origin
from dragoman.protocols.anthropic_messages import PROTOCOL
from dragoman.protocols.base import ModelProfile, Target, all_events

Wire = dict[str, Any]

ORIGIN = Origin("anthropic_messages", "anthropic", "m")
REQUEST = Request(model="m", messages=[Message(role="user", parts=[Text(text="hi")])])

names = st.from_regex(r"[a-z][a-zA-Z0-9_-]{0,12}", fullmatch=True)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=16).map(
    lambda text: f"{text}."  # neither blank nor with space at its end, which the API refuses
)
scalars = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
objects = st.dictionaries(words, values, max_size=3)
unknown = st.dictionaries(names.map("x_{}".format), values, max_size=2)
cache = st.fixed_dictionaries(
    {"cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])}
) | st.just({})
dress = st.builds(lambda one, other: {**one, **other}, unknown, cache)


def block(
    kind: str, worn: st.SearchStrategy[Wire] = dress, **fields: Any
) -> st.SearchStrategy[Wire]:
    known = {"type": st.just(kind), **fields}
    return st.builds(lambda own, more: {**own, **more}, st.fixed_dictionaries(known), worn)


def source(**fields: Any) -> st.SearchStrategy[Wire]:
    return st.fixed_dictionaries({name: st.just(value) for name, value in fields.items()})


texts = block("text", text=words) | block(
    "text", text=words, citations=st.lists(objects, max_size=1)
)
images = block(
    "image",
    source=source(type="base64", media_type="image/png", data="iVBORw0KGgo=", x_more=1)
    | source(type="url", url="https://files.example/a.png")
    | source(type="file", file_id="file_1"),
)
documents = block(
    "document",
    source=source(type="base64", media_type="application/pdf", data="JVBERi0x")
    | source(type="text", media_type="text/plain", data="plain")
    | source(type="url", url="https://files.example/a.pdf")
    | st.fixed_dictionaries(
        {"type": st.just("content"), "content": words | st.lists(texts, min_size=1, max_size=2)}
    ),
    title=words,
)
found = block("search_result", source=words, title=words, content=st.lists(texts, max_size=2))
novel = block("x_novel", content=st.lists(texts, max_size=1) | words | objects, data=words)
calls = block("tool_use", id=names, name=names, input=objects)
hosted = block("server_tool_use", id=names, name=names, input=objects)
thoughts = block("thinking", unknown, thinking=words, signature=names) | block(
    "redacted_thinking", unknown, data=names
)
results = block(
    "tool_result",
    tool_use_id=names,
    is_error=st.booleans(),
    content=words | st.lists(texts | images | documents | found | novel, max_size=2),
)


def message(role: str, blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[Wire]:
    known = st.fixed_dictionaries({"role": st.just(role), "content": blocks})
    return st.builds(lambda own, more: {**own, **more}, known, unknown)


asked = words | st.lists(texts | images | documents | found | novel, min_size=1, max_size=3)


@st.composite
def exchanges(draw: st.DrawFn) -> list[Wire]:
    """An answer with calls, what the tools said, and the answer after that."""
    said = draw(st.lists(thoughts, max_size=1))
    said += draw(st.lists(texts | hosted | novel, min_size=1, max_size=2))
    made = draw(st.lists(calls, max_size=2))
    returned = [draw(results) | {"tool_use_id": call["id"]} for call in made]
    return [
        {"role": "assistant", "content": said + made},
        {"role": "user", "content": [*returned, draw(texts)]},
        {"role": "assistant", "content": draw(words)},
    ]


@st.composite
def conversations(draw: st.DrawFn) -> list[Wire]:
    """Turns in the order the API wants."""
    turns = [draw(message("user", asked))]
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            turns.append(draw(message("system", words | st.lists(texts, min_size=1, max_size=2))))
        turns += draw(exchanges())
        turns.append(draw(message("user", asked)))
    return turns


schemas = st.just(
    {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"anyOf": [{"type": "null"}, {"enum": [1]}]}},
        "required": ["a"],
        "additionalProperties": False,
    }
)
tools = st.builds(
    lambda own, more: {**own, **more},
    st.fixed_dictionaries(
        {"name": names, "input_schema": schemas},
        optional={"description": words, "strict": st.booleans(), "defer_loading": st.booleans()},
    )
    | st.fixed_dictionaries({"type": names.map("web_{}".format), "max_uses": st.integers(1, 5)}),
    cache,
)
choices = st.fixed_dictionaries(
    {"type": st.just("auto")},
    optional={"disable_parallel_tool_use": st.booleans(), "x_new": scalars},
) | st.just({"type": "none"})
limits = {
    "stop_sequences": st.lists(words, max_size=2),
    "service_tier": st.sampled_from(["auto", "standard_only"]),
    "metadata": st.fixed_dictionaries({"user_id": words}, optional={"x_team": words}),
    "cache_control": st.just({"type": "ephemeral"}),
    "stream": st.booleans(),
    "system": words | st.lists(texts, min_size=1, max_size=2),
    "container": words | objects.filter(bool),
    "context_management": objects.filter(bool),
}
displays = st.sampled_from(
    [{}, {"display": "omitted"}, {"display": "updates"}, {"x_binding": {"a": 1}}]
)
by_effort = st.fixed_dictionaries(
    {
        "thinking": st.builds(lambda more: {"type": "adaptive", **more}, displays),
        "output_config": st.fixed_dictionaries(
            {"effort": st.sampled_from(["low", "high", "max"])},
            optional={
                "task_budget": objects.filter(bool),
                "format": st.fixed_dictionaries(
                    {"type": st.just("json_schema"), "schema": schemas}
                ),
            },
        ),
    }
)
by_budget = st.builds(
    lambda more: {"thinking": {"type": "enabled", "budget_tokens": 2000, **more}}, displays
)
sampled = st.fixed_dictionaries(
    {"temperature": st.floats(0, 1), "top_p": st.floats(0, 1), "top_k": st.integers(1, 99)}
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Wire, ModelProfile]:
    """A request that the API accepts, and the profile of a model that it is for."""
    style, thinking = draw(
        st.sampled_from([("effort", by_effort), ("budget", by_budget), ("effort", sampled)])
    )
    body: Wire = {"model": "m", "messages": draw(conversations())}
    body |= draw(st.fixed_dictionaries({"max_tokens": st.integers(4096, 8192)}, optional=limits))
    body |= draw(thinking) | draw(unknown)
    offered = draw(st.lists(tools, max_size=2, unique_by=lambda tool: tool.get("name", "")))
    if offered:
        body["tools"] = offered
        body |= draw(st.just({}) | st.fixed_dictionaries({"tool_choice": choices}))
    return body, ModelProfile(quirks={"reasoning_style": style, "system_messages": True})


def decode(body: bytes) -> Request:
    return PROTOCOL.decode_request(PROTOCOL.parse_request(body, Target()))


@given(bodies())
def test_a_request_comes_back_as_it_was(case: tuple[Wire, ModelProfile]) -> None:
    body, profile = case
    request = decode(json.dumps(body).encode())
    encoded = PROTOCOL.encode_request(request, profile)
    assert encoded.notes == []
    assert decode(encoded.body) == request


usages = st.fixed_dictionaries(
    {"input_tokens": st.integers(0, 999), "output_tokens": st.integers(50, 999)},
    optional={
        "cache_read_input_tokens": st.integers(0, 99),
        "cache_creation_input_tokens": st.integers(50, 99),
        "cache_creation": st.fixed_dictionaries({"ephemeral_1h_input_tokens": st.integers(0, 50)}),
        "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": st.integers(0, 50)}),
        "service_tier": st.sampled_from(["standard", "priority", "batch"]),
        "server_tool_use": st.just({"web_search_requests": 1}),
    },
)
answers = st.builds(
    lambda own, more: {**own, **more},
    st.fixed_dictionaries(
        {
            "id": names,
            "type": st.just("message"),
            "role": st.just("assistant"),
            "model": names,
            "content": st.lists(
                thoughts
                | block("text", unknown, text=words, citations=st.lists(objects, max_size=2))
                | block("tool_use", unknown, id=names, name=names, input=objects)
                | block("server_tool_use", unknown, id=names, name=names, input=objects)
                | block("x_novel", unknown, data=words),
                max_size=4,
            ),
            "stop_reason": st.sampled_from(
                ["end_turn", "max_tokens", "tool_use", "refusal", "compaction", "x_new", None]
            ),
            "stop_sequence": st.none() | words,
            "usage": usages,
        },
        optional={"container": objects.filter(bool), "diagnostics": objects.filter(bool)},
    ),
    unknown,
)


@given(answers)
def test_an_answer_comes_back_as_it_was(answer: Wire) -> None:
    response = PROTOCOL.decode_response(json.dumps(answer).encode(), ORIGIN)
    usage, wire = response.usage, answer["usage"]
    assert usage is not None
    assert usage.total_output == wire["output_tokens"]
    hour = wire.get("cache_creation", {}).get("ephemeral_1h_input_tokens", 0)
    written = wire.get("cache_creation_input_tokens", hour)
    read = wire.get("cache_read_input_tokens", 0)
    assert usage.total_input == wire["input_tokens"] + read + written
    again = PROTOCOL.decode_response(PROTOCOL.encode_response(response, REQUEST), ORIGIN)
    assert again == response


@given(answers, st.randoms(use_true_random=False))
def test_a_streamed_answer_comes_back_however_it_is_cut(answer: Wire, dice: Any) -> None:
    response = PROTOCOL.decode_response(json.dumps(answer).encode(), ORIGIN)
    encoder = PROTOCOL.stream_encoder(REQUEST)
    stream = b"".join(map(encoder.feed, replay(response))) + encoder.finish()
    events = all_events(PROTOCOL.stream_decoder(ORIGIN), [stream])
    assert collect(events) == response
    cuts = sorted(dice.randrange(len(stream)) for _ in range(8))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert all_events(PROTOCOL.stream_decoder(ORIGIN), chunks) == events


KEYS = [
    "type", "text", "role", "content", "model", "messages", "source", "input", "id", "name", "delta",
    "index", "message", "usage", "content_block", "thinking", "error", "tools", "system", "citations",
]  # fmt: skip
KINDS = [
    "text", "image", "document", "tool_use", "tool_result", "thinking", "message_start", "user",
    "content_block_start", "content_block_delta", "message_delta", "text_delta", "content", "error",
]  # fmt: skip
hostile = st.recursive(
    st.none() | scalars | st.sampled_from(KINDS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
)


@given(hostile)
def test_no_body_escapes_the_tree_of_errors(value: Any) -> None:
    body = json.dumps(value).encode()
    for read in (
        lambda: decode(body),
        lambda: decode(json.dumps({"model": "m", "messages": [value]}).encode()),
        lambda: decode(
            json.dumps({"model": "m", "messages": [{"role": "user", "content": [value]}]}).encode()
        ),
        lambda: PROTOCOL.decode_response(body, ORIGIN),
        lambda: PROTOCOL.decode_response(json.dumps({"content": [value]}).encode(), ORIGIN),
        lambda: all_events(PROTOCOL.stream_decoder(ORIGIN), [b"data: " + body + b"\n\n"]),
        lambda: PROTOCOL.decode_error(400, {}, body).message,
    ):
        with contextlib.suppress(GatewayError):
            read()
