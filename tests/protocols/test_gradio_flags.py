"""The two-digit flags: each digit's meaning, and what is said when an app takes something else."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.canonical.errors import UpstreamMisconfigured
from dragoman.protocols.gradio.arguments import arrange
from dragoman.protocols.gradio.flags import are_flags, right_flags
from dragoman.protocols.gradio.site import Door
from tests.protocols.gradio_support import door, made_door, question

SYSTEM = "Be brief."
ASKED = question(
    "hi",
    system=SYSTEM,
    settings={
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "repetition_penalty": 1.1,
    },
)
ALL = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
ALL_VALUES = {
    "max_new_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "repetition_penalty": 1.1,
}
FIRST: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "0": (
        [{"parameter_name": "message"}, {"parameter_name": "system_message"}],
        {"message": "hi", "system_message": SYSTEM},
    ),
    "1": (
        [{"parameter_name": "input_data"}, {"parameter_name": "system_prompt"}],
        {"input_data": "hi", "system_prompt": SYSTEM},
    ),
    "2": (
        [
            {"parameter_name": "message", "component": "MultimodalTextbox"},
            {"parameter_name": "system_prompt"},
        ],
        {"message": {"text": "hi", "files": []}, "system_prompt": SYSTEM},
    ),
    "3": (
        [{"parameter_name": "message", "component": "MultimodalTextbox"}],
        {"message": {"text": f"{SYSTEM}\nhi", "files": []}},
    ),
    "4": ([{"parameter_name": "message"}], {"message": f"{SYSTEM}\nhi"}),
    "5": (
        [{"parameter_name": "prompt"}, {"parameter_name": "policy"}],
        {"prompt": "hi", "policy": SYSTEM},
    ),
}


def slider(name: str) -> dict[str, Any]:
    return {
        "parameter_name": name,
        "component": "Slider",
        "type": {"type": "number"},
        "parameter_has_default": True,
        "parameter_default": -1,
    }


def app(first: str, *settings: str) -> Door:
    return made_door(*FIRST[first][0], *map(slider, settings))


def passed(chosen: Door, flags: str) -> dict[str, Any]:
    values = arrange(ASKED, chosen, flags=flags).values
    return {slot.key: value for slot, value in zip(chosen.slots, values, strict=True)}


@pytest.mark.parametrize(
    "digit",
    [
        pytest.param("0", marks=pytest.mark.row("S0-22")),
        pytest.param("1", marks=pytest.mark.row("S0-23")),
        pytest.param("2", marks=pytest.mark.row("S0-24")),
        pytest.param("3", marks=pytest.mark.row("S0-25")),
        pytest.param("4", marks=pytest.mark.row("S0-26")),
        "5",
    ],
)
def test_the_first_digit_is_how_the_conversation_goes_in(digit: str) -> None:
    assert passed(app(digit), f"{digit}0") == FIRST[digit][1]
    assert right_flags(app(digit)) == f"{digit}0"


@pytest.mark.parametrize(
    ("digit", "values"),
    [
        pytest.param("0", {}, marks=pytest.mark.row("S0-27")),
        pytest.param("1", ALL_VALUES, marks=pytest.mark.row("S0-28")),
        pytest.param("2", {"max_new_tokens": 100}, marks=pytest.mark.row("S0-29")),
    ],
)
def test_the_second_digit_is_which_settings_do(digit: str, values: dict[str, float]) -> None:
    """The app would take them all; what the flags leave out stays the app's own."""
    got = passed(app("0", *ALL), f"0{digit}")
    assert {name: got[name] for name in ALL} == dict.fromkeys(ALL, -1) | values


def test_what_the_flags_leave_out_is_told() -> None:
    arranged = arrange(ASKED, app("0", *ALL), flags="02")
    assert [note.path for note in arranged.notes] == [
        "settings.temperature",
        "settings.top_p",
        "settings.top_k",
        "repetition_penalty",
    ]


@pytest.mark.row("S0-30")
@pytest.mark.parametrize(
    ("given", "first", "settings", "right"),
    [
        ("00", "1", (), "'10'"),
        ("11", "1", ("max_new_tokens",), "'12'"),
        ("01", "4", ALL, "'41'"),  # as the Space of gemma-2 changed from one day to the next
        ("20", "0", (), "'00'"),
        ("40", "3", (), "'30'"),
        ("02", "0", (), "'00'"),
    ],
)
def test_wrong_flags_are_answered_with_the_right_ones(
    given: str, first: str, settings: tuple[str, ...], right: str
) -> None:
    with pytest.raises(UpstreamMisconfigured) as caught:
        arrange(ASKED, app(first, *settings), flags=given)
    assert f"flags {given!r} do not fit" in caught.value.message
    assert f"the right ones are {right}" in caught.value.message
    assert caught.value.status == 400
    assert caught.value.code == "wrong_flags"
    assert caught.value.fallback  # the operator's mistake is no reason for another channel to fail


def test_an_app_that_no_flags_fit() -> None:
    with pytest.raises(UpstreamMisconfigured, match="leave them out") as caught:
        arrange(ASKED, made_door({"parameter_name": "question"}), flags="00")
    assert "/chat takes question" in caught.value.message


def test_the_providers_own_flags_are_forgotten_when_they_fit_no_longer() -> None:
    arranged = arrange(ASKED, door("6.31-full"), flags="10", strict=False)
    assert arranged.values == ["hi", None, SYSTEM, 100, 0.5, 0.9, 40, 1.1]


@pytest.mark.parametrize("version", ["4.44", "5.49", "6.31"])
def test_real_servers(version: str) -> None:
    assert right_flags(door(f"{version}-full")) == "01"
    values = arrange(ASKED, door(f"{version}-full"), flags="01").values
    assert values == ["hi", None, SYSTEM, 100, 0.5, 0.9, 40, 1.1]


def test_a_required_system_text_that_nobody_gave() -> None:
    assert passed_without_system("00")["system_message"] == "You are a helpful assistant."


def passed_without_system(flags: str) -> dict[str, Any]:
    values = arrange(question("hi"), app("0"), flags=flags).values
    return {slot.key: value for slot, value in zip(app("0").slots, values, strict=True)}


@pytest.mark.parametrize("text", ["", "0", "000", "60", "03", "ab", "٠٠"])
def test_what_are_no_flags(text: str) -> None:
    assert not are_flags(text)
