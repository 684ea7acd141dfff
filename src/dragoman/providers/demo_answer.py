"""What the demonstration model says: a pure function of an OpenAI chat request's body."""

from __future__ import annotations

import re
import zlib
from typing import Any

import msgspec

from dragoman.providers.demo_schema import instance

_PIECES = re.compile(r"\S+\s*|\s+")
_ASKS_FOR_TOOL = re.compile(r"\b(?:use|call) (?:a|the|some|any) tool\b", re.IGNORECASE)
_NOTHING_SAID = "Hello! I am the demonstration model; I say back what you say."

_encode = msgspec.json.Encoder().encode


class Mistake(Exception):
    """The request cannot be answered; the rest is what OpenAI's error object says."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code


class Answer(msgspec.Struct, kw_only=True):
    """``call`` is an OpenAI tool call; then ``text`` is empty."""

    text: str = ""
    call: dict[str, Any] | None = None
    finish_reason: str = "stop"
    input_words: int = 0
    output_words: int = 0


def words(text: str) -> list[str]:
    """``text`` in pieces of a word each, spaces kept; together they are ``text``."""
    return _PIECES.findall(text)


def answer_to(body: dict[str, Any]) -> Answer:
    """The answer to a chat request. Raises Mistake."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Mistake(400, "You must provide messages.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Mistake(400, "A message is an object with a role.", param=f"messages.{index}")
    answer = Answer(input_words=max(1, sum(_count(message) for message in messages)))
    function = _function_to_call(body, messages)
    if function is not None:
        answer.call = _call(function, len(messages))
        answer.finish_reason = "tool_calls"
        written = answer.call["function"]["arguments"]
    else:
        _limit(answer, _text(body, messages), body)
        written = answer.text
    answer.output_words = max(1, len(words(written)))
    return answer


def _count(message: dict[str, Any]) -> int:
    """Words of a message; each picture, sound or file counts as ten, each call as its arguments."""
    calls = message.get("tool_calls")
    called = len(str(calls).split()) if calls else 0
    return len(said(message).split()) + 10 * len(_kinds(message)) + called


def said(message: dict[str, Any]) -> str:
    """The text of a message."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in _objects(content)]
    return "\n".join(text for text in texts if isinstance(text, str))


_KINDS = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "sound",
    "file": "file",
    "input_file": "file",
    "video_url": "video",
}


def _kinds(message: dict[str, Any]) -> list[str]:
    """What a message shows besides text."""
    types = [str(part.get("type")) for part in _objects(message.get("content"))]
    return [_KINDS[type] for type in types if type in _KINDS]


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none if it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_result(message: dict[str, Any]) -> bool:
    return message["role"] in ("tool", "function")


def _text(body: dict[str, Any], messages: list[dict[str, Any]]) -> str:
    """What is said: the tools' answers if they came last, else the user's own words."""
    if _is_result(messages[-1]):
        text = _tools_said(messages)
    else:
        users = [message for message in messages if message["role"] == "user"]
        last = users[-1] if users else {}
        text = said(last)
        if kinds := _kinds(last):
            text = f"{text}\n(I see {_listed(kinds)}.)".lstrip()
    return _formatted(body.get("response_format"), text or _NOTHING_SAID)


def _tools_said(messages: list[dict[str, Any]]) -> str:
    """One sentence for each answer that came since the model spoke last."""
    names = {
        str(call.get("id")): _object(call.get("function")).get("name")
        for message in messages
        for call in _objects(message.get("tool_calls"))
    }
    sentences: list[str] = []
    for message in reversed(messages):
        if not _is_result(message):
            break
        name = names.get(str(message.get("tool_call_id"))) or message.get("name") or "The tool"
        sentences.append(f"{name} answered: {said(message)}")
    return "\n".join(reversed(sentences))


def _listed(kinds: list[str]) -> str:
    counted = {kind: kinds.count(kind) for kind in kinds}
    names = [
        f"{number} {kind}s" if number > 1 else f"{'an' if kind == 'image' else 'a'} {kind}"
        for kind, number in counted.items()
    ]
    return " and ".join(names)


def _formatted(format: Any, text: str) -> str:
    if not isinstance(format, dict):
        return text
    if format.get("type") == "json_object":
        return _encode({"echo": text}).decode()
    if format.get("type") == "json_schema":
        schema = _object(_object(format.get("json_schema")).get("schema"))
        return _encode(instance(schema or {"type": "object"})).decode()
    return text


def _limit(answer: Answer, text: str, body: dict[str, Any]) -> None:
    """Cut ``text`` at the first stop sequence and at the output limit."""
    stops = body.get("stop")
    for stop in stops if isinstance(stops, list) else [stops]:
        if isinstance(stop, str) and stop:
            text = text.partition(stop)[0]
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = words(text)
    if isinstance(limit, int) and 0 < limit < len(pieces):
        text = "".join(pieces[:limit])
        answer.finish_reason = "length"
    answer.text = text


def _function_to_call(
    body: dict[str, Any], messages: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The function that the answer calls, if it calls one."""
    offered = [_object(tool.get("function")) for tool in _objects(body.get("tools"))]
    functions = {str(function["name"]): function for function in offered if "name" in function}
    choice = body.get("tool_choice")
    if not functions or choice == "none" or _is_result(messages[-1]):
        return None
    first = next(iter(functions))
    if isinstance(choice, dict):
        name = str(_object(choice.get(str(choice.get("type")))).get("name"))
        return functions[name if name in functions else first]
    asked = said(messages[-1]) if messages[-1]["role"] == "user" else ""
    for name, function in functions.items():
        if _asks_for(name, asked):
            return function
    wanted = choice == "required" or _ASKS_FOR_TOOL.search(asked)
    return functions[first] if wanted else None


def _asks_for(name: str, text: str) -> bool:
    """Whether ``text`` says "use <name>", "call the tool <name>" or the like. The name alone is not
    enough: agents' prompts are full of their tools' names."""
    asking = rf"\b(?:use|call|run|invoke|try)\b(?:\W+\w+){{0,3}}?\W+{re.escape(name)}(?!\w)"
    return re.search(asking, text, re.IGNORECASE) is not None


def _call(function: dict[str, Any], turn: int) -> dict[str, Any]:
    arguments = instance(_object(function.get("parameters")) or {"type": "object"})
    name = str(function["name"])
    return {
        "id": f"call_demo_{zlib.crc32(f'{turn} {name}'.encode()):08x}",
        "type": "function",
        "function": {"name": name, "arguments": _encode(arguments).decode()},
    }
