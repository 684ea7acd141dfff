"""Chat to canonical and back loses nothing: requests and answers of every shape, properties by
Hypothesis."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.parts import Part, Reasoning, ToolCall
from dragoman.canonical.request import Request
from dragoman.canonical.response import Choice, Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import ModelProfile, Target, all_events
from dragoman.protocols.openai_chat import PROTOCOL
from dragoman.protocols.openai_chat.reasoning import carries_proof
from tests.protocols.fidelity import unaccounted
from tests.protocols.strategies import ids, names, schemas

Json = dict[str, Any]

# A provider that understands all there is.
EVERYTHING = ModelProfile(
    quirks={
        "developer_role": True,
        "custom_tools": True,
        "allowed_tools": True,
        "cache_control": True,
        "tool_media": True,
        "assistant_images": True,
        "file_url": True,
        "video_input": True,
        "top_k": True,
        "reasoning_history": "reasoning_details",
        "stop_limit": 99,
    }
)
REQUEST = Request(model="m", messages=[])
ORIGIN = Origin("openai_chat")

said = st.sampled_from([True, 0, 2.5, "x", [], [1, None], {}, {"deep": {"er": None}}])
unknown = st.dictionaries(names.map(lambda name: f"x_{name}"), said, max_size=1)


words = st.sampled_from(["hi", "two words", "é中\n", "{}", " x "])
encoded = st.sampled_from(["AA==", "iVBORw0KGgo=", "/9j/", "c2ln"])


def with_unknown(strategy: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Objects that now and then hold a field nobody knows."""
    return st.builds(lambda known, more: {**known, **more}, strategy, unknown)


def objects(required: Json, optional: Json | None = None) -> st.SearchStrategy[Json]:
    return with_unknown(st.fixed_dictionaries(required, optional=optional or {}))


cache = {
    "cache_control": st.sampled_from([{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}])
}
data_urls = encoded.map(lambda data: f"data:image/png;base64,{data}")
web_urls = names.map(lambda name: f"https://files.example/{name}")
text_parts = objects({"type": st.just("text"), "text": words}, cache)
image_parts = objects(
    {
        "type": st.just("image_url"),
        "image_url": objects({"url": data_urls | web_urls}, {"detail": st.sampled_from(["low"])}),
    },
    cache,
)
other_parts = st.one_of(
    objects(
        {
            "type": st.just("input_audio"),
            "input_audio": objects(
                {"data": encoded, "format": st.sampled_from(["wav", "mp3", "ogg"])}
            ),
        }
    ),
    objects(
        {
            "type": st.just("file"),
            "file": objects({"file_data": data_urls | web_urls | encoded}, {"filename": words}),
        }
    ),
    objects({"type": st.just("file"), "file": objects({"file_id": names})}),
    objects({"type": st.just("video_url"), "video_url": objects({"url": data_urls | web_urls})}),
    st.fixed_dictionaries({"type": names.map(lambda name: f"x_{name}"), "v": said}),
)
contents = words | st.lists(text_parts | image_parts | other_parts, min_size=1, max_size=3)
text_contents = words | st.lists(text_parts, min_size=1, max_size=2)

functions = objects(
    {"name": names, "arguments": st.dictionaries(names, said, max_size=2).map(json.dumps)}
)
signed = {"extra_content": encoded.map(lambda data: {"google": {"thought_signature": data}})}
calls = st.one_of(
    objects({"id": ids, "type": st.just("function"), "function": functions}, signed),
    objects(
        {"id": ids, "type": st.just("custom"), "custom": objects({"name": names, "input": words})}
    ),
)
details = st.one_of(
    objects({"type": st.just("reasoning.text"), "text": words}, {"signature": encoded}),
    objects({"type": st.just("reasoning.summary"), "summary": words}),
    objects({"type": st.just("reasoning.encrypted"), "data": encoded}),
)
thoughts = st.one_of(
    st.fixed_dictionaries({"reasoning_content": words}),
    st.fixed_dictionaries({"reasoning": words}),
    st.fixed_dictionaries({"reasoning_details": st.lists(details, min_size=1, max_size=2)}),
    st.just({}),
)


@st.composite
def messages(draw: st.DrawFn) -> list[Json]:
    said_by = st.sampled_from(["system", "developer", "user"])
    conversation = [draw(objects({"role": said_by, "content": contents}, {"name": names}))]
    for _ in range(draw(st.integers(0, 2))):
        made = draw(st.lists(calls, max_size=2, unique_by=lambda call: call["id"]))
        assistant = objects(
            {"role": st.just("assistant"), "content": text_contents | st.none()},
            {"refusal": words, "audio": st.fixed_dictionaries({"id": names}), "name": names},
        )
        answer = {**draw(assistant), **draw(thoughts)}
        if made:
            answer["tool_calls"] = made
        conversation.append(answer)
        for call in made:
            result = objects(
                {"role": st.just("tool"), "content": contents},
                {**cache, "name": names},
            )
            conversation.append({**draw(result), "tool_call_id": call["id"]})
    return conversation


tools = st.one_of(
    objects(
        {
            "type": st.just("function"),
            "function": objects(
                {"name": names},
                {"description": words, "parameters": schemas, "strict": st.booleans()},
            ),
        },
        cache,
    ),
    objects(
        {
            "type": st.just("custom"),
            "custom": objects(
                {"name": names},
                {
                    "format": st.sampled_from(
                        [
                            {"type": "text"},
                            {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}},
                        ]
                    )
                },
            ),
        }
    ),
    objects({"type": st.just("web_search"), "web_search": st.just({"deep": True})}),
)
reasoning = st.sampled_from(
    [
        {},
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "low", "exclude": True}},
        {"reasoning": {"max_tokens": 2000, "enabled": True, "summary": "auto", "x": 1}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000, "clear_thinking": True}},
        {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
        {"thinking": {"type": "disabled"}},
        {"thinking": {"type": "someday"}},
        {"enable_thinking": True, "thinking_budget": 100},
        {"enable_thinking": False},
    ]
)
formats = st.sampled_from([{"type": "text"}, {"type": "json_object"}, {"type": "x"}]) | objects(
    {
        "type": st.just("json_schema"),
        "json_schema": objects({"name": names, "schema": schemas}, {"strict": st.booleans()}),
    }
)
numbers = st.floats(0, 2).map(lambda value: round(value, 3)) | st.integers(0, 2)
settings: Json = {
    "max_tokens": st.integers(1, 9999),
    "temperature": numbers,
    "top_p": numbers,
    "top_k": st.integers(1, 50),
    "stop": words | st.lists(words, min_size=1, max_size=6),
    "n": st.integers(1, 3),
    "seed": st.integers(-5, 5),
    "logit_bias": st.dictionaries(st.integers(0, 99).map(str), st.integers(-9, 9), min_size=1),
    "logprobs": st.booleans(),
    "user": names,
    "metadata": st.dictionaries(names, words),
    "store": st.booleans(),
    "response_format": formats,
    "service_tier": st.sampled_from(["auto", "flex"]),
    "cache_control": st.just({"type": "ephemeral"}),
}


def tool_name(tool: Json) -> str:
    return str(tool[tool["type"]].get("name"))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    body = draw(objects({"model": names, "messages": messages()}, settings))
    body |= draw(reasoning)
    offered = draw(st.lists(tools, max_size=2, unique_by=tool_name))
    if offered:
        body["tools"] = offered
        body["tool_choice"] = draw(st.sampled_from(["auto", "none", "required", "sometimes"]))
        body["parallel_tool_calls"] = draw(st.booleans())
    if draw(st.booleans()):
        body["stream"] = True
        body["stream_options"] = {"include_usage": True, "include_obfuscation": False}
    return json.dumps(body).encode()


def decode(body: bytes) -> Request:
    return PROTOCOL.decode_request(PROTOCOL.parse_request(body, Target()))


@given(body=bodies())
def test_a_request_survives_for_a_provider_that_knows_everything(body: bytes) -> None:
    request = decode(body)
    written = PROTOCOL.encode_request(request, EVERYTHING)
    assert decode(written.body) == request, written.body.decode()
    assert written.notes == []


@given(body=bodies())
def test_nothing_is_lost_in_silence_for_one_that_knows_little(body: bytes) -> None:
    request = decode(body)
    written = PROTOCOL.encode_request(request, ModelProfile())
    again = decode(written.body)
    for one in (request, again):  # the codec's own memory is nobody's loss
        for field in [f for f in (one.extensions or {}).get("openai_chat", {}) if f[0] == "_"]:
            del one.extensions["openai_chat"][field]  # type: ignore[index]
    assert unaccounted(request, again, written.notes, "openai_chat") == [], written.body.decode()


chances = st.lists(
    st.fixed_dictionaries(
        {"token": words, "logprob": numbers, "bytes": st.none(), "top_logprobs": st.just([])}
    ),
    min_size=1,
    max_size=2,
)
answer_messages = objects(
    {"role": st.just("assistant"), "content": words | st.none()},
    {
        "refusal": words,
        "annotations": st.lists(objects({"type": st.just("url_citation")}), min_size=1, max_size=2),
        "images": st.lists(
            data_urls.map(lambda url: {"type": "image_url", "image_url": {"url": url}}),
            min_size=1,
            max_size=2,
        ),
        "audio": st.fixed_dictionaries(
            {"id": names, "data": encoded, "expires_at": st.integers(1, 9), "transcript": words}
        ),
        "tool_calls": st.lists(calls, min_size=1, max_size=2, unique_by=lambda call: call["id"]),
    },
)
counts = st.integers(0, 1000)
usages = objects(
    {"prompt_tokens": counts, "completion_tokens": counts},
    {
        "prompt_tokens_details": objects(
            {"cached_tokens": counts},
            {"audio_tokens": counts, "cache_write_tokens": counts, "text_tokens": counts},
        ),
        "completion_tokens_details": objects(
            {"reasoning_tokens": counts}, {"accepted_prediction_tokens": counts}
        ),
        "total_tokens": counts,
        "cost": numbers,
    },
)
ends: Json = {
    "finish_reason": st.sampled_from(
        ["stop", "length", "tool_calls", "content_filter", "eos", "sensitive", "error", "odd"]
    ),
}
choices = objects(
    {"message": st.builds(lambda a, b: {**a, **b}, answer_messages, thoughts), **ends},
    {
        "logprobs": objects({"content": chances}, {"refusal": chances}),
        "stop_reason": words,
        "native_finish_reason": st.sampled_from(["end_turn", "refusal", "STOP"]),
    },
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    head = objects(
        {"id": names, "model": names, "created": st.integers(1, 2**31), "usage": usages},
        {"system_fingerprint": names, "service_tier": names},
    )
    made = draw(st.lists(choices, min_size=1, max_size=2))
    numbered = [{"index": i, **choice} for i, choice in enumerate(made)]
    return json.dumps({**draw(head), "object": "chat.completion", "choices": numbered}).encode()


def decode_answer(body: bytes) -> Response:
    return PROTOCOL.decode_response(body, ORIGIN)


@given(body=answers())
def test_an_answer_survives(body: bytes) -> None:
    response = decode_answer(body)
    written = PROTOCOL.encode_response(response, REQUEST)
    assert decode_answer(written) == response, written.decode()


@given(body=answers())
def test_usage_is_the_upstreams(body: bytes) -> None:
    wire = json.loads(body)["usage"]
    usage = decode_answer(body).usage
    assert usage is not None
    assert usage.total_input == wire["prompt_tokens"]
    assert usage.total == max(
        wire.get("total_tokens", 0), wire["prompt_tokens"] + wire["completion_tokens"]
    )
    assert all(getattr(usage, bucket) >= 0 for bucket in usage.__struct_fields__)


def split_thoughts(choice: Choice) -> tuple[str, list[Any], list[Part]]:
    """(all that was thought, the proofs of it, the other parts without unknown fields)."""
    thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
    others = [part for part in choice.parts if not isinstance(part, Reasoning)]
    for part in others:
        if isinstance(part, ToolCall):
            part.extensions = None
    text = "".join(part.text for part in thoughts)
    return text, [part.signature for part in thoughts if part.signature], others


@given(body=answers())
def test_an_answer_survives_a_stream(body: bytes) -> None:
    """All but what a stream has no place for: unknown fields of messages and calls, and where an
    unproved thought ends and the next begins."""
    response = decode_answer(body)
    for choice in response.choices:
        thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
        assume(len({carries_proof(part) for part in thoughts}) < 2)
    encoder = PROTOCOL.stream_encoder(REQUEST)
    wire = b"".join([encoder.feed(event) for event in replay(response)]) + encoder.finish()
    again = collect(all_events(PROTOCOL.stream_decoder(ORIGIN), [wire]))
    for got, wanted in zip(again.choices, response.choices, strict=True):
        assert split_thoughts(got) == split_thoughts(wanted)
        assert got.finish == wanted.finish
