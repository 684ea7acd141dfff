"""Anthropic Messages, as api.anthropic.com judges and answers it.

Sources: the types of the ``anthropic`` package and the rules of the Messages API's pages on tool
use, extended thinking and versions. ``2023-06-01`` still takes ``temperature``, ``top_p`` and
``top_k``; ``2026-10-21`` refuses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from anthropic.types import message_count_tokens_params, message_create_params

from tests.support.standin.frames import Frame, dumps, sse
from tests.support.standin.script import Answer, Counts, Turn, VendorError, pieces
from tests.support.typed import Mismatch, check

VENDOR = "anthropic"
CONTENT_TYPE = "text/event-stream; charset=utf-8"
_OLD = "2023-06-01"
_SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": None}  # field → its ceiling
_ID = re.compile(r"^[a-zA-Z0-9_-]+$")
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_STOP = {
    "tools": "tool_use",
    "length": "max_tokens",
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def invalid(message: str) -> VendorError:
    """A 400 in Anthropic's words."""
    return VendorError(400, message)


def read(body: Any, headers: Mapping[str, str], *, counting: bool = False) -> Turn:
    """Judge a request and say what it asks for; raises VendorError."""
    version = headers.get("anthropic-version")
    if not version:
        raise invalid("anthropic-version: header is required")
    if not isinstance(body, dict):
        raise invalid("The request body is not valid JSON")
    _check_sampling(body, version)
    if not headers.get("anthropic-beta"):  # betas bring fields that no published type has
        _check_types(body, counting)
    thinking = body.get("thinking") or {}
    turn = Turn(
        model=body["model"],
        vendor=VENDOR,
        stream=bool(body.get("stream")),
        system=_flat(body.get("system") or ""),
        thinking=thinking.get("type") in ("enabled", "adaptive", "between_tools"),
        tools=[tool["name"] for tool in body.get("tools", ()) if "name" in tool],
    )
    _check_rules(body, turn)
    _Conversation(turn, enabled=thinking.get("type") == "enabled").read(body["messages"])
    output = (body.get("output_config") or {}).get("format")
    turn.schema = output["schema"] if output else None
    return turn


def _check_sampling(body: dict[str, Any], version: str) -> None:
    for name, ceiling in _SAMPLING.items():
        if name not in body:
            continue
        if version != _OLD:
            raise invalid(f"{name}: Extra inputs are not permitted")
        value = body.pop(name)
        if not isinstance(value, int | float) or (ceiling and not 0 <= value <= ceiling):
            raise invalid(f"{name}: {value} is out of range")


def _check_types(body: dict[str, Any], counting: bool) -> None:
    form: Any = (
        message_create_params.MessageCreateParamsStreaming
        if body.get("stream") is True
        else message_create_params.MessageCreateParamsNonStreaming
    )
    if counting:
        form = message_count_tokens_params.MessageCountTokensParams
    try:
        check(body, form, "$")
    except Mismatch as mismatch:
        path = re.sub(r"\[(\d+)\]", r".\1", mismatch.path.removeprefix("$."))
        message = "Extra inputs are not permitted" if mismatch.unknown else mismatch.message
        raise invalid(f"{path}: {message}") from None


def _check_rules(body: dict[str, Any], turn: Turn) -> None:
    limit = body.get("max_tokens", 1)
    if limit < 1:
        raise invalid("max_tokens: must be greater than or equal to 1")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking["budget_tokens"]
        if budget < 1024:
            raise invalid("thinking.enabled.budget_tokens: must be at least 1024")
        if "max_tokens" in body and budget >= limit:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    choice = (body.get("tool_choice") or {}).get("type")
    if choice and choice != "none" and not body.get("tools"):
        raise invalid("tool_choice may only be specified while providing tools")
    if choice in ("any", "tool") and thinking.get("type") == "enabled":
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
    for index, name in enumerate(turn.tools):
        if not _TOOL_NAME.match(name):
            raise invalid(f"tools.{index}.custom.name: string should match pattern")
    if len(set(turn.tools)) != len(turn.tools):
        raise invalid("tools: Tool names must be unique.")
    for sequence in body.get("stop_sequences", ()):
        if not sequence.strip():
            raise invalid("stop_sequences: each stop sequence must contain non-whitespace")


def _flat(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(block["text"] for block in content if block["type"] == "text")


class _Conversation:
    """Walks the messages and holds them to the rules of turns, tools and thinking."""

    def __init__(self, turn: Turn, *, enabled: bool) -> None:
        self.turn = turn
        self.enabled = enabled
        self.waiting: dict[str, str] = {}  # tool_use id → name, for the next user turn

    def read(self, messages: list[dict[str, Any]]) -> None:
        """Read every message; raises VendorError."""
        if not messages:
            raise invalid("messages: at least one message is required")
        if _merged(messages)[0]["role"] == "assistant":
            raise invalid('messages: first message must use the "user" role')
        merged = _merged(messages)
        for index, message in enumerate(merged):
            self._check_blocks(message["content"], index, last=index == len(merged) - 1)
            if message["role"] == "assistant":
                self._assistant(message["content"], index, merged)
            elif message["role"] == "user":
                self._user(message["content"], index)
            else:
                self.turn.system += _flat(message["content"])
        if self.waiting:
            raise self._unanswered()

    def _unanswered(self) -> VendorError:
        return invalid(
            "`tool_use` ids were found without `tool_result` blocks immediately after: "
            + ", ".join(self.waiting)
        )

    def _check_blocks(self, blocks: list[dict[str, Any]], index: int, *, last: bool) -> None:
        if not blocks and not last:
            raise invalid(f"messages.{index}: all messages must have non-empty content")
        for block in blocks:
            if block["type"] == "text" and not block["text"]:
                raise invalid(f"messages.{index}: text content blocks must be non-empty")
            if block["type"] == "text" and not block["text"].strip() and len(blocks) == 1:
                raise invalid("messages: text content blocks must contain non-whitespace text")

    def _assistant(
        self, blocks: list[dict[str, Any]], index: int, merged: list[dict[str, Any]]
    ) -> None:
        if self.waiting:
            raise self._unanswered()
        self.turn.answered = True
        self.turn.results.clear()
        for block in blocks:
            if block["type"] == "tool_use":
                if not _ID.match(block["id"]):
                    raise invalid(f"messages.{index}: tool_use.id should match '{_ID.pattern}'")
                self.waiting[block["id"]] = block["name"]
                self.turn.calls.append((block["id"], block["name"]))
            elif block["type"] == "thinking":
                if not block["thinking"] and not block["signature"]:
                    raise invalid(f"messages.{index}: each thinking block must contain thinking")
                self.turn.thoughts.append(block["thinking"])
                self.turn.signatures.append((block["thinking"], block["signature"]))
            elif block["type"] in ("image", "document"):
                raise invalid(f"messages.{index}: {block['type']} blocks are for user turns")
        opening = index == len(merged) - 2 and self.waiting
        if self.enabled and opening and blocks[0]["type"] not in _THINKING_BLOCKS:
            raise invalid(
                f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, "
                f"but found `{blocks[0]['type']}`. When `thinking` is enabled, a final `assistant` "
                "message must start with a thinking block."
            )
        if index == len(merged) - 1:
            if self.turn.thinking:
                raise invalid("The final block in an assistant message cannot be a prefill.")
            if _flat(blocks) != _flat(blocks).rstrip():
                raise invalid("messages: final assistant content cannot end with whitespace")

    def _user(self, blocks: list[dict[str, Any]], index: int) -> None:
        self.turn.results.clear()
        others = False
        for block in blocks:
            if block["type"] == "tool_result":
                if others and self.waiting:
                    raise self._unanswered()
                name = self.waiting.pop(block["tool_use_id"], None)
                if name is None:
                    raise invalid(
                        f"messages.{index}: unexpected `tool_use_id` found in `tool_result` "
                        f"blocks: {block['tool_use_id']}. Each `tool_result` block must have a "
                        "corresponding `tool_use` block in the previous message."
                    )
                content = block.get("content", "")
                self.turn.results.append((name, _flat(content)))
                self._images(content)
            else:
                others = True
                self._images([block])
        if self.waiting:
            raise self._unanswered()
        self.turn.prompt = _flat(blocks)

    def _images(self, blocks: Any) -> None:
        for block in blocks if isinstance(blocks, list) else ():
            if block["type"] == "image":
                source = block["source"]
                self.turn.images.append((source.get("media_type", ""), source.get("data", "")))


_THINKING_BLOCKS = ("thinking", "redacted_thinking")


def _merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Consecutive turns of one role count as one; strings become one text block."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] = [*merged[-1]["content"], *blocks]
        else:
            merged.append({"role": message["role"], "content": list(blocks)})
    return merged


def _usage(counts: Counts | None) -> dict[str, Any]:
    """The usage object; here the cached tokens are *not* contained in ``input_tokens``."""
    counts = counts or Counts(prompt=0, output=0)
    return {
        "input_tokens": counts.prompt - counts.cached - counts.cache_write,
        "cache_creation_input_tokens": counts.cache_write,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": counts.output,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
        "service_tier": "standard",
    }


def _blocks(answer: Answer, turn: Turn) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.reasoning and turn.thinking:
        proof = {"thinking": answer.reasoning, "signature": answer.signature}
        blocks.append({"type": "thinking", **proof})
    if answer.text or answer.refusal:
        blocks.append({"type": "text", "text": answer.text or answer.refusal})
    blocks += [
        {
            "type": "tool_use",
            "id": f"toolu_{call.id}",
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for call in answer.calls
    ]
    return blocks


def _message(answer: Answer, turn: Turn) -> dict[str, Any]:
    return {
        "id": "msg_standin",
        "type": "message",
        "role": "assistant",
        "model": f"{turn.model}-2026",
        "content": _blocks(answer, turn),
        "stop_reason": _STOP.get(answer.finish, "end_turn"),
        "stop_sequence": answer.stop_sequence or None,
        "usage": _usage(answer.counts),
    }


def whole(answer: Answer, turn: Turn) -> bytes:
    """The whole answer."""
    return dumps(_message(answer, turn))


def stream(answer: Answer, turn: Turn) -> list[Frame]:
    """The answer as events, one block after another."""
    full = _message(answer, turn)
    usage = {**full["usage"], "output_tokens": 1}
    opening = {**full, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    frames = [
        _frame("head", {"type": "message_start", "message": opening}),
        _frame("head", {"type": "ping"}),
    ]
    arguments = [call.arguments for call in answer.calls]
    for index, block in enumerate(full["content"]):
        raw = arguments.pop(0) if block["type"] == "tool_use" else ""
        frames += [_frame("body", event) for event in _block_events(index, block, raw)]
    end = {key: full[key] for key in ("stop_reason", "stop_sequence")}
    usage = {"output_tokens": full["usage"]["output_tokens"]}
    if answer.counts is not None:
        usage["output_tokens_details"] = full["usage"]["output_tokens_details"]
    frames.append(_frame("finish", {"type": "message_delta", "delta": end, "usage": usage}))
    frames.append(_frame("done", {"type": "message_stop"}))
    return frames


def _frame(kind: Any, event: dict[str, Any]) -> Frame:
    return Frame(kind, sse(event, event["type"]))


def _block_events(index: int, block: dict[str, Any], arguments: str) -> list[dict[str, Any]]:
    empty: dict[str, Any] = {"text": "", "thinking": "", "signature": "", "input": {}}
    start = {key: empty.get(key, value) for key, value in block.items()}
    deltas: list[dict[str, Any]]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "tool_use":
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(arguments)]]
    else:
        deltas = [{"type": "text_delta", "text": p} for p in pieces(block["text"])]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _error_body(kind: str, message: str) -> dict[str, Any]:
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": "req_standin"}


def error(failure: VendorError) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) in Anthropic's shape."""
    kind = _ERROR_TYPES.get(failure.status, "api_error")
    headers = {"content-type": "application/json", "request-id": "req_standin"}
    return failure.status, headers, dumps(_error_body(kind, failure.message))


def stream_error() -> bytes:
    """An error in the middle of a stream."""
    return sse(_error_body("overloaded_error", "Overloaded"), "error")
