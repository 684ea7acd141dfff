"""From a question to the list of arguments: what is passed, what is fitted, what is told as lost."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.errors import UpstreamMisconfigured
from dragoman.protocols.gradio.arguments import Arrangement, arrange
from dragoman.protocols.gradio.site import Door
from dragoman.protocols.gradio.types import File, Question, Turn
from tests.protocols.gradio_support import door, made_door, question

MESSAGE = {"parameter_name": "message"}
MULTIMODAL = {"parameter_name": "message", "component": "MultimodalTextbox"}
SETTINGS = {
    "max_output_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "repetition_penalty": 1.1,
}


def notes_of(arrangement: Arrangement) -> list[tuple[str, str]]:
    return [(note.path, note.action.value) for note in arrangement.notes]


def named(door_: Door, asked: Question, **options: Any) -> dict[str, Any]:
    """The arguments by name."""
    values = arrange(asked, door_, **options).values
    return {
        slot.key: value for slot, value in zip(door_.slots, values, strict=True) if not slot.hidden
    }


def number(name: str, **props: Any) -> dict[str, Any]:
    return {
        "parameter_name": name,
        "component": "Slider",
        "type": {"type": "number"},
        "parameter_has_default": True,
        "parameter_default": props.pop("default", 1),
        "props": props,
    }


@pytest.mark.parametrize("version", ["4.44", "5.49", "6.31"])
def test_everything_has_its_argument(version: str) -> None:
    arranged = arrange(
        question("hi", system="Be brief.", settings=SETTINGS), door(f"{version}-full")
    )
    assert arranged.values == ["hi", None, "Be brief.", 100, 0.5, 0.9, 40, 1.1]
    assert arranged.notes == []


@pytest.mark.parametrize("version", ["4.9", "4.19"])
def test_old_versions_by_label(version: str) -> None:
    arranged = arrange(question("hi", settings=SETTINGS), door(f"{version}-full"))
    assert arranged.values == ["hi", None, "You are nice.", 100, 0.5]
    assert [path for path, _ in notes_of(arranged)] == [
        "settings.top_p",
        "settings.top_k",
        "repetition_penalty",
    ]


def test_what_is_not_said_stays_the_apps_own() -> None:
    assert arrange(question("hi"), door("6.31-full")).values == [
        *("hi", None, "You are nice.", 512),
        *(0.7, 0.95, 50, 1.2),
    ]


def test_what_the_app_does_not_take_is_told() -> None:
    arranged = arrange(question("hi", settings=SETTINGS), door("6.31-echo"))
    assert arranged.values == ["hi", None]
    assert notes_of(arranged) == [
        ("settings.max_output_tokens", "dropped"),
        ("settings.temperature", "dropped"),
        ("settings.top_p", "dropped"),
        ("settings.top_k", "dropped"),
        ("repetition_penalty", "dropped"),
    ]


def test_values_are_brought_into_the_sliders_range() -> None:
    """Gradio 6 refuses what is outside of it."""
    settings = {"max_output_tokens": 99_999, "temperature": 0.0, "top_p": 1.0}
    arranged = arrange(question("hi", settings=settings), door("6.31-full"))
    assert arranged.values[3:6] == [2048, 0.1, 1]
    assert notes_of(arranged) == [
        ("settings.max_output_tokens", "clamped"),
        ("settings.temperature", "clamped"),
    ]


@pytest.mark.parametrize(
    ("props", "given", "taken"),
    [
        ({"minimum": 0, "maximum": 10, "step": 1}, 2.6, 3),
        ({"minimum": 0, "maximum": 1, "step": 0.1}, 0.25, 0.25),
        ({"precision": 0}, 7.4, 7),
        ({"minimum": None, "maximum": "x", "step": []}, 7.5, 7.5),
        ({}, 3.0, 3),
    ],
)
def test_whole_numbers_where_only_those_are_taken(
    props: dict[str, Any], given: float, taken: float
) -> None:
    chosen = made_door(MESSAGE, number("temperature", **props))
    value = named(chosen, question("hi", settings={"temperature": given}))["temperature"]
    assert value == taken
    assert type(value) is type(taken)


@pytest.mark.row("S0-14")
def test_earlier_turns_are_a_transcript() -> None:
    arranged = arrange(question("One?", "Two.", "Three?"), door("6.31-echo"))
    assert arranged.values[0] == "User: One?\nAssistant: Two.\nUser: Three?\n"
    assert ("messages", "emulated") in notes_of(arranged)


def test_a_single_turn_is_itself() -> None:
    assert arrange(question("One?"), door("6.31-echo")).values == ["One?", None]


@pytest.mark.parametrize(
    ("name", "history"),
    [
        ("4.9-bot", [["One?", "Two."]]),
        ("4.19-bot", [["One?", "Two."]]),
    ],
)
def test_an_app_with_a_history_of_pairs(name: str, history: list[Any]) -> None:
    assert arrange(question("One?", "Two.", "Three?"), door(name)).values == ["Three?", history]


def in_parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


@pytest.mark.parametrize(("version", "content"), [("5.49", str), ("6.31", in_parts)])
def test_an_app_with_a_history_of_messages_only(version: str, content: Any) -> None:
    asked = question("One?", "Two.", "Three?", system="Be brief.", settings={"temperature": 1.5})
    assert arrange(asked, door(f"{version}-bot", "respond")).values == [
        [
            {"role": "system", "content": content("Be brief.")},
            {"role": "user", "content": content("One?")},
            {"role": "assistant", "content": content("Two.")},
            {"role": "user", "content": content("Three?")},
        ],
        1.5,
    ]


def test_an_app_with_a_history_of_messages_and_a_message() -> None:
    history = {
        "parameter_name": "history",
        "component": "Chatbot",
        "type": {"items": {"properties": {"role": {}, "content": {}}}},
    }
    arranged = arrange(question("One?", "Two.", "Three?"), made_door(MESSAGE, history))
    messages = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]
    assert arranged.values == ["Three?", messages]
    assert arranged.notes == []


def test_an_app_with_a_history_in_words() -> None:
    history = {"parameter_name": "chat_history"}
    arranged = arrange(question("One?", "Two.", "Three?"), made_door(MESSAGE, history))
    assert arranged.values == ["Three?", "User: One?\nAssistant: Two.\n"]


@pytest.mark.row("S0-13")
def test_the_system_text_stands_before_the_users_where_it_has_no_argument() -> None:
    arranged = arrange(question("hi", system="Be brief."), door("6.31-echo"))
    assert arranged.values[0] == "Be brief.\nhi"
    assert notes_of(arranged) == [("messages", "emulated")]


@pytest.mark.row("S0-11")
@pytest.mark.parametrize(
    ("system", "written"),
    [
        ("Be brief", "Be brief. Reasoning: high"),
        ("Be brief!", "Be brief! Reasoning: high"),
        ("", "You are nice. Reasoning: high"),  # the app's own default
    ],
)
def test_the_effort_is_a_sentence_of_the_system_text(system: str, written: str) -> None:
    arranged = arrange(question("hi", system=system, effort="high"), door("6.31-full"))
    assert arranged.values[2] == written
    assert notes_of(arranged) == [("reasoning.effort", "emulated")]


def test_the_effort_without_any_system_text() -> None:
    arranged = arrange(question("hi", effort="low"), door("6.31-echo"))
    assert arranged.values[0] == "Reasoning: low\nhi"


@pytest.mark.parametrize(
    ("effort", "word"), [("minimal", "low"), ("medium", "medium"), ("max", "high")]
)
def test_efforts_that_few_models_know_become_the_nearest(effort: str, word: str) -> None:
    arranged = arrange(question("hi", effort=effort), door("6.31-full"))
    assert arranged.values[2].endswith(f"Reasoning: {word}")


def test_an_argument_for_the_effort_is_used() -> None:
    effort = {
        "parameter_name": "reasoning_effort",
        "component": "Radio",
        "parameter_has_default": True,
        "parameter_default": "Medium",
        "props": {"choices": [["Low", "Low"], ["Medium", "Medium"], ["High", "High"]]},
    }
    chosen = made_door(MESSAGE, effort)
    assert arrange(question("hi", effort="high"), chosen).values == ["hi", "High"]
    assert arrange(question("hi", effort="high"), chosen).notes == []
    assert arrange(question("hi"), chosen).values == ["hi", "Medium"]


def test_a_switch_for_thinking_is_used() -> None:
    switch = {"parameter_name": "enable_thinking", "component": "Checkbox"}
    assert arrange(question("hi", thinking=True), made_door(MESSAGE, switch)).values == ["hi", True]
    lost = arrange(question("hi", thinking=False), made_door(MESSAGE))
    assert notes_of(lost) == [("reasoning.mode", "dropped")]


def test_files_go_into_the_message() -> None:
    one, two = File(kind="image", data="aaaa"), File(kind="document", data="bbbb")
    asked = Question(
        turns=[
            Turn(role="user", text="Look.", files=[one]),
            Turn(role="assistant", text="I see."),
            Turn(role="user", text="And?", files=[two]),
        ]
    )
    arranged = arrange(asked, door("6.31-multi"))
    assert arranged.files == [one, two]
    assert arranged.data(["first", "second"])[0] == {
        "text": "User: Look.\nAssistant: I see.\nUser: And?\n",
        "files": ["first", "second"],
    }


def test_a_file_has_an_argument_of_its_own_kind() -> None:
    chosen = made_door(MESSAGE, {"parameter_name": "image", "component": "Image"})
    files = [
        File(kind="image", where="messages.0.parts.0", data="aaaa"),
        File(kind="audio", where="messages.0.parts.1", data="bbbb"),
        File(kind="image", where="messages.0.parts.2", data="cccc"),
    ]
    arranged = arrange(Question(turns=[Turn(role="user", text="Look.", files=files)]), chosen)
    assert arranged.files == [files[2]]
    assert arranged.data(["there"]) == ["Look.", "there"]
    assert notes_of(arranged) == [
        ("messages.0.parts.1", "dropped"),
        ("messages.0.parts.0", "dropped"),
    ]


def test_a_file_that_the_app_does_not_take_is_told() -> None:
    file = File(kind="image", where="messages.0.parts.1", data="aaaa")
    arranged = arrange(
        Question(turns=[Turn(role="user", text="Look.", files=[file])]), door("6.31-echo")
    )
    assert (arranged.files, notes_of(arranged)) == ([], [("messages.0.parts.1", "dropped")])


def test_arguments_that_nobody_fills_are_as_a_browser_leaves_them() -> None:
    chosen = made_door(
        MESSAGE,
        {"parameter_name": "hint"},
        {"parameter_name": "loud", "component": "Checkbox"},
        {"parameter_name": "photo", "component": "Image"},
        {"parameter_name": "voice", "component": "Radio", "props": {"choices": [["A", "a"]]}},
        {"parameter_name": "log", "component": "Chatbot"},
    )
    assert arrange(question("hi"), chosen).values == ["hi", "", False, None, "a", []]


def test_a_number_that_nobody_knows_is_refused() -> None:
    chosen = made_door(
        MESSAGE, {"parameter_name": "beams", "component": "Number", "type": {"type": "number"}}
    )
    with pytest.raises(UpstreamMisconfigured, match="'beams'"):
        arrange(question("hi"), chosen)
