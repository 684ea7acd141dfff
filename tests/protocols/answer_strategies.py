"""Hypothesis strategies for canonical answers, their events, and the chunks they come in."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from dragoman.canonical.events import Event, PartDelta, PartEnd, PartStart
from dragoman.canonical.parts import Part, Reasoning, Text, ToolCall
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.canonical.usage import Usage
from tests.protocols.strategies import ids, json_objects, names, optional, signatures, words

usages = st.builds(
    Usage,
    input=st.integers(0, 10_000),
    cache_read=st.integers(0, 10_000),
    cache_write_5m=st.integers(0, 1_000),
    output=st.integers(0, 10_000),
    reasoning=st.integers(0, 10_000),
)


@st.composite
def responses(draw: st.DrawFn, *, text_only: bool = False) -> Response:
    """One answer of the kind that every conversing protocol can say: reasoning, text, calls, usage;
    or, ``text_only``, of the kind that is left without conversation."""
    parts: list[Part] = []
    if draw(st.booleans()) and not text_only:
        parts.append(Reasoning(text=draw(words), signature=draw(optional(signatures()))))
    if draw(st.booleans()):
        parts.append(Text(text=draw(words)))
    call_ids = draw(st.lists(ids, max_size=0 if text_only else 3, unique=True))
    parts += [
        ToolCall(id=call_id, name=draw(names), arguments=json.dumps(draw(json_objects)))
        for call_id in call_ids
    ]
    reason = FinishReason.TOOL_CALLS
    if not call_ids:
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
        reason = draw(st.sampled_from(reasons))
    choice = Choice(parts=parts, finish=Finish(reason=reason))
    return Response(
        id=draw(names),
        model="m",
        choices=[choice],
        usage=draw(usages),
        created=draw(st.integers(1_700_000_000, 1_900_000_000)),
    )


@st.composite
def interleaved(draw: st.DrawFn, events: list[Event]) -> list[Event]:
    """The same events with the tool calls' deltas taking turns, as OpenAI sends parallel calls."""
    calls = {
        event.index
        for event in events
        if isinstance(event, PartStart) and isinstance(event.part, ToolCall)
    }
    indexed = PartStart | PartDelta | PartEnd
    head = [e for e in events if isinstance(e, indexed) and e.index not in calls]
    rest = [e for e in events if not isinstance(e, indexed)]
    starts = [e for e in events if isinstance(e, PartStart) and e.index in calls]
    pieces: list[Event] = []
    for event in events:
        if isinstance(event, PartDelta) and event.index in calls:
            cut = draw(st.integers(0, len(event.text)))
            pieces.append(PartDelta(event.index, event.text[:cut]))
            pieces.append(PartDelta(event.index, event.text[cut:]))
    # Halves stay in order per call: first halves, shuffled, then second halves, shuffled.
    turns = [*draw(st.permutations(pieces[::2])), *draw(st.permutations(pieces[1::2]))]
    ends = [e for e in events if isinstance(e, PartEnd) and e.index in calls]
    return [rest[0], *head, *starts, *turns, *ends, *rest[1:]]


def splits(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """``data`` cut into chunks at up to eight places."""
    places = st.lists(st.integers(0, len(data)), max_size=8).map(sorted)
    return places.map(
        lambda cuts: [
            data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)
        ]
    )
