"""What an app puts out, read as reasoning and text, whole and while it grows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.canonical.collect import collect
from dragoman.canonical.events import PartEnd, PartStart
from dragoman.protocols.gradio.answer import read_outputs
from tests.protocols.gradio_support import answer_of, deltas, events_of, parts_of, queue
from tests.protocols.strategies import json_values


def read(*outputs: Any) -> list[tuple[str, str]]:
    return [
        ("thought" if segment.thought else "text", segment.text)
        for segment in read_outputs(list(outputs), final=True)
    ]


def thought(text: str, **metadata: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "metadata": {"title": "Thinking", **metadata}}


def said(text: Any, role: str = "assistant") -> dict[str, Any]:
    return {"role": role, "content": text, "metadata": {}}


FILE = {"path": "/x/a.png", "url": "https://a.hf.space/file=a.png", "orig_name": "a.png"}


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("Hello", [("text", "Hello")]),
        ("  spaces stay \n", [("text", "  spaces stay \n")]),
        ("", []),
        (None, []),
        (4, [("text", "4")]),
        (True, [("text", "true")]),
        (said("Hello"), [("text", "Hello")]),
        (thought("Hm."), [("thought", "Hm.")]),
        ([thought("Hm."), said("Yes.")], [("thought", "Hm."), ("text", "Yes.")]),
        ([thought("Hm."), thought("So.")], [("thought", "Hm.\n\nSo.")]),
        ([said("One."), said("Two.")], [("text", "One.\n\nTwo.")]),
        (["Hm.", "Yes."], [("thought", "Hm."), ("text", "Yes.")]),
        ([None, "Yes."], [("text", "Yes.")]),
        ([["Q?", "A."], ["Q2?", "A2."]], [("text", "A2.")]),
        ([["Q?", None]], []),
        ([said("Q?", "user"), said("A."), said("Q2?", "user"), said("A2.")], [("text", "A2.")]),
        ([said("Q?", "user")], []),
        (said([{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}]), None),
        (said({"file": FILE}), [("text", "[a.png](https://a.hf.space/file=a.png)")]),
        ({**FILE, "meta": {}, "mime_type": "image/png"}, None),
        ({"text": "Look.", "files": [{**FILE, "meta": {}}]}, None),
        ({"__type__": "update", "value": "Hello"}, [("text", "Hello")]),
        ({"score": 1}, [("text", '{"score":1}')]),
    ],
)
def test_every_kind_of_output(output: Any, answer: list[tuple[str, str]] | None) -> None:
    if answer is None:
        assert read(output)
    else:
        assert read(output) == answer


def test_content_in_parts() -> None:
    assert read(said([{"type": "text", "text": "One"}, {"type": "text", "text": "Two"}])) == [
        ("text", "One\n\nTwo")
    ]
    image = {**FILE, "meta": {}, "mime_type": "image/png"}
    assert read(image) == [("text", "![a.png](https://a.hf.space/file=a.png)")]
    assert read({"path": "/x/y", "url": "javascript:alert(1)", "meta": {}}) == [("text", "[file]")]


def test_a_history_among_several_outputs_is_the_answer() -> None:
    assert read("", [said("Q?", "user"), said("A.")]) == [("text", "A.")]
    assert read("", [["Q?", "A."]]) == [("text", "A.")]
    assert read("", "A.") == [("text", "A.")]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            "<details open><summary>Thinking</summary>\nHm.\n</details>\n\nYes.",
            [("thought", "Hm."), ("text", "Yes.")],
        ),
        ("<DETAILS>Hm.</DETAILS>Yes.", [("thought", "Hm."), ("text", "Yes.")]),
        # What stands before a block is not lost.
        (
            "Well.\n<details><summary>My reasoning</summary>Hm.</details>Yes.",
            [("text", "Well.\n"), ("thought", "Hm."), ("text", "Yes.")],
        ),
        # An answer may hold blocks of its own.
        ("Use:\n<details><summary>Code</summary>x</details>", None),
        (
            "<details>Hm.</details>Use: <details><summary>Thought</summary>x</details>",
            [("thought", "Hm."), ("text", "Use: <details><summary>Thought</summary>x</details>")],
        ),
        ("<details>Hm.<details>So.</details></details>Yes.", None),
        ("<details><summary>Thinking", [("thought", "<summary>Thinking")]),
        ("<details>Hm.", [("thought", "Hm.")]),
        ("<details><summary>Thinking</summary></details>Yes.", [("text", "Yes.")]),
        ("<think>Hm.</think>\nYes.", [("thought", "Hm."), ("text", "Yes.")]),
        ("\n<thinking>Hm.</thinking>", [("thought", "Hm.")]),
        ("<think>Hm.", [("thought", "Hm.")]),
        ("Tags: <think>x</think>", [("text", "Tags: <think>x</think>")]),
        ("1 < 2 and <b>bold</b>", [("text", "1 < 2 and <b>bold</b>")]),
    ],
)
def test_reasoning_in_the_text(text: str, answer: list[tuple[str, str]] | None) -> None:
    if answer is None:
        answer = [("text", text)]
        if text.startswith("<"):
            answer = [("thought", "Hm.<details>So.</details>"), ("text", "Yes.")]
    assert read(text) == answer


GROWING = [
    "Hello there, you.\n",
    "<details open><summary>Thinking</summary>\nHm, <b>well</b>.\n</details>\n\nYes: 1 < 2.",
    "Well.\n<details><summary>Reasoning</summary>Hm.</details>Yes.",
    "Use <details><summary>Code</summary>x</details> so.",
    "<think>Hm.\n</think>\n\nYes.",
    "a <d b <details c",
    "",
]


@given(text=st.sampled_from(GROWING), steps=st.sets(st.integers(0, 80)), cursor=st.booleans())
def test_a_growing_text_gives_the_same_answer_in_pieces(
    text: str, steps: set[int], cursor: bool
) -> None:
    """However the text grows, with or without a cursor drawn at its end, nothing has to be taken
    back."""
    states = [text[:step] + ("▌" if cursor else "") for step in sorted(steps) if step <= len(text)]
    stream = queue(*([state] for state in states), final=[text])
    assert answer_of(stream) == answer_of(stream, whole=True) == read(text)


PIECES = [
    *("<details>", "<details open>", "</details>", "<summary>", "</summary>", "<DETAILS", "<sum"),
    *("<think>", "</think>", "<thinking>", "</thinking>", "<", ">", "</", "<b>", "<det"),
    *("x", "y z", " ", "\n", "reasoning", "1 < 2"),
]


@given(text=st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
@example(text="<details><summary>x</summary>y</details>")
@example(text="< details>")
@example(text="<details <summary></details>")
def test_any_growing_text_gives_the_same_answer_in_pieces(text: str) -> None:
    stream = queue(*([text[:step]] for step in range(len(text) + 1)), final=[text])
    assert answer_of(stream) == read(text)


def test_the_answer_comes_as_it_grows() -> None:
    states = ["One", "One two", "One two", "One two three"]
    assert deltas(events_of([queue(*([state] for state in states))])) == ["One", " two", " three"]


def test_an_empty_thought_holds_nothing_up() -> None:
    states = ["<think>\n", "<think>\n</think>\n\nYes", "<think>\n</think>\n\nYes."]
    events = events_of([queue(*([state] for state in states))])
    assert deltas(events) == ["Yes", "."]
    assert parts_of(collect(events)) == [("text", "Yes.")]


def test_thoughts_come_as_they_grow() -> None:
    states = [
        thought("Hm"),
        thought("Hm."),
        [thought("Hm.", status="done"), said("Yes")],
        [thought("Hm.", status="done"), said("Yes.")],
    ]
    events = events_of([queue(*([state] for state in states))])
    assert deltas(events) == ["Hm", ".", "Yes", "."]
    assert parts_of(collect(events)) == [("thought", "Hm."), ("text", "Yes.")]
    kinds = [type(event) for event in events if isinstance(event, PartStart | PartEnd)]
    assert kinds == [PartStart, PartEnd, PartStart, PartEnd]


@pytest.mark.parametrize(
    ("states", "streamed"),
    [
        # What was shown while the app was busy cannot be taken back; the answer follows it whole.
        (["Loading…", "The answer", "The answer."], "Loading…\n\nThe answer."),
        (["Thinking…", "This is it"], "Thinking…\n\nThis is it"),
        # Cut off at the end: nothing to add.
        (["One two  ", "One two"], "One two  "),
        # Changed in the middle: what both have in common, then from the word that differs.
        (["One tow", "One two three"], "One tow\n\ntwo three"),
        # Changed and changed back.
        (["One", "Two", "One more"], "One more"),
    ],
)
def test_words_that_an_app_takes_back(states: list[str], streamed: str) -> None:
    stream = queue(*([state] for state in states))
    assert answer_of(stream) == [("text", streamed)]
    # An answer that leaves whole is the last state, and nothing else.
    assert answer_of(stream, whole=True) == [("text", states[-1])]


def test_text_that_becomes_a_thought() -> None:
    stream = queue(["Let me see."], [[thought("Let me see."), said("Yes.")]])
    assert answer_of(stream) == [
        ("text", "Let me see."),
        ("thought", "Let me see."),
        ("text", "Yes."),
    ]
    assert answer_of(stream, whole=True) == [("thought", "Let me see."), ("text", "Yes.")]


@given(outputs=st.lists(json_values, max_size=3), final=st.booleans())
def test_any_output_can_be_read(outputs: list[Any], final: bool) -> None:
    for segment in read_outputs(outputs, final=final):
        assert segment.text
