"""Every client, through the real gateway, at every upstream: the cells of the pair matrix.

The stand-in upstream refuses what a vendor would refuse, so an answer at all means that the request
arrived in good order; the SDKs check the way back.
"""

from __future__ import annotations

import json

import pytest

from tests.live.cells import cells
from tests.live.conftest import Cell
from tests.support.clients.base import ANSWER_SCHEMA, TIME, WEATHER, Failed
from tests.support.standin.script import (
    CONCLUSION,
    GREETING,
    PNG,
    PREAMBLE,
    REFUSAL,
    STRUCTURED,
    THOUGHT,
)
from tests.support.upstream import StandIn

STOPPED = {
    "openai_chat": "stop",
    "openai_responses": "completed",
    "anthropic_messages": "end_turn",
    "gemini_generate": "STOP",
}
CALLED = {
    "openai_chat": "tool_calls",
    "openai_responses": "completed",
    "anthropic_messages": "tool_use",
    "gemini_generate": "STOP",
}
TRUNCATED = {
    "openai_chat": "length",
    "openai_responses": "max_output_tokens",
    "anthropic_messages": "max_tokens",
    "gemini_generate": "MAX_TOKENS",
}
SIGNING = ("openai_responses", "anthropic_messages", "gemini_generate")


@cells("text")
def test_text(cell: Cell, upstream: StandIn) -> None:
    answer = cell.client.ask(cell.question("text", "Hello, 世界", system="Be kind."))
    assert answer.text == GREETING
    assert (answer.input_tokens, answer.output_tokens) == (21, 17)
    assert answer.finish == STOPPED[cell.protocol]
    (arrived,) = upstream.requests
    told = json.dumps(arrived.json, ensure_ascii=False)
    assert "Be kind." in told
    assert "Hello, 世界" in told


@cells("bytes")
def test_text_in_shreds(cell: Cell) -> None:
    """Chunks of three bytes, so that nothing ends where a character or an event does."""
    assert cell.client.ask(cell.question("shredded")).text == GREETING


@cells("image")
def test_images(cell: Cell) -> None:
    answer = cell.client.ask(cell.question("image", "What is this?", images=[PNG, PNG]))
    assert answer.text == "2 intact image(s)."


@cells("tool")
def test_tool_round_trip(cell: Cell) -> None:
    question = cell.question("tools", "Weather?", tools=[WEATHER, TIME])
    called = cell.client.ask(question)
    assert called.text == PREAMBLE
    (call,) = called.calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Paris", "unit": "c"})
    assert called.finish == CALLED[cell.protocol]
    told = cell.client.follow(question, called, ["18 degrees"], "")
    assert told.text == "Tools: get_weather said 18 degrees."
    assert told.finish == STOPPED[cell.protocol]


@cells("parallel")
def test_parallel_tools_whose_arguments_take_turns(cell: Cell) -> None:
    question = cell.question("parallel-tools", "Weather and time?", tools=[WEATHER, TIME])
    called = cell.client.ask(question)
    assert [(call.name, call.arguments) for call in called.calls] == [
        ("get_weather", {"city": "Paris", "unit": "c"}),
        ("get_time", {"zone": "Asia/Tokyo", "short": True}),
    ]
    told = cell.client.follow(question, called, ["18 degrees", "09:30"], "")
    assert told.text == "Tools: get_weather said 18 degrees; get_time said 09:30."


@cells("reasoning")
def test_reasoning_over_two_turns(cell: Cell) -> None:
    """The proof of the reasoning goes out with the first answer and comes back unharmed."""
    question = cell.question("reasoning", "2+2?", think=True)
    answer = cell.client.ask(question)
    assert answer.text == CONCLUSION
    assert answer.reasoning == THOUGHT
    second = cell.client.follow(question, answer, [], "Are you sure?")
    if cell.upstream in SIGNING:
        assert second.text.startswith("Came back: 1 signatures")
    else:
        assert second.text == "Came back: 0 signatures, 1 thoughts."


@cells("reasoning+tool")
def test_reasoning_that_leads_to_a_tool(cell: Cell) -> None:
    """Here vendors insist on their reasoning: without it the second request is refused."""
    question = cell.question("reasoning-tools", "Weather?", tools=[WEATHER], think=True)
    called = cell.client.ask(question)
    assert called.reasoning == THOUGHT
    told = cell.client.follow(question, called, ["18 degrees"], "")
    assert told.text == "Tools: get_weather said 18 degrees."


@cells("structured")
def test_structured_output(cell: Cell) -> None:
    answer = cell.client.ask(cell.question("structured", "Answer.", schema=ANSWER_SCHEMA))
    assert json.loads(answer.text) == STRUCTURED


@cells("ending")
def test_other_endings(cell: Cell) -> None:
    cut_off = cell.client.ask(cell.question("length"))
    assert cut_off.text == PREAMBLE
    assert cut_off.finish == TRUNCATED[cell.protocol]
    refused = cell.client.ask(cell.question("refusal"))
    if cell.upstream != "gemini_generate":  # which gives no text with its refusal
        assert REFUSAL in refused.text + refused.refusal
    assert refused.finish


@cells("usage")
def test_usage(cell: Cell) -> None:
    cached = cell.client.ask(cell.question("cached-usage"))
    assert cached.input_tokens == 1000
    if cell.upstream != "ollama_chat":  # which does not count them
        assert cached.cached_tokens == 800
    assert cell.client.ask(cell.question("no-usage")).text == GREETING


# What the upstream answers → what the client is told. The gateway's own key is no business of the
# client's, and a fault of the upstream's is a bad gateway.
ERRORS = {400: 400, 401: 502, 403: 502, 404: 404, 429: 429, 500: 502, 503: 503, 529: 503}


@cells("errors")
def test_errors(cell: Cell, upstream: StandIn) -> None:
    for status, wanted in ERRORS.items():
        upstream.clear()
        with pytest.raises(Failed) as caught:
            cell.client.ask(cell.question(f"error-{status}"))
        assert caught.value.status == wanted
        assert 1 <= len(upstream.requests) <= 3
        assert caught.value.headers["x-request-id"]
        if status in (400, 404):
            assert len(upstream.requests) == 1
            assert "stand-in was told" in caught.value.message
        if status == 429 and cell.upstream != "ollama_chat":
            assert caught.value.headers["retry-after"] == "7"
        if status in (401, 403):
            assert caught.value.headers["x-should-retry"] == "false"


@cells("broken")
def test_broken_answers_raise(cell: Cell) -> None:
    """Cut off, failed midway, or ended without an ending: the SDK raises, whatever came before."""
    scenarios = ["cut", "error-midway"]
    if cell.streamed:
        scenarios.append("no-finish")
    for scenario in scenarios:
        with pytest.raises(Failed):
            cell.client.ask(cell.question(scenario))


@cells("no-done")
def test_a_missing_last_marker_is_forgiven_where_the_reason_came(cell: Cell) -> None:
    if cell.upstream == "openai_responses" and cell.streamed:
        with pytest.raises(Failed):  # there the last event is the one that brings the reason
            cell.client.ask(cell.question("no-done"))
    else:
        assert cell.client.ask(cell.question("no-done")).text == GREETING
