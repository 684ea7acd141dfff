"""Every protocol: answers survive, whole and streamed, however the bytes arrive or break off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.canonical.collect import replay
from dragoman.canonical.errors import GatewayError, UpstreamBroken
from dragoman.canonical.parts import Text
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.usage import Usage
from tests.protocols.answer_strategies import interleaved, splits, usages
from tests.protocols.conformance import (
    REQUEST,
    answers,
    decode_stream,
    every_protocol,
    load,
    only_choice,
    origin,
    reasoning_of,
    reasons_alike,
    stream_of,
    text_of,
    tool_calls_of,
    written,
)
from tests.protocols.fidelity import same_json


def assert_same_answer(got: Response, wanted: Response) -> None:
    """Everything that every protocol can say is the same."""
    assert text_of(got) == text_of(wanted)
    calls = [(call.name, call.arguments) for call in tool_calls_of(got)]
    wanted_calls = [(call.name, call.arguments) for call in tool_calls_of(wanted)]
    assert [name for name, _ in calls] == [name for name, _ in wanted_calls]
    for (_, arguments), (_, expected) in zip(calls, wanted_calls, strict=True):
        assert same_json(arguments, expected)
    ids = [call.id for call in tool_calls_of(got)]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    assert reasoning_of(got) == reasoning_of(wanted)
    assert reasons_alike(got, wanted), (only_choice(got).finish, only_choice(wanted).finish)
    assert got.usage is not None
    assert wanted.usage is not None
    assert got.usage.total_input == wanted.usage.total_input
    assert got.usage.total_output == wanted.usage.total_output


@every_protocol
@given(data=st.data())
def test_a_whole_answer_survives(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    body = protocol.encode_response(response, REQUEST)
    assert_same_answer(protocol.decode_response(body, origin(protocol)), response)


@every_protocol
@given(data=st.data())
def test_a_streamed_answer_survives(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    assert_same_answer(decode_stream(protocol, [stream_of(protocol, response)]), response)


@every_protocol
@given(data=st.data())
def test_interleaved_calls_survive(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    events = data.draw(interleaved(list(replay(response))))
    assert_same_answer(decode_stream(protocol, [written(protocol, events)]), response)


@every_protocol
@given(data=st.data())
def test_any_split_gives_the_same_events(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    wire = stream_of(protocol, response)
    whole = decode_stream(protocol, [wire])
    assert decode_stream(protocol, data.draw(splits(wire))) == whole
    assert decode_stream(protocol, [wire.replace(b"\n", b"\r\n")]) == whole


@every_protocol
@settings(max_examples=max(15, settings().max_examples // 4))
@given(data=st.data())
def test_byte_by_byte_gives_the_same_events(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    wire = stream_of(protocol, response)
    chunks = [wire[at : at + 1] for at in range(len(wire))]
    assert decode_stream(protocol, chunks) == decode_stream(protocol, [wire])


@every_protocol
@given(data=st.data())
def test_a_cut_stream_never_looks_whole(name: str, data: st.DataObject) -> None:
    """Cut anywhere, it is an error, unless all that was lost is what the answer can do without: the
    usage, or a marker after the reason it ended."""
    response = data.draw(answers(name))
    protocol = load(name)
    wire = stream_of(protocol, response)
    cut = data.draw(st.integers(0, len(wire) - 1))
    try:
        got = decode_stream(protocol, [wire[:cut]])
    except GatewayError:
        return
    assert text_of(got) == text_of(response)
    assert len(tool_calls_of(got)) == len(tool_calls_of(response))
    assert reasons_alike(got, response)


@every_protocol
def test_a_stream_without_its_ending_is_broken(name: str) -> None:
    protocol = load(name)
    response = Response(
        id="r",
        model="m",
        choices=[
            Choice(parts=[Text(text="one two three")], finish=Finish(reason=FinishReason.STOP))
        ],
        usage=Usage(input=3, output=3),
    )
    encoder = protocol.stream_encoder(REQUEST)
    events = list(replay(response))
    wire = b"".join(encoder.feed(event) for event in events[:3])
    decoder = protocol.stream_decoder(origin(protocol))
    decoder.feed(wire)
    assert not decoder.ended
    with pytest.raises(UpstreamBroken):
        decoder.finish()
    with pytest.raises(UpstreamBroken):
        protocol.stream_decoder(origin(protocol)).finish()


@every_protocol
@given(data=st.data())
def test_the_terminal_marker_ends_the_stream(name: str, data: st.DataObject) -> None:
    response = data.draw(answers(name))
    protocol = load(name)
    decoder = protocol.stream_decoder(origin(protocol))
    decoder.feed(stream_of(protocol, response))
    decoder.finish()
    assert decoder.ended


@every_protocol
@given(data=st.data())
def test_a_finish_reason_is_always_written(name: str, data: st.DataObject) -> None:
    """A client without one asks again and again."""
    response = data.draw(answers(name))
    protocol = load(name)
    for choice in response.choices:
        choice.finish = None
    assert only_choice(decode_stream(protocol, [stream_of(protocol, response)])).finish
    body = protocol.encode_response(response, REQUEST)
    assert only_choice(protocol.decode_response(body, origin(protocol))).finish


@every_protocol
@given(usage=usages)
def test_usage_keeps_its_totals(name: str, usage: Usage) -> None:
    protocol = load(name)
    finish = Finish(reason=FinishReason.STOP)
    response = Response(
        id="r", model="m", choices=[Choice(parts=[Text(text="x")], finish=finish)], usage=usage
    )
    body = protocol.encode_response(response, REQUEST)
    for got in (
        protocol.decode_response(body, origin(protocol)),
        decode_stream(protocol, [stream_of(protocol, response)]),
    ):
        assert got.usage is not None
        assert got.usage.total_input == usage.total_input
        assert got.usage.total_output == usage.total_output
        buckets = [getattr(got.usage, bucket) for bucket in got.usage.__struct_fields__]
        assert all(count >= 0 for count in buckets)


@every_protocol
def test_a_ping_disturbs_nothing(name: str) -> None:
    protocol = load(name)
    response = Response(
        id="r",
        model="m",
        choices=[Choice(parts=[Text(text="one")], finish=Finish(reason=FinishReason.STOP))],
        usage=Usage(input=1, output=1),
    )
    encoder = protocol.stream_encoder(REQUEST)
    wire = encoder.ping()
    for event in replay(response):
        wire += encoder.feed(event) + encoder.ping()
    assert_same_answer(decode_stream(protocol, [wire + encoder.finish()]), response)
