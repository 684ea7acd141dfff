"""Canonical parts → the items of a client's ``output``, whole or one at a time for a stream."""

from __future__ import annotations

from typing import Any

from dragoman.canonical.parts import (
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from dragoman.canonical.request import Request
from dragoman.canonical.signature import seal
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.content import encode_output
from dragoman.protocols.openai_responses.items import (
    encode_call,
    encode_image,
    encode_reasoning,
    identity,
    is_content,
    native_content,
    without_id,
)
from dragoman.protocols.openai_responses.tools import CallName, call_names


class OutputEncoder:
    """Writes items. Ids that an upstream did not give are made of the response's id and the place."""

    def __init__(self, request: Request, response_id: str) -> None:
        self.names: dict[str, CallName] = call_names(request.tools)
        self._suffix = response_id.removeprefix("resp_")[:48]

    def encode(self, parts: list[Part], logprobs: list[Json] | None) -> list[dict[str, Any]]:
        """All parts of an answer. ``logprobs`` go to the first text."""
        items: list[dict[str, Any]] = []
        message: dict[str, Any] | None = None
        for part in parts:
            if is_content(part):
                if message is None or marks.ITEM in marks.own(part.extensions):
                    message = self.message(part, len(items))
                    items.append(message)
                message["content"].append(self.content(part, logprobs))
                if isinstance(part, Text):
                    logprobs = None
                continue
            item = self.item(part, len(items))
            if item is not None:
                message = None
                items.append(item)
        return items

    def message(self, part: Part, index: int) -> dict[str, Any]:
        """The message item that begins with ``part``, still without content."""
        return {
            "type": "message",
            **self._said(part, "msg", index),
            "role": "assistant",
            "content": [],
            **marks.own(part.extensions).get(marks.MESSAGE, {}),
        }

    def content(self, part: Part, logprobs: list[Json] | None = None) -> dict[str, Any]:
        """A content part of a message."""
        assert isinstance(part, Text | Refusal | Opaque)
        encoded = encode_output(part)
        if isinstance(part, Text):
            encoded["logprobs"] = logprobs or []
        return encoded

    def item(self, part: Part, index: int) -> dict[str, Any] | None:
        """The item that ``part`` is; None if this API has none for it."""
        match part:
            case ToolCall():
                return self.call(part, index)
            case Reasoning():
                return self.reasoning(part, index)
            case Media(kind="image", data=str()):
                return encode_image(part, self._said(part, "ig", index))
            case Opaque(protocol=marks.ID, value=dict(value)):
                return dict(value)
            case _:
                return None

    def is_custom(self, call: ToolCall) -> bool:
        """Whether the client declared the tool as a custom one."""
        name = self.names.get(call.name)
        return call.custom or (name is not None and name.custom)

    def call(self, part: ToolCall, index: int) -> dict[str, Any]:
        """A function or custom tool call."""
        said = self._said(part, "ctc" if self.is_custom(part) else "fc", index)
        item = encode_call(part, self.names, said)
        item["call_id"] = part.id or f"call_{self._suffix}_{index}"
        if marks.ITEM not in marks.own(part.extensions) and "arguments" in item:
            # Clients parse it; no arguments are an empty object.
            item["arguments"] = item["arguments"] or "{}"
        return item

    def reasoning(self, part: Reasoning, index: int) -> dict[str, Any]:
        """A reasoning item; another provider's proof is sealed, so that it can come back."""
        encrypted = None
        if part.signature is not None:
            native = part.signature.origin.protocol == marks.ID
            encrypted = without_id(part.signature)[1] if native else seal(part.signature)
        said = self._said(part, "rs", index, status=False)
        return encode_reasoning(part, encrypted, said, as_content=native_content(part))

    def _said(self, part: Part, prefix: str, index: int, *, status: bool = True) -> dict[str, Any]:
        """Id and status of an item: what its upstream said, or else made up."""
        made: dict[str, Any] = {"id": f"{prefix}_{self._suffix}_{index}"}
        if status:
            made["status"] = "completed"
        return made | identity(part)
