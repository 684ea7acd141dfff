"""Pieces of a stream, labelled by what they are for, so that scenarios can lose some of them."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

Kind = Literal["head", "body", "finish", "usage", "done"]


class Frame(NamedTuple):
    """``kind`` says what the frame brings; ``data`` are its bytes on the wire."""

    kind: Kind
    data: bytes


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8, as vendors write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def sse(value: Any, event: str = "") -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + dumps(value) + b"\n\n"


def without(frames: list[Frame], *kinds: Kind) -> list[Frame]:
    """The frames that are of none of ``kinds``."""
    return [frame for frame in frames if frame.kind not in kinds]
