"""What a ``response`` object repeats of its request. The SDKs' types require most of it."""

from __future__ import annotations

from typing import Any

from dragoman.canonical.notes import Notes
from dragoman.canonical.request import Request
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.encode import encode_format
from dragoman.protocols.openai_responses.tools import ToolEncoder, call_names, encode_choice

_CARRIED = (
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "safety_identifier",
)


def echo(request: Request) -> dict[str, Any]:
    """The fields of a response that come from its request."""
    settings = request.settings
    mine = marks.own(request.extensions)
    reasoning = request.reasoning
    return {
        "background": False,
        "instructions": _instructions(request),
        "max_output_tokens": settings.max_output_tokens,
        **{name: mine.get(name) for name in _CARRIED},
        "metadata": settings.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "reasoning": {
            "effort": reasoning.effort if reasoning else None,
            "summary": reasoning.summary if reasoning else None,
        },
        # Nothing is kept at the gateway, whatever was asked.
        "store": False,
        "temperature": 1.0 if settings.temperature is None else settings.temperature,
        "text": {
            "format": encode_format(request.output) if request.output else {"type": "text"},
            "verbosity": settings.verbosity or "medium",
        },
        "tool_choice": _choice(request, mine),
        "tools": _tools(request),
        "top_logprobs": settings.top_logprobs or 0,
        "top_p": 1.0 if settings.top_p is None else settings.top_p,
        "truncation": mine.get("truncation", "disabled"),
        "user": settings.user,
    }


def _instructions(request: Request) -> str | None:
    for message in request.messages:
        if marks.INSTRUCTIONS in marks.own(message.extensions):
            return "".join(getattr(part, "text", "") for part in message.parts)
    return None


def _choice(request: Request, mine: dict[str, Any]) -> str | dict[str, Any]:
    if request.tool_choice is None:
        choice: str | dict[str, Any] = mine.get("tool_choice", "auto")
        return choice
    return encode_choice(request.tool_choice, call_names(request.tools))


def _tools(request: Request) -> list[dict[str, Any]]:
    listed = [
        (index, tool)
        for index, tool in enumerate(request.tools)
        if marks.ADDITIONAL not in marks.own(tool.extensions)
    ]
    return ToolEncoder(Notes(), native=True).encode(listed)
