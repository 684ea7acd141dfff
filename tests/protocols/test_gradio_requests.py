"""The canonical request as a question, and what no app can be asked."""

from __future__ import annotations

import msgspec
import pytest

from dragoman.canonical.parts import (
    CacheHint,
    Media,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from dragoman.canonical.request import (
    Message,
    OutputFormat,
    ReasoningConfig,
    Request,
    Settings,
    Tool,
    ToolChoice,
)
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.gradio import PROTOCOL
from dragoman.protocols.gradio.types import File, Question
from tests.protocols.gradio_support import asked


def user(*parts: Text | Media | ToolResult) -> Message:
    return Message(role="user", parts=list(parts))


def read(request: Request, **profile: object) -> tuple[Question, list[tuple[str, str]]]:
    encoded = PROTOCOL.encode_request(request, ModelProfile(model="m", **profile))  # type: ignore[arg-type]
    notes = [(note.path, note.action.value) for note in encoded.notes]
    return msgspec.json.decode(encoded.body, type=Question), notes


def test_a_conversation() -> None:
    question, notes = asked(
        Message(role="system", parts=[Text(text="Be brief.")]),
        Message(role="developer", parts=[Text(text="Be kind.")]),
        user(Text(text="One?"), Text(text="Really?")),
        Message(role="assistant", parts=[Text(text="Two."), Refusal(text="No.")]),
        user(Text(text="Three?")),
        user(Text(text="Four?")),
    )
    assert question.system == "Be brief.\n\nBe kind."
    assert [(turn.role, turn.text) for turn in question.turns] == [
        ("user", "One?\nReally?"),
        ("assistant", "Two.\nNo."),
        ("user", "Three?\nFour?"),
    ]
    assert notes == []


def test_settings_that_apps_may_take() -> None:
    question, notes = asked(
        user(Text(text="hi")),
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
    )
    assert question.settings == {
        "max_output_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
    }
    assert notes == []


def test_settings_that_none_takes() -> None:
    _, notes = asked(user(Text(text="hi")), stop=["x"], logprobs=True, n=2, user="u")
    assert notes == [
        ("settings.stop", "dropped"),
        ("settings.n", "dropped"),
        ("settings.logprobs", "dropped"),
        ("settings.user", "dropped"),
    ]
    assert asked(user(Text(text="hi")), n=1, modalities=["text"])[1] == []


@pytest.mark.row("S0-10")
@pytest.mark.parametrize("name", ["repetition_penalty", "repeat_penalty"])
def test_a_penalty_on_repetition_comes_from_any_protocol(name: str) -> None:
    extensions = {"openai_chat": {name: 1.3, "other": 1}}
    question, notes = read(
        Request(model="m", messages=[user(Text(text="hi"))], extensions=extensions)
    )
    assert question.settings == {"repetition_penalty": 1.3}
    assert notes == [("other", "dropped")]
    assert extensions == {"openai_chat": {name: 1.3, "other": 1}}


def test_reasoning() -> None:
    config = ReasoningConfig(mode="on", effort="high", budget_tokens=9, visible=False)
    question, notes = read(Request(model="m", messages=[user(Text(text="hi"))], reasoning=config))
    assert (question.effort, question.thinking) == ("high", True)
    assert notes == [("reasoning.budget_tokens", "dropped"), ("reasoning.visible", "dropped")]


def test_what_the_profile_says_is_kept_to() -> None:
    request = Request(
        model="m",
        messages=[user(Text(text="hi"))],
        settings=Settings(max_output_tokens=900, temperature=1),
        reasoning=ReasoningConfig(effort="high"),
    )
    question, notes = read(
        request, max_output_tokens=100, drops=frozenset({"temperature", "reasoning"})
    )
    assert (question.settings, question.effort) == ({"max_output_tokens": 100}, None)
    assert notes == [
        ("settings.temperature", "dropped"),
        ("settings.max_output_tokens", "clamped"),
        ("reasoning", "dropped"),
    ]


def test_tools_are_lost_and_their_past_is_told_in_words() -> None:
    request = Request(
        model="m",
        messages=[
            user(Text(text="Weather?")),
            Message(
                role="assistant",
                parts=[Reasoning(text="Hm."), ToolCall(id="1", name="f", arguments='{"a":1}')],
            ),
            Message(role="tool", parts=[ToolResult(call_id="1", content=[Text(text="wet")])]),
            Message(
                role="tool",
                parts=[ToolResult(call_id="2", content=[Text(text="no")], is_error=True)],
            ),
        ],
        tools=[Tool(name="f")],
        tool_choice=ToolChoice(mode="auto"),
        parallel_tool_calls=True,
        output=OutputFormat(kind="json_object"),
        cache=CacheHint(),
    )
    question, notes = read(request)
    assert [turn.text for turn in question.turns] == [
        "Weather?",
        '[calls f with {"a":1}]',
        "wet\nError: no",
    ]
    assert notes == [
        ("messages.1.parts.0", "dropped"),
        ("messages.1.parts.1", "emulated"),
        ("messages.2.parts.0", "emulated"),
        ("messages.3.parts.0", "emulated"),
        ("tools.0", "dropped"),
        ("tool_choice", "dropped"),
        ("parallel_tool_calls", "dropped"),
        ("cache", "dropped"),
        ("output", "dropped"),
    ]


def test_files() -> None:
    question, notes = asked(
        user(
            Text(text="Look."),
            Media(kind="image", media_type="image/png", data="aaaa", name="a.png"),
            Media(kind="document", url="https://x.test/y.pdf"),
            Media(kind="document", text="plain words"),
            Media(kind="image", url="file:///etc/passwd"),
            Media(kind="image", file_id="file-1"),
        )
    )
    (turn,) = question.turns
    assert turn.text == "Look.\nplain words"
    assert turn.files == [
        File(
            kind="image",
            where="messages.0.parts.1",
            media_type="image/png",
            name="a.png",
            data="aaaa",
        ),
    ]
    assert notes == [
        ("messages.0.parts.2", "dropped"),  # the engine fetches such before
        ("messages.0.parts.3", "emulated"),
        ("messages.0.parts.4", "dropped"),
        ("messages.0.parts.5", "dropped"),
    ]
