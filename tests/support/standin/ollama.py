"""Ollama's native chat, as its server judges and answers it, in newline-delimited JSON.

Source: ``docs/api.md`` of ollama/ollama. One difference is meant: Ollama ignores unknown fields,
which would hide a wrong translation here, so they are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Required, Union

from typing_extensions import TypedDict

from tests.support.standin.frames import Frame, dumps
from tests.support.standin.script import Answer, Counts, Turn, VendorError, pieces
from tests.support.typed import Mismatch, check

VENDOR = "ollama"
CONTENT_TYPE = "application/x-ndjson"
_Think = Union[bool, Literal["low", "medium", "high", "max"]]  # noqa: UP007


class _CallFunction(TypedDict, total=False):
    name: Required[str]
    description: str
    index: int
    arguments: Required[dict[str, Any]]


class _Call(TypedDict, total=False):
    id: str
    function: Required[_CallFunction]


class _Message(TypedDict, total=False):
    role: Required[Literal["system", "user", "assistant", "tool"]]
    content: str
    thinking: str
    images: list[str]
    tool_calls: list[_Call]
    tool_name: str
    tool_call_id: str


class _Function(TypedDict, total=False):
    name: Required[str]
    description: str
    parameters: dict[str, Any]


class _Tool(TypedDict, total=False):
    type: Required[Literal["function"]]
    function: Required[_Function]


class _Options(TypedDict, total=False):
    num_keep: int
    seed: int
    num_predict: int
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repeat_last_n: int
    temperature: float
    repeat_penalty: float
    presence_penalty: float
    frequency_penalty: float
    stop: list[str]
    num_ctx: int
    num_batch: int
    num_gpu: int
    main_gpu: int
    use_mmap: bool
    num_thread: int


class _Chat(TypedDict, total=False):
    model: Required[str]
    messages: list[_Message]
    tools: list[_Tool]
    format: Union[Literal["json", ""], dict[str, Any]]  # noqa: UP007
    options: _Options
    stream: bool
    keep_alive: Union[str, int]  # noqa: UP007
    think: _Think
    logprobs: bool
    top_logprobs: int
    truncate: bool
    shift: bool


def read(body: Any, headers: Mapping[str, str]) -> Turn:
    """Judge a request and say what it asks for; raises VendorError."""
    try:
        check(body, _Chat, "$")
    except Mismatch as mismatch:
        raise VendorError(400, f"json: cannot unmarshal {mismatch}") from None
    turn = Turn(
        model=body["model"],
        vendor=VENDOR,
        stream=body.get("stream", True),
        thinking=body.get("think", True) is not False,
        tools=[tool["function"]["name"] for tool in body.get("tools", ())],
    )
    form = body.get("format")
    turn.schema = form if isinstance(form, dict) else None
    turn.json_mode = form == "json"
    _read_messages(body.get("messages", []), turn)
    return turn


def _read_messages(messages: list[dict[str, Any]], turn: Turn) -> None:
    waiting: list[str] = []
    for message in messages:
        content = message.get("content", "")
        # A data URL would decode to rubbish: Ollama wants the bare base64.
        turn.images += [(_media_type(data), data) for data in message.get("images", ())]
        if message["role"] == "tool":
            name = message.get("tool_name") or (waiting[0] if waiting else "")
            if name not in waiting:
                raise VendorError(400, f"no tool call waits for a result of {name!r}")
            waiting.remove(name)
            turn.results.append((name, content))
            continue
        turn.results.clear()
        if message["role"] == "system":
            turn.system += content
        elif message["role"] == "user":
            turn.prompt = content
        else:
            turn.answered = True
            if message.get("thinking"):
                turn.thoughts.append(message["thinking"])
            waiting = [call["function"]["name"] for call in message.get("tool_calls", ())]
            turn.calls += [("", name) for name in waiting]
    if waiting:
        raise VendorError(400, f"tool calls without a result: {waiting}")


def _media_type(data: str) -> str:
    return {"iVBOR": "image/png", "/9j/4": "image/jpeg"}.get(data[:5], "unknown")


def _line(turn: Turn, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "model": turn.model,
        "created_at": "2026-11-20T10:00:00.123456789Z",
        "message": {"role": "assistant", **message},
        "done": False,
        **more,
    }


def _ending(answer: Answer) -> dict[str, Any]:
    counts: Counts | None = answer.counts
    ending: dict[str, Any] = {
        "done": True,
        "done_reason": "length" if answer.finish == "length" else "stop",
        "total_duration": 3_000_000_000,
        "load_duration": 1_000_000,
    }
    if counts is not None:
        ending |= {
            "prompt_eval_count": counts.prompt,
            "prompt_eval_duration": 1_000_000_000,
            "eval_count": counts.output,
            "eval_duration": 2_000_000_000,
        }
    return ending


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"function": {"index": index, "name": call.name, "arguments": json.loads(call.arguments)}}
        for index, call in enumerate(answer.calls)
    ]


def whole(answer: Answer, turn: Turn) -> bytes:
    """The whole answer."""
    message: dict[str, Any] = {"content": answer.text or answer.refusal}
    if answer.reasoning and turn.thinking:
        message["thinking"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    return dumps(_line(turn, message, **_ending(answer)))


def stream(answer: Answer, turn: Turn) -> list[Frame]:
    """The answer as lines; each call comes whole, in a line of its own."""
    thinking = pieces(answer.reasoning) if turn.thinking else []
    messages: list[dict[str, Any]] = [
        *({"content": "", "thinking": piece} for piece in thinking),
        *({"content": piece} for piece in pieces(answer.text or answer.refusal)),
        *({"content": "", "tool_calls": [call]} for call in _calls(answer)),
    ]
    frames = [Frame("body", dumps(_line(turn, message)) + b"\n") for message in messages]
    ending = _line(turn, {"content": ""}, **_ending(answer))
    return [*frames, Frame("finish", dumps(ending) + b"\n")]


def error(failure: VendorError) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) in Ollama's shape."""
    headers = {"content-type": "application/json; charset=utf-8"}
    return failure.status, headers, dumps({"error": failure.message})


def stream_error() -> bytes:
    """An error in the middle of a stream."""
    return dumps({"error": "an error was encountered while running the model"}) + b"\n"
