"""OpenAI Chat Completions, as api.openai.com judges and answers it; with DeepSeek's
``reasoning_content`` in the reasoning scenarios, since OpenAI itself shows none here.

Sources: the request and response types of the ``openai`` package, and the messages its server gives
for the rules that types cannot express.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from openai.types.chat import completion_create_params as params

from tests.support.standin.frames import Frame, dumps, sse
from tests.support.standin.script import Answer, Call, Counts, Turn, VendorError, pieces
from tests.support.typed import Mismatch, check

VENDOR = "openai"
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_DATA_URL = re.compile(r"^data:(?P<type>[\w/+.-]+);base64,(?P<data>.*)$", re.DOTALL)
_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "requests",
    500: "server_error",
}
_FINISH = {"tools": "tool_calls", "length": "length", "filter": "content_filter"}


def invalid(message: str, param: str | None = None) -> VendorError:
    """A 400 that names the parameter."""
    return VendorError(400, message, param=param)


def read(body: Any, headers: Mapping[str, str]) -> Turn:
    """Judge a request and say what it asks for; raises VendorError."""
    if not isinstance(body, dict):
        raise invalid("We could not parse the JSON body of your request.")
    # Answers may be appended to the history as they came, so what only answers have is accepted.
    _take(body, "annotations")
    thinks = str(body.get("model", "")).startswith("reasoning")
    thoughts = _take(body, "reasoning_content") if thinks else []
    _check_types(body)
    _check_rules(body)
    turn = Turn(
        model=body["model"],
        vendor=VENDOR,
        stream=bool(body.get("stream")),
        thoughts=thoughts,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        thinking=thinks,
        tools=[_tool_name(tool) for tool in body.get("tools", ())],
    )
    _read_messages(body["messages"], turn)
    output = body.get("response_format") or {"type": "text"}
    if output["type"] == "json_schema":
        turn.schema = output["json_schema"].get("schema")
    turn.json_mode = output["type"] == "json_object"
    return turn


def _take(body: dict[str, Any], field: str) -> list[str]:
    """Remove ``field`` from every message and return what it held."""
    messages = body.get("messages")
    return [
        str(message.pop(field))
        for message in (messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and field in message
    ]


def _check_types(body: dict[str, Any]) -> None:
    streaming = body.get("stream") is True
    form = (
        params.CompletionCreateParamsStreaming
        if streaming
        else params.CompletionCreateParamsNonStreaming
    )
    try:
        check(body, form, "$")
    except Mismatch as mismatch:
        path = mismatch.path.removeprefix("$.")
        if mismatch.unknown and "." not in path:
            raise invalid(f"Unrecognized request argument supplied: {path}") from None
        raise invalid(f"Invalid value for '{path}': {mismatch.message}.", path) from None


def _check_rules(body: dict[str, Any]) -> None:
    if not body["messages"]:
        raise invalid("[] is too short - 'messages'", "messages")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise invalid("Setting 'max_tokens' and 'max_completion_tokens' at once is not supported.")
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
    ):
        value = body.get(name)
        if value is not None and not low <= value <= high:
            raise invalid(f"Invalid '{name}': {value} is out of range.", name)
    stop = body.get("stop")
    if isinstance(stop, list) and not 1 <= len(stop) <= 4:
        raise invalid("Invalid 'stop': expected 1 to 4 strings.", "stop")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise invalid("'top_logprobs' needs 'logprobs' set to true.", "top_logprobs")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise invalid("'stream_options' is only allowed when 'stream' is enabled.")
    if "tools" in body and not body["tools"]:
        raise invalid("[] is too short - 'tools'", "tools")
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                raise invalid(f"'{name}' is only allowed when 'tools' are specified.", name)
    for index, tool in enumerate(body.get("tools", ())):
        if not _TOOL_NAME.match(_tool_name(tool)):
            raise invalid("Invalid tool name.", f"tools[{index}].function.name")


def _tool_name(tool: dict[str, Any]) -> str:
    return str(tool[tool["type"]]["name"])


def _read_messages(messages: list[dict[str, Any]], turn: Turn) -> None:
    waiting: dict[str, str] = {}  # call id → tool name, until its result comes
    for index, message in enumerate(messages):
        path, role = f"messages[{index}]", message["role"]
        if role == "tool":
            call_id = message["tool_call_id"]
            if call_id not in waiting:
                raise invalid(
                    "messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    path,
                )
            turn.results.append((waiting.pop(call_id), flat(message["content"])))
            continue
        _nothing_waits(waiting)
        turn.results.clear()
        if role in ("system", "developer"):
            turn.system += flat(message["content"])
        elif role == "user":
            turn.prompt = flat(message["content"])
            turn.images += images(message["content"], path)
        elif role == "assistant":
            turn.answered = True
            waiting = _read_calls(message, path, turn)
    _nothing_waits(waiting)


def _nothing_waits(waiting: dict[str, str]) -> None:
    if waiting:
        raise invalid(
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            f"to each 'tool_call_id'. Without response: {', '.join(waiting)}"
        )


def _read_calls(message: dict[str, Any], path: str, turn: Turn) -> dict[str, str]:
    if "tool_calls" in message and not message["tool_calls"]:
        raise invalid(f"[] is too short - '{path}.tool_calls'", f"{path}.tool_calls")
    if message.get("content") is None and not (message.get("tool_calls") or message.get("refusal")):
        raise invalid(f"Invalid value for '{path}.content': expected a string, got null.", path)
    found = {}
    for call in message.get("tool_calls", ()):
        if len(call["id"]) > 40:
            raise invalid("string too long. Expected a maximum length of 40.", f"{path}.tool_calls")
        if call["type"] == "function":
            json.loads(call["function"]["arguments"] or "{}")
        found[call["id"]] = call[call["type"]]["name"]
        turn.calls.append((call["id"], found[call["id"]]))
    return found


def flat(content: Any) -> str:
    """The text of a content field, a string or a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if part["type"] == "text")


def images(content: Any, path: str) -> list[tuple[str, str]]:
    """(media type, base64) of every image part."""
    if isinstance(content, str):
        return []
    found = []
    for part in content:
        if part["type"] == "image_url":
            match = _DATA_URL.match(part["image_url"]["url"])
            if match is None:
                raise invalid("Failed to download the image.", f"{path}.content")
            found.append((match["type"], match["data"]))
    return found


def usage(counts: Counts) -> dict[str, Any]:
    """The usage object; cached and reasoning tokens are contained in the totals."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output,
        "total_tokens": counts.prompt + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(answer: Answer, turn: Turn) -> bytes:
    """The whole answer."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text or None,
        "refusal": answer.refusal or None,
        "annotations": [],
    }
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    body: dict[str, Any] = {
        "id": "chatcmpl-standin",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": f"{turn.model}-2026",
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": _FINISH.get(answer.finish, "stop"),
            }
        ],
        "service_tier": "default",
        "system_fingerprint": "fp_standin",
    }
    if answer.counts is not None:
        body["usage"] = usage(answer.counts)
    return dumps(body)


def _call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def stream(answer: Answer, turn: Turn) -> list[Frame]:
    """The answer as chunks; the arguments of parallel calls take turns."""
    shared = {
        "id": "chatcmpl-standin",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": f"{turn.model}-2026",
        "service_tier": "default",
        "system_fingerprint": "fp_standin",
    }
    extra = {"usage": None} if turn.include_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse({**shared, "choices": [choice], **extra})

    frames = [Frame("head", chunk({"role": "assistant", "content": "", "refusal": None}))]
    for field, text in (
        ("reasoning_content", answer.reasoning),
        ("content", answer.text),
        ("refusal", answer.refusal),
    ):
        frames += [Frame("body", chunk({field: piece})) for piece in pieces(text)]
    frames += [Frame("body", chunk({"tool_calls": [delta]})) for delta in call_deltas(answer)]
    frames.append(Frame("finish", chunk({}, _FINISH.get(answer.finish, "stop"))))
    if turn.include_usage and answer.counts is not None:
        frames.append(Frame("usage", sse({**shared, "choices": [], "usage": usage(answer.counts)})))
    frames.append(Frame("done", b"data: [DONE]\n\n"))
    return frames


def call_deltas(answer: Answer) -> list[dict[str, Any]]:
    """Every call's head, then their arguments in turns."""
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(answer.calls):
        deltas.append({"index": index, **_call(Call(call.name, "", call.id))})
    for index, piece in interleave([pieces(call.arguments) for call in answer.calls]):
        deltas.append({"index": index, "function": {"arguments": piece}})
    return deltas


def interleave(rows: list[list[str]]) -> list[tuple[int, str]]:
    """(row, piece) with the rows taking turns."""
    length = max((len(row) for row in rows), default=0)
    return [
        (r, row[step]) for step in range(length) for r, row in enumerate(rows) if step < len(row)
    ]


def error(failure: VendorError) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) in OpenAI's shape."""
    code = failure.code or {401: "invalid_api_key", 500: "internal_error"}.get(failure.status)
    return (
        failure.status,
        {"content-type": "application/json"},
        dumps(
            {
                "error": {
                    "message": failure.message,
                    "type": _ERROR_TYPES.get(failure.status, "invalid_request_error")
                    if failure.status < 500
                    else "server_error",
                    "param": failure.param,
                    "code": code,
                }
            }
        ),
    )


def stream_error() -> bytes:
    """An error in the middle of a stream."""
    return sse({"error": {"message": "The server had an error.", "type": "server_error"}})


CONTENT_TYPE = "text/event-stream; charset=utf-8"
