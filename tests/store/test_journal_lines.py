"""The bytes of the journal: what is read is what was written, or nothing."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.governance.ledger import Entry, Hold, Line, Settled, transfer
from dragoman.store.journal_lines import (
    FRAME,
    HEADER_BYTES,
    LINE_BYTES,
    MARK,
    TooNew,
    encode,
    frame,
    header,
    read_lines,
    survey,
)
from tests.support.journals import any_line, hold, released, settled

NUMBER = 7
decode = msgspec.msgpack.Decoder(Line).decode
several = st.lists(any_line, min_size=1, max_size=6)


def segment(lines: list[Line]) -> tuple[bytes, list[int]]:
    """The bytes of a segment without its zeros, and where each line ends."""
    data, ends = header(NUMBER), []
    for line in lines:
        data += frame(encode(line), NUMBER)
        ends.append(len(data))
    return data, ends


def read(data: bytes) -> list[Line]:
    return [decode(data[begin + FRAME.size : end]) for begin, end in survey(data, NUMBER).lines]


@given(several)
def test_lines_come_back_as_they_went(lines: list[Line]) -> None:
    data, ends = segment(lines)
    seen = survey(data + bytes(5000), NUMBER)
    assert read(data) == lines
    assert (seen.end, seen.damaged, seen.torn) == (ends[-1], False, False)


@given(several, st.data())
def test_a_cut_takes_the_lines_at_and_behind_it_and_no_other(
    lines: list[Line], data: st.DataObject
) -> None:
    whole, ends = segment(lines)
    cut = data.draw(st.integers(HEADER_BYTES, len(whole) - 1))
    # A file system may also give back zeros in the place of the rest.
    seen = whole[:cut] + bytes(data.draw(st.sampled_from([0, 3000])))
    before = [line for line, end in zip(lines, ends, strict=True) if seen[:end] == whole[:end]]
    assert read(seen) == before
    assert not survey(seen, NUMBER).damaged


@given(several, st.data())
def test_a_flipped_byte_never_makes_a_wrong_line(lines: list[Line], data: st.DataObject) -> None:
    whole, ends = segment(lines)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    try:
        found, seen = read(bytes(flipped)), survey(bytes(flipped), NUMBER)
    except TooNew:
        pytest.fail("a flipped version is damage, for its checksum is wrong")
    begins = [HEADER_BYTES, *ends[:-1]]
    others = [
        line for line, begin, end in zip(lines, begins, ends, strict=True) if not begin <= at < end
    ]
    assert found == others, "only the line that was hit is lost"
    assert seen.damaged or seen.torn, "and never silently"


def test_a_long_segment_is_read_piece_by_piece(tmp_path: Path) -> None:
    lines: list[Line] = [settled(number, model="m" * (number % 977)) for number in range(2000)]
    whole, ends = segment(lines)
    damaged = bytearray(whole)
    hits = range(3, len(lines), 7)  # some of them where one piece ends and the next begins
    for hit in hits:
        damaged[ends[hit] - 60] ^= 1
    path = tmp_path / "segment"
    path.write_bytes(damaged + bytes(LINE_BYTES))
    assert len(whole) > 1_000_000
    for first in (0, 1, 1500):
        start = ends[first - 1] if first else HEADER_BYTES
        found = [*read_lines(path, NUMBER, start, ends[-1])]
        wanted = [one for one in range(first, len(lines)) if one not in hits]
        assert [decode(payload) for _, payload in found] == [lines[one] for one in wanted]
        assert [end for end, _ in found] == [ends[one] for one in wanted]


def test_a_line_of_another_segment_is_none() -> None:
    stale = frame(encode(hold(1)), NUMBER - 1)
    seen = survey(header(NUMBER) + stale, NUMBER)
    assert (seen.lines, seen.torn) == ([], True)


def test_text_cannot_pass_for_a_line() -> None:
    # Whatever a client calls its model, in UTF-8 there is no ff.
    assert MARK[0] == 0xFF
    forged = frame(encode(released(1)), NUMBER).decode("latin-1")
    whole, _ = segment([settled(1, model=forged)])
    damaged = whole[:HEADER_BYTES] + b"\0\0" + whole[HEADER_BYTES + 2 :]
    assert read(damaged) == []


def test_a_newer_format_is_not_read() -> None:
    plain = b"dragoman" + (2).to_bytes(4, "little") + NUMBER.to_bytes(8, "little")
    with pytest.raises(TooNew):
        survey(plain + crc32(plain).to_bytes(4, "little"), NUMBER)


def test_a_long_settlement_loses_its_texts_and_no_money() -> None:
    texts = {
        name: "\U0001f409" * 300
        for name, kind in Entry.__annotations__.items()
        if kind == "str" and name not in ("id", "kind", "key_id")
    }
    entries = tuple(
        Entry(
            id=f"req-1#{number}",
            kind="attempt",
            at=1.5,
            user_id=1,
            key_id="key-1",
            cost=5,
            legs=transfer("operator", "usage", 5),
            **texts,
        )
        for number in range(5)
    )
    payload = encode(Settled("req-1", entries))
    assert len(payload) + FRAME.size <= LINE_BYTES
    kept = decode(payload)
    assert isinstance(kept, Settled)
    exact = ("id", "kind", "at", "user_id", "key_id", "cost", "legs")
    for entry, before in zip(kept.entries, entries, strict=True):
        assert [getattr(entry, name) for name in exact] == [getattr(before, name) for name in exact]


def test_a_text_that_is_no_text_does_not_stop_a_settlement() -> None:
    kept = decode(encode(settled(1, model="gpt\ud800")))
    assert isinstance(kept, Settled)
    assert kept.entries[0].model == "gpt?"
    assert kept.entries[0].legs == settled(1).entries[0].legs


@pytest.mark.parametrize(
    "line",
    [
        msgspec.structs.replace(hold(1), account="a" * LINE_BYTES),
        msgspec.structs.replace(hold(1), nano=2**64),
        Settled("r", tuple(Entry(id="x" * 300, kind="k", at=0.0, user_id=1) for _ in range(50))),
        Hold("\ud800", 1.0, 1, "", "", 0),
    ],
    ids=["long", "large", "many", "no-text"],
)
def test_what_cannot_be_written_whole_is_refused(line: Line) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        encode(line)
