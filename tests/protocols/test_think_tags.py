"""Reasoning between tags in the text, wherever the chunks of a stream may cut."""

from __future__ import annotations

import itertools
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from dragoman.canonical.collect import collect, replay
from dragoman.canonical.events import Event, Finished, PartDelta, PartEnd, PartStart, Start
from dragoman.canonical.parts import Part, Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.response import Choice, Finish, FinishReason, Response
from dragoman.protocols.think_tags import TagReader, ThinkTags

TAG = "vertex_think_tag"
STOP = Finish(reason=FinishReason.STOP)

# Pieces that are, or nearly are, what the reader looks for.
_PIECES = [
    f"<{TAG}>",
    f"</{TAG}>",
    f"<{TAG}",
    "</",
    "<",
    ">",
    TAG,
    "a",
    "bc",
    " ",
    "\n",
    "é",
    "<b>",
]
texts = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)


def reference(text: str) -> list[tuple[bool, str]]:
    """The meaning of a whole text: (thought?, text) of what is not empty."""
    found: list[tuple[bool, str]] = []
    inside, first = False, True
    while text or first:
        tag = f"</{TAG}>" if inside else f"<{TAG}>"
        before, is_there, text = text.partition(tag)
        before = before if first else before.lstrip()
        before = before.rstrip() if inside else before
        if before:
            found.append((inside, before))
        if not is_there:
            break
        inside, first = not inside, False
    return found


def split(pieces: list[str]) -> list[tuple[bool, str]]:
    reader = TagReader(TAG)
    found = [piece for text in pieces for piece in reader.feed(text)] + reader.finish()
    joined: dict[int, tuple[bool, str]] = {}
    for piece in found:
        joined[piece.block] = (piece.thought, joined.get(piece.block, (False, ""))[1] + piece.text)
    return list(joined.values())


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text, and the same in pieces."""
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    bounds = [0, *cuts, len(text)]
    return text, [text[a:b] for a, b in itertools.pairwise(bounds)]


@hypothesis.given(cut())
@hypothesis.settings(max_examples=600)
def test_any_split_means_what_the_whole_means(given: tuple[str, list[str]]) -> None:
    text, pieces = given
    assert split(pieces) == reference(text)


@hypothesis.given(texts)
def test_character_by_character_too(text: str) -> None:
    assert split(list(text)) == reference(text)


@hypothesis.given(st.text(alphabet=st.characters(exclude_characters="<"), max_size=50))
def test_what_cannot_be_a_tag_is_never_held_back(text: str) -> None:
    assert "".join(piece.text for piece in TagReader(TAG).feed(text)) == text


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("plain", [(False, "plain")]),
        (f"<{TAG}>why</{TAG}>what", [(True, "why"), (False, "what")]),
        (f"<{TAG}>\nwhy\n</{TAG}>\n\nwhat\n", [(True, "why"), (False, "what\n")]),
        (
            f"so <{TAG}>a</{TAG}> b <{TAG}>c</{TAG}>",
            [(False, "so "), (True, "a"), (False, "b "), (True, "c")],
        ),
        (f"<{TAG}>it never ends ", [(True, "it never ends")]),
        (f"a</{TAG}>b", [(False, f"a</{TAG}>b")]),
        (f"<{TAG}>a <{TAG}> b</{TAG}>", [(True, f"a <{TAG}> b")]),
        (f"<{TAG}>  </{TAG}>", []),
        (f"a <{TAG[:4]}", [(False, f"a <{TAG[:4]}")]),
    ],
)
def test_examples(text: str, meaning: list[tuple[bool, str]]) -> None:
    assert split([text]) == reference(text) == meaning


# --- As a filter of events -------------------------------------------------------------------------


def filtered(response: Response) -> Response:
    keep = ThinkTags(TAG)
    return collect(more for event in replay(response) for more in keep(event))


def answer(*parts: Part) -> Response:
    return Response(id="r", model="m", choices=[Choice(index=0, parts=list(parts), finish=STOP)])


def test_a_whole_answer() -> None:
    call = ToolCall(id="c", name="look", arguments="{}")
    found = filtered(answer(Text(text=f"<{TAG}>why</{TAG}>what"), call, Refusal(text="no")))
    assert found.choices[0].parts == [
        Reasoning(text="why"),
        Text(text="what"),
        call,
        Refusal(text="no"),
    ]
    assert found.choices[0].finish == STOP


def test_an_answer_without_tags_stays_as_it_is() -> None:
    extensions = {"openai_chat": {"annotations": [1]}}
    response = answer(Text(text="hello", extensions=extensions), Text(text=""))
    response.choices[0].logprobs = [{"token": "hello"}]
    assert filtered(response) == response


def test_every_choice_has_its_own_tags() -> None:
    response = answer(Text(text=f"<{TAG}>one"))
    response.choices.append(Choice(index=1, parts=[Text(text=f"two</{TAG}>")], finish=STOP))
    first, second = filtered(response).choices
    assert first.parts == [Reasoning(text="one")]
    assert second.parts == [Text(text=f"two</{TAG}>")]


def test_parts_that_overlap_keep_their_numbers_apart() -> None:
    keep = ThinkTags(TAG)
    given: list[Event] = [
        Start(id="r"),
        PartStart(0, Text(text="")),
        PartDelta(0, f"<{TAG}>wh"),
        PartStart(1, ToolCall(id="c", name="look")),
        PartDelta(0, f"y</{TAG}>what"),
        PartDelta(1, "{}"),
        PartEnd(0),
        PartEnd(1),
        Finished(STOP),
    ]
    events = [more for event in given for more in keep(event)]
    starts = [event.index for event in events if isinstance(event, PartStart)]
    assert len(set(starts)) == len(starts) == 3
    parts = collect(events).choices[0].parts
    assert parts == [
        Reasoning(text="why"),
        ToolCall(id="c", name="look", arguments="{}"),
        Text(text="what"),
    ]


@hypothesis.given(cut())
def test_a_stream_and_a_whole_answer_agree(given: tuple[str, list[str]]) -> None:
    text, pieces = given
    keep = ThinkTags(TAG)
    stream: list[Event] = [PartStart(0, Text(text="")), *(PartDelta(0, one) for one in pieces)]
    events = [more for event in [*stream, PartEnd(0)] for more in keep(event)]
    streamed = collect(events).choices[0].parts
    assert streamed == filtered(answer(Text(text=text))).choices[0].parts
    assert not re.search(f"<{TAG}>", "".join(p.text for p in streamed if isinstance(p, Text)))
