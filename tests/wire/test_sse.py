"""Server-sent events: every line end, every split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.wire.sse import SSEEvent, SSEReader, write_event

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:{}",
        b"data",
        b"data: a b",
        b"event: x",
        b"event:y",
        b": comment",
        b"id: 1",
        b"data:  two",
    ]
)
BLOCKS = st.lists(st.lists(LINES, min_size=1, max_size=4), max_size=6)


def read(chunks: list[bytes]) -> list[SSEEvent]:
    reader = SSEReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.finish()


@given(BLOCKS, LINE_ENDS, st.lists(st.integers(1, 9), min_size=1), st.booleans())
def test_any_split_gives_the_same_events(
    blocks: list[list[bytes]], end: bytes, sizes: list[int], bom: bool
) -> None:
    body = b"".join(end.join(block) + end + end for block in blocks)
    whole = read([body])
    assert len(whole) == len(blocks)
    assert b"".join(event.raw for event in whole) == body
    data = (b"\xef\xbb\xbf" if bom else b"") + body
    chunks = []
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        chunks.append(data[at : at + size])
        at += size
    assert read(chunks) == whole


def test_the_fields_of_an_event() -> None:
    body = b": hi\n\nevent: a\ndata: 1\ndata:2\n\ndata\n\ndata: [DONE]\n\n"
    assert [(e.event, e.data) for e in read([body])] == [
        ("", None),
        ("a", b"1\n2"),
        ("", b""),
        ("", b"[DONE]"),
    ]


def test_mixed_line_ends_in_one_stream() -> None:
    body = b"data: 1\n\r\ndata: 2\r\n\ndata: 3\r\rdata: 4\n\n"
    assert [e.data for e in read([body])] == [b"1", b"2", b"3", b"4"]


def test_line_ends_mixed_within_an_event_at_any_split() -> None:
    body = b"data: 1\rdata: 2\ndata: 3\r\n\ndata: 4\r\n\r\ndata: 5\n\n"
    whole = read([body])
    assert [e.data for e in whole] == [b"1\n2\n3", b"4", b"5"]
    for size in range(1, len(body)):
        assert read([body[at : at + size] for at in range(0, len(body), size)]) == whole


def test_a_last_event_without_its_empty_line_counts() -> None:
    assert [e.data for e in read([b"data: [DONE]\n"])] == [b"[DONE]"]
    assert read([b"data: 1\n\n", b"\n \n"]) == read([b"data: 1\n\n"])


def test_written_events_read_back() -> None:
    [event] = read([write_event(b'{"a":1}', "name")])
    assert (event.event, event.data) == ("name", b'{"a":1}')
