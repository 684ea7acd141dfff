"""``gateway_usage`` finds its place in whole answers and in the last event of streams."""

from __future__ import annotations

import itertools
import json

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dragoman.engine.gateway_usage import Tail, into_object

ADDED = b'"gateway_usage":{"tokens_charged":3}'
CHAT = b': ping\n\ndata: {"a":1}\n\ndata: {"choices":[],"usage":{"x":{}}}\n\ndata: [DONE]\n\n'
MESSAGES = (
    b'event: content_block_delta\ndata: {"delta":{"text":"data: {no}"}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
CRLF = b'data: {"a":1}\r\n\r\ndata: {"b":{"c":2}}\r\n\r\n'
ITEMS = [b'[{"a":1}', b',\r\n{"b":2}', b"]"]


def through(tail: Tail, pieces: list[bytes]) -> bytes:
    return b"".join([tail.feed(piece) for piece in pieces[:-1]]) + tail.finish(pieces[-1], ADDED)


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (b'{"a":1}', {"a": 1, "gateway_usage": {"tokens_charged": 3}}),
        (b'{"a":{"b":"}"}} \n', {"a": {"b": "}"}, "gateway_usage": {"tokens_charged": 3}}),
        (b"{}", {"gateway_usage": {"tokens_charged": 3}}),
    ],
)
def test_a_whole_answer_gets_one_member_more(body: bytes, whole: object) -> None:
    assert json.loads(into_object(body, ADDED)) == whole


def test_what_is_no_object_stays() -> None:
    assert into_object(b"[1]", ADDED) == b"[1]"
    assert into_object(b"", ADDED) == b""


@pytest.mark.parametrize(
    ("stream", "last"),
    [
        (CHAT, b'data: {"choices":[],"usage":{"x":{}}'),
        (MESSAGES, b'data: {"type":"message_stop"'),
        (CRLF, b'data: {"b":{"c":2}'),
    ],
)
@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_a_stream_gets_it_in_its_last_event_however_it_is_cut(
    stream: bytes, last: bytes, cuts: list[int]
) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    told = through(Tail(array=False), pieces)
    assert told == stream.replace(last + b"}", last + b"," + ADDED + b"}")


def test_events_but_the_last_leave_at_once() -> None:
    tail = Tail(array=False)
    assert tail.feed(b'data: {"a":1}\n\n') == b""
    assert tail.feed(b'data: {"b":1}\n\n') == b'data: {"a":1}\n\n'
    assert tail.flush() == b'data: {"b":1}\n\n'
    assert tail.flush() == b""


def test_an_array_gets_it_in_its_last_item() -> None:
    told = json.loads(through(Tail(array=True), ITEMS))
    assert told == [{"a": 1}, {"b": 2, "gateway_usage": {"tokens_charged": 3}}]


def test_a_stream_without_json_stays() -> None:
    assert through(Tail(array=False), [b": ping\n\n", b"data: [DONE]\n\n"]) == (
        b": ping\n\ndata: [DONE]\n\n"
    )
