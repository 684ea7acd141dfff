"""How lines stand in the journal's files: framing, checksums, and finding them again in damaged bytes.

::

    segment   header · line · line · … · zeros
    header    magic (8) · format version (u32) · segment number (u64) · CRC-32 of these 20 bytes (u32)
    line      mark ff d7 · length of the payload (u16) · CRC-32 of the payload (u32) · payload

Little-endian. A payload is one ``governance.ledger.Line`` in MessagePack. Its CRC starts from the segment's
number, so that a line of another segment, which a file system may uncover after a power failure, is no
line here. The mark begins with ff, a byte that no UTF-8 text has: no text that a client chose can pass
for a line when the one around it is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from dragoman.governance.ledger import Entry, Line, Settled

LINE_BYTES = 4096
"""The most that a line takes up, with its frame."""
FRAME = struct.Struct("<2sHI")
MARK = b"\xff\xd7"

_HEADER = struct.Struct("<8sIQ")
_SUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _SUM.size
_MAGIC = b"dragoman"
_VERSION = 1

_LETTERS = (64, 16, 0)
"""A settlement that is too long has its descriptive texts cut to so many letters, one after the other."""
_EXACT = frozenset({"id", "kind", "key_id"})
_READ_BYTES = 256 * 1024

_pack = msgspec.msgpack.Encoder().encode


class TooNew(Exception):
    """A newer version of the gateway has written the segment."""


class Survey(NamedTuple):
    """What a segment holds: (begin, end) of every whole line; ``end`` is behind the last. ``damaged``
    if something before that cannot be read, ``torn`` if something behind it is not zero."""

    lines: list[tuple[int, int]]
    end: int
    damaged: bool
    torn: bool


def position(number: int, offset: int) -> int:
    """A place in the whole journal as one integer that grows."""
    return number << 32 | offset


def place(at: int) -> tuple[int, int]:
    """Segment number and offset of a position."""
    return at >> 32, at & 0xFFFFFFFF


def encode(line: Line) -> bytes:
    """The line's payload. Raises ValueError if it cannot be written whole; but a Settled is cut in its
    descriptive texts rather than lost: they are what clients and upstreams choose."""
    try:
        payload = _pack(line)
    except (UnicodeEncodeError, OverflowError):
        payload = b""  # a lone surrogate, or a number of more than 64 bits
    if payload and len(payload) <= LINE_BYTES - FRAME.size:
        return payload
    if isinstance(line, Settled):
        for letters in _LETTERS:
            payload = _encode_cut(line, letters)
            if payload and len(payload) <= LINE_BYTES - FRAME.size:
                return payload
    raise ValueError(f"{type(line).__name__} {line.id!r} cannot be written as a journal line")


def frame(payload: bytes, number: int) -> bytes:
    """The line as it stands in segment ``number``."""
    return FRAME.pack(MARK, len(payload), crc32(payload, number)) + payload


def header(number: int) -> bytes:
    """The first bytes of a segment."""
    plain = _HEADER.pack(_MAGIC, _VERSION, number)
    return plain + _SUM.pack(crc32(plain))


def lines(data: bytes, number: int, start: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of every whole line from ``start`` on. Whatever is no line is stepped over."""
    at = start
    while at >= 0:
        if end := _line_end(data, number, at):
            yield at, end
            at = end
        else:
            at = data.find(MARK, at + 1)


def survey(data: bytes, number: int) -> Survey:
    """Read a whole segment. Raises TooNew."""
    found = [*lines(data, number, HEADER_BYTES)]
    ends = [HEADER_BYTES, *(end for _, end in found)]
    gaps = any(begin != end for (begin, _), end in zip(found, ends, strict=False))
    rest = data[ends[-1] :]
    return Survey(
        lines=found,
        end=ends[-1],
        damaged=gaps or not _header_fits(data, number),
        torn=rest.count(0) != len(rest),
    )


def read_lines(path: Path, number: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """(end, payload) of the whole lines between two offsets, read piece by piece. Raises OSError."""
    with path.open("rb") as file:
        while start < stop:
            file.seek(start)
            data = file.read(min(_READ_BYTES, stop - start))
            last = not data or start + len(data) >= stop or len(data) < LINE_BYTES
            # A line that begins near the end of the piece may be cut; the next piece has it whole.
            trusted = len(data) if last else len(data) - LINE_BYTES + 1
            done = 0
            for begin, end in lines(data, number, 0):
                if begin >= trusted:
                    break
                yield start + end, data[begin + FRAME.size : end]
                done = end
            start = stop if last else start + max(done, trusted)


def _line_end(data: bytes, number: int, at: int) -> int:
    """Where the line that begins at ``at`` ends; 0 if none does."""
    if at + FRAME.size > len(data):
        return 0
    mark, length, checksum = FRAME.unpack_from(data, at)
    end: int = at + FRAME.size + length
    if mark != MARK or not length or end > len(data) or end - at > LINE_BYTES:
        return 0
    return end if crc32(data[at + FRAME.size : end], number) == checksum else 0


def _header_fits(data: bytes, number: int) -> bool:
    if len(data) < HEADER_BYTES:
        return False
    plain = data[: _HEADER.size]
    (checksum,) = _SUM.unpack_from(data, _HEADER.size)
    magic, version, own_number = _HEADER.unpack(plain)
    if checksum != crc32(plain) or magic != _MAGIC:
        return False
    if version > _VERSION:
        raise TooNew
    return bool(own_number == number)


def _encode_cut(line: Settled, letters: int) -> bytes:
    """Nothing if even so it cannot be written."""
    try:
        return _pack(Settled(line.id, tuple(_cut(entry, letters) for entry in line.entries)))
    except (UnicodeEncodeError, OverflowError):
        return b""


def _cut(entry: Entry, letters: int) -> Entry:
    texts = {
        name: value[:letters].encode(errors="replace").decode()
        for name in Entry.__struct_fields__
        if name not in _EXACT and isinstance(value := getattr(entry, name), str)
    }
    return msgspec.structs.replace(entry, **texts)
