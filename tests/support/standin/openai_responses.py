"""OpenAI Responses, as api.openai.com judges and answers it, never storing anything.

Sources: the request, response and event types of the ``openai`` package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from openai.types.responses import response_create_params as params

from tests.support.standin.frames import Frame, dumps, sse
from tests.support.standin.openai_chat import error, interleave, invalid
from tests.support.standin.script import Answer, Counts, Turn, VendorError, pieces, sign
from tests.support.typed import Mismatch, check

VENDOR = "openai-responses"
CONTENT_TYPE = "text/event-stream; charset=utf-8"
_DATA_URL = re.compile(r"^data:(?P<type>[\w/+.-]+);base64,(?P<data>.*)$", re.DOTALL)
_ENCRYPTED = "reasoning.encrypted_content"

__all__ = ["CONTENT_TYPE", "VENDOR", "error", "read", "stream", "stream_error", "whole"]


def read(body: Any, headers: Mapping[str, str]) -> Turn:
    """Judge a request and say what it asks for; raises VendorError."""
    if not isinstance(body, dict):
        raise invalid("We could not parse the JSON body of your request.")
    _check_types(body)
    _check_rules(body)
    turn = Turn(
        model=body["model"],
        vendor=VENDOR,
        stream=bool(body.get("stream")),
        system=body.get("instructions") or "",
        thinking=bool((body.get("reasoning") or {}).get("summary")),
        wants_encrypted=_ENCRYPTED in (body.get("include") or ()),
        tools=[tool.get("name", tool["type"]) for tool in body.get("tools", ())],
    )
    if isinstance(body["input"], str):
        turn.prompt = body["input"]
    else:
        _Items(turn).read(body["input"])
    form = (body.get("text") or {}).get("format") or {"type": "text"}
    if form["type"] == "json_schema":
        turn.schema = form["schema"]
    turn.json_mode = form["type"] == "json_object"
    return turn


def _check_types(body: dict[str, Any]) -> None:
    # Codex sends ``client_metadata`` and an id with every message; the server takes both, though no
    # published type has them.
    body = {name: value for name, value in body.items() if name != "client_metadata"}
    given = body.get("input")
    items = [
        {name: value for name, value in item.items() if name != "id"}
        if isinstance(item, dict)
        and item.get("type") == "message"
        and item.get("role") != "assistant"
        else item
        for item in (given if isinstance(given, list) else ())
    ]
    body = {**body, "input": items} if items else body
    form = (
        params.ResponseCreateParamsStreaming
        if body.get("stream") is True
        else params.ResponseCreateParamsNonStreaming
    )
    try:
        check(body, form, "$")
    except Mismatch as mismatch:
        path = mismatch.path.removeprefix("$.")
        if mismatch.unknown:
            raise VendorError(
                400, f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter"
            ) from None
        raise invalid(f"Invalid type for '{path}': {mismatch.message}.", path) from None


def _check_rules(body: dict[str, Any]) -> None:
    for name in ("model", "input"):
        if name not in body:
            raise VendorError(
                400,
                f"Missing required parameter: '{name}'.",
                param=name,
                code="missing_required_parameter",
            )
    if not body["input"]:
        raise invalid("Invalid 'input': empty.", "input")
    if body.get("previous_response_id"):
        raise VendorError(
            404,
            "Previous response not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if (body.get("max_output_tokens") or 16) < 16:
        raise VendorError(
            400,
            "Invalid 'max_output_tokens': integer below minimum value. Expected at least 16.",
            param="max_output_tokens",
            code="integer_below_min_value",
        )
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = body.get(name)
        if value is not None and not 0 <= value <= high:
            raise invalid(f"Invalid '{name}': {value} is out of range.", name)
    choice = body.get("tool_choice")
    if choice not in (None, "auto", "none") and not body.get("tools"):
        raise invalid("Tool choice must be specified with 'tools'.", "tool_choice")


class _Items:
    """Walks the input items and holds them to the rules of pairing."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.calls: dict[str, str] = {}
        self.answered: set[str] = set()

    def read(self, items: list[dict[str, Any]]) -> None:
        """Read every item; raises VendorError for a call without output or the reverse."""
        for index, item in enumerate(items):
            kind = item.get("type", "message")
            handler = getattr(self, f"_{kind}", None)
            if handler is not None:
                handler(item, f"input[{index}]")
        for call_id in self.calls:
            if call_id not in self.answered:
                raise invalid(f"No tool output found for function call {call_id}.", "input")

    def _message(self, item: dict[str, Any], path: str) -> None:
        content = item["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(part.get("text", "") for part in parts)
        if item["role"] == "assistant":
            self.turn.answered = True
            # A plain string is the short form; otherwise the parts must be what a model writes.
            allowed = {"text", "output_text", "refusal"}
            self.turn.results.clear()
        else:
            allowed = {"text", "input_text", "input_image", "input_file", "input_audio"}
        for number, part in enumerate(parts):
            if part["type"] not in allowed:
                raise invalid(
                    f"Invalid value: '{part['type']}' in a message of role '{item['role']}'.",
                    f"{path}.content[{number}]",
                )
            if part["type"] == "input_image":
                self._image(part, f"{path}.content[{number}]")
        if item["role"] in ("system", "developer"):
            self.turn.system += text
        elif item["role"] == "user":
            self.turn.prompt = text
            self.turn.results.clear()

    def _image(self, part: dict[str, Any], path: str) -> None:
        match = _DATA_URL.match(part.get("image_url") or "")
        if match is None:
            raise invalid("Error while downloading the image.", path)
        self.turn.images.append((match["type"], match["data"]))

    def _function_call(self, item: dict[str, Any], path: str) -> None:
        json.loads(item["arguments"] or "{}")
        if not item.get("id", "fc_").startswith("fc_"):
            raise invalid(
                f"Invalid '{path}.id': '{item['id']}'. Expected an ID that begins with 'fc'.",
                f"{path}.id",
            )
        if len(item["call_id"]) > 64:
            raise invalid("string too long. Expected a maximum length of 64.", f"{path}.call_id")
        self.turn.answered = True
        self.calls[item["call_id"]] = item["name"]
        self.turn.calls.append((item["call_id"], item["name"]))

    def _function_call_output(self, item: dict[str, Any], path: str) -> None:
        call_id = item["call_id"]
        if call_id not in self.calls:
            raise invalid(f"No tool call found for function call output with call_id {call_id}.")
        self.answered.add(call_id)
        output = item["output"]
        text = output if isinstance(output, str) else "".join(p.get("text", "") for p in output)
        self.turn.results.append((self.calls[call_id], text))

    def _reasoning(self, item: dict[str, Any], path: str) -> None:
        if not item["id"].startswith("rs_"):
            raise invalid("Expected an ID that begins with 'rs'.", f"{path}.id")
        text = "".join(part["text"] for part in item["summary"])
        if item.get("encrypted_content"):
            # The proof stands for itself: its text is sealed inside, so any summary will do.
            self.turn.signatures.append(("", item["encrypted_content"]))
        else:
            raise invalid(f"Item with id '{item['id']}' not found. Items are not persisted.", path)
        if text:
            self.turn.thoughts.append(text)


def usage(counts: Counts) -> dict[str, Any]:
    """The usage object; cached and reasoning tokens are contained in the totals."""
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {
            "cached_tokens": counts.cached,
            "cache_write_tokens": counts.cache_write,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.output,
    }


def _items(answer: Answer, turn: Turn) -> list[dict[str, Any]]:
    """The output items, complete."""
    items: list[dict[str, Any]] = []
    if answer.reasoning:
        item: dict[str, Any] = {
            "id": "rs_standin",
            "type": "reasoning",
            # OpenAI shows a summary only to those who ask for one.
            "summary": [{"type": "summary_text", "text": answer.reasoning}] * turn.thinking,
        }
        if turn.wants_encrypted:
            item["encrypted_content"] = sign(VENDOR, "")
        items.append(item)
    if answer.text or answer.refusal:
        part = (
            {"type": "refusal", "refusal": answer.refusal}
            if answer.refusal
            else {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        )
        items.append(
            {
                "id": "msg_standin",
                "type": "message",
                "status": "incomplete" if answer.finish == "length" else "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    items += [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in answer.calls
    ]
    return items


def _response(answer: Answer, turn: Turn, *, status: str, output: list[Any]) -> dict[str, Any]:
    done = status != "in_progress"
    cut_short = {"length": "max_output_tokens", "filter": "content_filter"}.get(answer.finish)
    return {
        "id": "resp_standin",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "incomplete" if done and cut_short else status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": cut_short} if done and cut_short else None,
        "instructions": turn.system or None,
        "max_output_tokens": None,
        "model": f"{turn.model}-2026",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(answer.counts) if done and answer.counts else None,
        "user": None,
        "metadata": {},
    }


def whole(answer: Answer, turn: Turn) -> bytes:
    """The whole answer."""
    return dumps(_response(answer, turn, status="completed", output=_items(answer, turn)))


def stream(answer: Answer, turn: Turn) -> list[Frame]:
    """The answer as events; the arguments of parallel calls take turns."""
    events: list[tuple[Any, dict[str, Any]]] = []
    opening = _response(answer, turn, status="in_progress", output=[])
    events.append(("head", {"type": "response.created", "response": opening}))
    events.append(("head", {"type": "response.in_progress", "response": opening}))
    items = _items(answer, turn)
    calls = [(i, item) for i, item in enumerate(items) if item["type"] == "function_call"]
    for index, item in enumerate(items):
        if item["type"] == "reasoning":
            events += [("body", event) for event in _reasoning_events(index, item)]
        elif item["type"] == "message":
            events += [("body", event) for event in _message_events(index, item)]
    events += [("body", event) for event in _call_events(calls)]
    final = _response(answer, turn, status="completed", output=items)
    kind = "response.incomplete" if final["status"] == "incomplete" else "response.completed"
    events.append(("done", {"type": kind, "response": final}))
    return [
        Frame(kind, sse({**event, "sequence_number": number}, event["type"]))
        for number, (kind, event) in enumerate(events)
    ]


def _added(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _reasoning_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    events = [_added(index, {"id": item["id"], "type": "reasoning", "summary": []})]
    for full in item["summary"]:
        where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        base, text = "response.reasoning_summary", full["text"]
        events += [
            {"type": f"{base}_part.added", **where, "part": {**full, "text": ""}},
            *({"type": f"{base}_text.delta", **where, "delta": piece} for piece in pieces(text)),
            {"type": f"{base}_text.done", **where, "text": text},
            {"type": f"{base}_part.done", **where, "part": full},
        ]
    return [*events, _done(index, item)]


def _message_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    part = item["content"][0]
    field = "refusal" if part["type"] == "refusal" else "text"
    base = "response.refusal" if field == "refusal" else "response.output_text"
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    logprobs: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    return [
        _added(index, {**item, "status": "in_progress", "content": []}),
        {"type": "response.content_part.added", **where, "part": {**part, field: ""}},
        *(
            {"type": f"{base}.delta", **where, "delta": piece, **logprobs}
            for piece in pieces(part[field])
        ),
        {"type": f"{base}.done", **where, field: part[field], **logprobs},
        {"type": "response.content_part.done", **where, "part": part},
        _done(index, item),
    ]


def _call_events(calls: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    base = "response.function_call_arguments"
    events = [
        _added(index, {**item, "status": "in_progress", "arguments": ""}) for index, item in calls
    ]
    for row, piece in interleave([pieces(item["arguments"]) for _, item in calls]):
        index, item = calls[row]
        where = {"item_id": item["id"], "output_index": index}
        events.append({"type": f"{base}.delta", **where, "delta": piece})
    for index, item in calls:
        where = {"item_id": item["id"], "output_index": index}
        events.append({"type": f"{base}.done", **where, "arguments": item["arguments"]})
        events.append(_done(index, item))
    return events


def stream_error() -> bytes:
    """An error in the middle of a stream."""
    event = {
        "type": "error",
        "code": "server_error",
        "message": "The server had an error.",
        "param": None,
        "sequence_number": 9,
    }
    return sse(event, "error")
