"""A streamed answer, as it grows.

Order: one Start; then, per part, PartStart, any PartDeltas, PartEnd; UsageUpdates anywhere; one
Finished per choice. ``index`` numbers parts over the whole stream (choices included), and parts may
overlap, as OpenAI's parallel tool calls do. An error ends the stream as an exception of
``canonical.errors``, never as an event.
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.parts import Extensions, Json, Part
from dragoman.canonical.response import Finish
from dragoman.canonical.signature import Signature
from dragoman.canonical.usage import Usage


class Start(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer has begun."""

    id: str = ""
    model: str = ""
    created: int | None = None
    service_tier: str | None = None
    extensions: Extensions | None = None


class PartStart(msgspec.Struct, omit_defaults=True):
    """A part begins; ``part`` is that part with whatever of it is known so far."""

    index: int
    part: Part
    choice: int = 0


class PartDelta(msgspec.Struct, omit_defaults=True):
    """More of a part. ``text`` goes to its text, tool-call arguments or base64 data; ``signature``
    replaces the part's; ``extensions`` are merged field by field (lists are appended to)."""

    index: int
    text: str = ""
    signature: Signature | None = None
    logprobs: list[Json] | None = None
    extensions: Extensions | None = None


class PartEnd(msgspec.Struct, omit_defaults=True):
    """A part is complete."""

    index: int


class UsageUpdate(msgspec.Struct, omit_defaults=True):
    """The usage so far; each replaces the one before."""

    usage: Usage


class Finished(msgspec.Struct, omit_defaults=True):
    """One choice is complete."""

    finish: Finish
    choice: int = 0


Event = Start | PartStart | PartDelta | PartEnd | UsageUpdate | Finished
