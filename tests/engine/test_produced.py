"""What of an answer was produced, off the events that pass, forwarded or translated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.canonical.collect import replay
from dragoman.canonical.events import Event, PartDelta, PartStart, Start, UsageUpdate
from dragoman.canonical.parts import Media, Reasoning, Text, ToolCall
from dragoman.canonical.request import Message, Request
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.engine.produced import Produced, tells_usage, usage_of
from dragoman.engine.reading import decoder_for
from dragoman.governance.tokens import MEDIA_TOKENS, text_tokens
from dragoman.protocols.base import Parsed, all_events
from dragoman.protocols.registry import protocol

CLIENT_PROTOCOLS = (
    "openai_chat",
    "openai_completions",
    "openai_responses",
    "anthropic_messages",
    "gemini_generate",
    "ollama_chat",
)
every_protocol = pytest.mark.parametrize("name", CLIENT_PROTOCOLS)
ASKED = Request(model="m", messages=[Message(role="user", parts=[Text(text="Tell me a story.")])])
STORY = "The lighthouse keeper had not spoken to anyone for eleven days when the boat came. " * 40


def streamed(name: str, usage: Usage | None) -> list[bytes]:
    """A stream of ``name`` that tells the story in many pieces, one item for each event."""
    encoder = protocol(name).stream_encoder(ASKED)
    words = STORY.split(" ")
    events: list[Event] = [Start(id="a", model="m", created=1)]
    if usage is not None:
        events.append(UsageUpdate(usage))
    events.append(PartStart(0, Text(text="")))
    events += [PartDelta(0, word + " ") for word in words]
    return [encoder.feed(event) for event in events]


def relayed(name: str, chunks: list[bytes]) -> tuple[Produced, Usage | None]:
    """What is known after ``chunks`` were forwarded."""
    parsed = Parsed(body=b"{}", wire=None, model="m", stream=True)
    relay = protocol(name).stream_relay(parsed, Origin(name, "custom", "m"))
    produced = Produced()
    reported: Usage | None = None
    for chunk in chunks:
        _, events = relay.feed(chunk)
        produced.see(events)
        for event in events:
            if isinstance(event, UsageUpdate):
                reported = event.usage
    return produced, reported


@every_protocol
def test_a_forwarded_stream_that_breaks_off_is_counted_as_far_as_it_came(name: str) -> None:
    chunks = streamed(name, None)
    half = len(chunks) // 2
    produced, reported = relayed(name, chunks[:half])
    usage = produced.usage(17, reported)
    assert usage.estimated
    assert usage.output == pytest.approx(text_tokens(STORY) / 2, rel=0.03)
    assert usage.reasoning == 0
    assert usage.input == 17 or name == "anthropic_messages"


def test_what_anthropic_reported_at_the_start_is_kept() -> None:
    """Its first event tells the input exactly, and the stream breaks off before the output is told."""
    told = Usage(input=1234, cache_read=500, output=1)
    produced, reported = relayed("anthropic_messages", streamed("anthropic_messages", told)[:300])
    assert reported is not None
    usage = produced.usage(17, reported)
    assert (usage.input, usage.cache_read) == (reported.input, reported.cache_read)
    assert usage.output > 200
    assert usage.estimated


@every_protocol
def test_translated_streams_are_counted_alike(name: str) -> None:
    chunks = streamed(name, None)
    decoder = protocol(name).stream_decoder(Origin(name, "custom", "m"))
    produced = Produced()
    for chunk in chunks:
        produced.see(decoder.feed(chunk))
    assert produced.usage(17, None).output == pytest.approx(text_tokens(STORY), rel=0.03)


def test_thoughts_calls_and_media_count_where_they_belong() -> None:
    answer = Response(
        choices=[
            Choice(
                parts=[
                    Reasoning(text=STORY),
                    Text(text="Four."),
                    ToolCall(id="1", name="search", arguments='{"q": "lighthouse keepers"}'),
                    Media(kind="image", data="A" * 100_000),
                    Media(kind="audio", data="B" * 100_000),
                ],
                finish=Finish(reason=FinishReason.STOP),
            )
        ]
    )
    whole = usage_of(answer, 5)
    produced = Produced()
    produced.see(replay(answer))
    pieces = produced.usage(5, None)
    for usage in (whole, pieces):
        assert usage.reasoning == pytest.approx(text_tokens(STORY), abs=2)
        assert 8 < usage.output < 25
        assert usage.output_image == MEDIA_TOKENS["image"]
        assert usage.output_audio == MEDIA_TOKENS["audio"]
        assert (usage.input, usage.estimated) == (5, True)


def test_a_report_is_the_truth_unless_more_was_produced_since() -> None:
    told = Usage(input=10, output=7)
    produced = Produced()
    produced.see([PartStart(0, Text(text="")), PartDelta(0, STORY), UsageUpdate(told)])
    assert produced.usage(99, told) is told
    produced.see([PartDelta(0, STORY)])
    after = produced.usage(99, told)
    assert after.estimated
    assert after.input == 10
    assert after.output == pytest.approx(2 * text_tokens(STORY), abs=2)


@pytest.mark.parametrize("empty", [None, Usage()])
def test_a_report_of_nothing_is_none(empty: Usage | None) -> None:
    answer = Response(choices=[Choice(parts=[Text(text=STORY)])], usage=empty)
    assert not tells_usage(answer)
    usage = usage_of(answer, 42)
    assert usage.estimated
    assert usage.input == 42
    assert usage.output > 300
    assert tells_usage(Response(usage=Usage(input=1)))


counts = st.integers(0, 5_000)


@given(
    st.builds(Usage, input=counts, cache_read=counts, output=counts, reasoning=counts),
    st.integers(0, 3_000),
    st.integers(0, 3_000),
)
def test_no_report_is_undercut(told: Usage, visible: int, thought: int) -> None:
    produced = Produced()
    produced.see([UsageUpdate(told), PartStart(0, Text(text="a" * visible))])
    produced.see([PartStart(1, Reasoning(text="b" * thought))])
    usage = produced.usage(77, told)
    seen = round(text_tokens("a" * visible)) + round(text_tokens("b" * thought))
    assert usage.estimated
    assert usage.output >= told.output
    assert usage.reasoning >= told.reasoning
    assert usage.total_output == max(told.total_output, seen)
    assert usage.total_input == (told.total_input or 77)


def test_an_endless_answer_takes_no_more_memory() -> None:
    produced = Produced()
    produced.see([PartStart(0, Text(text=""))])
    for _ in range(20):
        produced.see([PartDelta(0, "word ")] * 1_000)
    assert len(produced._visible) < 1_024
    assert produced.usage(0, None).output == pytest.approx(text_tokens("word " * 20_000), rel=0.01)


@every_protocol
def test_a_whole_stream_without_usage_ends_with_an_estimate(name: str) -> None:
    encoder = protocol(name).stream_encoder(ASKED)
    answer = Response(
        id="a",
        model="m",
        created=1,
        choices=[Choice(parts=[Text(text=STORY)], finish=Finish(reason=FinishReason.STOP))],
    )
    wire = b"".join([encoder.feed(event) for event in replay(answer)]) + encoder.finish()
    decoder = decoder_for(protocol(name), Origin(name, "custom", "m"), lambda: 17)
    updates = [e.usage for e in all_events(decoder, [wire]) if isinstance(e, UsageUpdate)]
    assert updates[-1].estimated
    assert updates[-1].output == pytest.approx(text_tokens(STORY), rel=0.03)
    assert updates[-1].input == 17
