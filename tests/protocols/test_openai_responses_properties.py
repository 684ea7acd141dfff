"""Whatever a client or an upstream of the Responses API writes, nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.request import Request
from dragoman.canonical.response import Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import ModelProfile, Target, all_events
from dragoman.protocols.openai_responses import PROTOCOL
from tests.protocols.strategies import encoded, json_objects, json_values, names, texts, words

ORIGIN = Origin("openai_responses", "openai", "gpt-5.6")
Object = dict[str, Any]
Strategy = st.SearchStrategy[Object]

# Names of tomorrow, and names that the codec uses for itself.
unknown_names = names.map(lambda name: f"x_{name}") | st.sampled_from(["_item", "item", "_cuts"])
unknown = st.dictionaries(unknown_names, json_values, max_size=2)
statuses = st.sampled_from(["completed", "incomplete", "in_progress", None])


def shaped(
    required: dict[str, Any], optional: dict[str, Any] | None = None, *, extra: bool = True
) -> Strategy:
    """An object with ``required``, some of ``optional``, and fields nobody knows yet."""
    known = st.fixed_dictionaries(
        {name: _strategy(value) for name, value in required.items()},
        optional={name: _strategy(value) for name, value in (optional or {}).items()},
    )
    return st.tuples(known, unknown).map(lambda pair: pair[1] | pair[0]) if extra else known


def _strategy(value: Any) -> st.SearchStrategy[Any]:
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


breakpoints = st.sampled_from([{"mode": "explicit"}, {"mode": "explicit", "ttl": "12h"}, None])
urls = names.map(lambda name: f"https://files.example/{name}")
data_urls = encoded.map(lambda data: f"data:image/png;base64,{data}")
details = st.sampled_from(["auto", "low", "high", "original", None])

input_content = st.one_of(
    shaped({"type": "input_text", "text": texts}, {"prompt_cache_breakpoint": breakpoints}),
    shaped({"type": "input_image", "image_url": urls | data_urls}, {"detail": details}),
    shaped({"type": "input_image", "file_id": names}, {"image_url": st.none()}),
    shaped({"type": "input_image"}),
    shaped({"type": "input_file", "file_data": encoded | data_urls}, {"filename": names}),
    shaped({"type": "input_file", "file_url": urls}, {"file_id": names, "detail": details}),
    shaped({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}),
    shaped({"type": names.map(lambda name: f"input_x_{name}")}),
)
annotations = st.lists(
    st.fixed_dictionaries({"type": names, "index": st.integers(0, 9)}), max_size=2
)
output_content = st.one_of(
    shaped(
        {"type": "output_text", "text": texts},
        {"annotations": annotations, "logprobs": st.just([])},
    ),
    shaped({"type": "refusal", "refusal": texts}),
    shaped({"type": names.map(lambda name: f"output_x_{name}")}),
)
ids = {"id": names, "status": statuses}
pieces = st.lists(words, min_size=1, max_size=3)


def reasoning_texts(kind: str) -> st.SearchStrategy[list[Object]]:
    return pieces.map(lambda texts: [{"type": kind, "text": text} for text in texts])


def assistant_items(*, identified: bool) -> Strategy:
    """Items of an answer; upstreams always give them an id and a status."""
    optional = {} if identified else ids
    fixed = (
        {"id": names.map(lambda name: f"id_{name}"), "status": "completed"} if identified else {}
    )
    rid = {"id": fixed["id"]} if identified else {}
    return st.one_of(
        shaped(
            {
                "type": "message",
                "role": "assistant",
                "content": st.lists(output_content, min_size=1, max_size=2),
                **fixed,
            },
            {"phase": names, **optional},
        ),
        shaped(
            {"type": "function_call", "call_id": names, "name": names, "arguments": texts, **fixed},
            {"namespace": names, **optional},
        ),
        shaped(
            {"type": "custom_tool_call", "call_id": names, "name": names, "input": texts, **fixed},
            {"namespace": names, **optional},
        ),
        shaped(
            {"type": "reasoning", "summary": reasoning_texts("summary_text") | st.just([]), **rid},
            {
                "encrypted_content": encoded,
                "content": reasoning_texts("reasoning_text"),
                **optional,
            },
        ),
        shaped(
            {"type": "image_generation_call", "result": encoded, **fixed}, {"output_format": "png"}
        ),
        shaped({"type": names.map(lambda name: f"x_{name}_call"), **fixed}),
    )


client_items = st.one_of(
    shaped(
        {
            "type": "message",
            "role": st.sampled_from(["user", "system", "developer", "critic"]),
            "content": texts | st.lists(input_content, max_size=3),
        },
        ids,
    ),
    shaped({"role": st.sampled_from(["user", "assistant"]), "content": texts}, extra=False),
    shaped(
        {
            "type": st.sampled_from(["function_call_output", "custom_tool_call_output"]),
            "call_id": names,
            "output": texts | st.lists(input_content, max_size=2),
        },
        ids,
    ),
    shaped({"type": names.map(lambda name: f"x_{name}_output")}),
    shaped({"type": "item_reference", "id": names}),
)
functions = shaped(
    {"type": "function", "name": names, "parameters": json_objects},
    {"strict": st.booleans() | st.none(), "description": words},
)
customs = shaped({"type": "custom", "name": names}, {"format": json_objects, "description": words})
tools = st.one_of(
    functions,
    customs,
    shaped(
        {"type": "namespace", "name": names, "tools": st.lists(functions | customs, max_size=3)}
    ),
    shaped({"type": names.map(lambda name: f"x_{name}")}),
)
additional = shaped(
    {
        "type": "additional_tools",
        "role": "developer",
        "tools": st.lists(tools, min_size=1, max_size=2),
    }
)
formats = st.one_of(
    st.just({"type": "text"}),
    shaped(
        {"type": "json_schema", "name": names, "schema": json_objects}, {"strict": st.booleans()}
    ),
    shaped({"type": names.map(lambda name: f"x_{name}")}),
)
choices = st.one_of(
    st.sampled_from(["auto", "none", "required", "perhaps"]),
    shaped({"type": st.sampled_from(["function", "custom", "mcp"]), "name": names}),
    shaped(
        {
            "type": "allowed_tools",
            "mode": st.sampled_from(["auto", "required"]),
            "tools": st.lists(shaped({"type": "function", "name": names}, extra=False), max_size=2),
        }
    ),
)
bodies = shaped(
    {
        "model": words,
        "input": words
        | st.lists(
            client_items | assistant_items(identified=False) | additional, min_size=1, max_size=6
        ),
    },
    {
        "instructions": texts,
        "tools": st.lists(tools, max_size=4),
        "tool_choice": choices,
        "parallel_tool_calls": st.booleans(),
        "text": shaped({}, {"format": formats, "verbosity": "low"}),
        "reasoning": shaped({}, {"effort": names, "summary": names, "generate_summary": names}),
        "max_output_tokens": st.integers(1, 100_000),
        "temperature": st.floats(0, 2),
        "top_logprobs": st.integers(0, 20),
        "include": st.lists(
            st.sampled_from(["reasoning.encrypted_content", "message.output_text.logprobs", "x"]),
            unique=True,
        ),
        "service_tier": names,
        "metadata": st.dictionaries(names, texts, max_size=2),
        "store": st.booleans(),
        "stream": st.booleans(),
        "previous_response_id": names,
        "background": st.booleans(),
        "truncation": st.sampled_from(["auto", "disabled"]),
        "prompt": json_objects,
    },
)


def decode(body: bytes) -> Request:
    return PROTOCOL.decode_request(PROTOCOL.parse_request(body, Target()))


@given(wire=bodies)
def test_requests_survive(wire: Object) -> None:
    request = decode(json.dumps(wire).encode())
    encoded = PROTOCOL.encode_request(request, ModelProfile())
    assert encoded.notes == []
    assert decode(encoded.body) == request


counts = st.integers(0, 1000)
answers = shaped(
    {
        "id": names.map(lambda name: f"resp_{name}"),
        "model": names,
        "status": st.sampled_from(["completed", "incomplete", "queued"]),
        "output": st.lists(
            assistant_items(identified=True), max_size=4, unique_by=lambda item: item["id"]
        ),
    },
    {
        "created_at": st.integers(1, 2_000_000_000),
        "service_tier": names,
        "incomplete_details": st.fixed_dictionaries({"reason": names}) | st.none(),
        "completed_at": counts,
        "usage": st.fixed_dictionaries(
            {"input_tokens": counts, "output_tokens": counts},
            optional={
                "total_tokens": counts,
                "input_tokens_details": st.fixed_dictionaries(
                    {"cached_tokens": counts, "cache_write_tokens": counts}
                ),
                "output_tokens_details": st.fixed_dictionaries({"reasoning_tokens": counts}),
            },
        ),
    },
)


def read(wire: Object) -> Response:
    return PROTOCOL.decode_response(json.dumps(wire).encode(), ORIGIN)


REQUEST = decode(b'{"model":"m","input":"hi"}')


@given(wire=answers)
def test_answers_survive(wire: Object) -> None:
    response = read(wire)
    body = PROTOCOL.encode_response(response, REQUEST)
    assert PROTOCOL.decode_response(body, ORIGIN) == response


@given(wire=answers)
def test_streamed_answers_survive(wire: Object) -> None:
    response = read(wire)
    encoder = PROTOCOL.stream_encoder(REQUEST)
    feed: Callable[..., bytes] = encoder.feed
    sent = b"".join([*(feed(event) for event in replay(response)), encoder.finish()])
    assert collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [sent])) == response
