"""A canonical request → the body of an upstream's ``POST /responses``.

What the API cannot say: stop sequences, ``n``, seed, penalties, logit bias and top-k are dropped.
What it can say otherwise: thinking budgets become an effort; cache breakpoints are left to the
provider's own prefix cache.

A request from another protocol keeps nothing at the provider: ``store`` is false unless the client
said something, and then reasoning comes encrypted, so that the client can carry it.

``profile.quirks``:

- ``reasoning_summary`` (bool, default true): ask for a summary of the reasoning for clients of other
  protocols; OpenAI refuses it to organisations that are not verified.
- ``encrypted_reasoning`` (bool): ask for encrypted reasoning even if the client said nothing about
  reasoning, because the model reasons by default.
- ``cache_breakpoints`` (bool): the model knows ``prompt_cache_breakpoint`` (gpt-5.6 and later).
"""

from __future__ import annotations

from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.notes import Notes
from dragoman.canonical.parts import Extensions
from dragoman.canonical.request import OutputFormat, ReasoningConfig, Request, Settings
from dragoman.canonical.signature import carries_sealed
from dragoman.protocols.base import Encoded, ModelProfile, Parsed
from dragoman.protocols.openai_responses import marks
from dragoman.protocols.openai_responses.content import note_cache
from dragoman.protocols.openai_responses.history import HistoryEncoder
from dragoman.protocols.openai_responses.request import decode_request
from dragoman.protocols.openai_responses.tools import ToolEncoder, call_names, encode_choice
from dragoman.protocols.openai_responses.types import ENCRYPTED_REASONING, LOGPROBS
from dragoman.protocols.wire_json import read_client

_encode = msgspec.json.Encoder().encode
_read_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])

_UNKNOWN: dict[str, tuple[Any, ...]] = {
    "top_k": (),
    "stop": ([],),
    "n": (1,),
    "seed": (),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
}
"""Settings that the API lacks, with the values that ask for nothing."""
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
_MIN_OUTPUT_TOKENS = 16
"""The API answers 400 to less."""
_EFFORT_OF_BUDGET = ((2048, "low"), (8192, "medium"), (32768, "high"))
_SIBLING = "openai_chat"
_SIBLING_FIELDS = frozenset(
    {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier"}
)
"""Fields that OpenAI's chat API has under the same name."""
_MERGED = frozenset({"include", "reasoning", "text"})
"""Extension fields that are put together with canonical ones."""


def encode_request(request: Request, profile: ModelProfile) -> Encoded:
    """The upstream's body, and what became of each field. Raises InvalidRequest if it is nested
    deeper than can be written."""
    encoder = _RequestEncoder(request, profile)
    try:
        body = _encode(encoder.body())
    except RecursionError:
        raise InvalidRequest("The request is nested too deeply.", code="invalid_json") from None
    return Encoded(body=body, notes=encoder.notes.items)


def repeat_request(parsed: Parsed, profile: ModelProfile) -> Encoded:
    """The client's own bytes; only the model's name is changed, if the provider has another.

    A body that carries another provider's sealed reasoning is translated instead, because the API
    refuses encrypted content that it did not make.
    """
    if carries_sealed(parsed.body):
        return encode_request(decode_request(parsed), profile)
    if not profile.model or profile.model == parsed.model:
        return Encoded(body=parsed.body)
    raw = read_client(parsed.body, _read_raw)
    raw["model"] = msgspec.Raw(_encode(profile.model))
    return Encoded(body=_encode(raw))


def encode_format(output: OutputFormat) -> dict[str, Any]:
    """``text.format``, with what the request says and nothing else."""
    if output.kind != "json_schema":
        return {"type": output.kind}
    found = {
        "name": output.name,
        "description": output.description,
        "schema": output.schema,
        "strict": output.strict,
    }
    said = {name: value for name, value in found.items() if value is not None}
    return {"type": "json_schema", **said}


class _RequestEncoder:
    def __init__(self, request: Request, profile: ModelProfile) -> None:
        self.notes = Notes()
        self._request = request
        self._profile = profile
        self._native = marks.born_here(request.extensions)
        self._own = marks.own(request.extensions)

    def body(self) -> dict[str, Any]:
        request = self._request
        body: dict[str, Any] = {"model": self._profile.model or request.model}
        self._history(body)
        self._tools(body)
        self._settings(body)
        self._text(body)
        self._reasoning(body)
        self._extensions(body)
        self._include(body)
        if request.cache is not None:
            note_cache(self.notes, "")
        if request.stream:
            body["stream"] = True
        return body

    def _dropped(self, name: str, path: str) -> bool:
        """Whether the provider refuses ``name``; if so, that is noted."""
        if name not in self._profile.drops:
            return False
        self.notes.dropped(path, "the provider refuses it")
        return True

    def _history(self, body: dict[str, Any]) -> None:
        history = HistoryEncoder(self._request, self._profile, self.notes)
        history.encode()
        if history.instructions is not None:
            body["instructions"] = history.instructions
        items = history.items
        for item, at in self._additional_tools():
            items.insert(at, item)
        if items:
            body["input"] = items

    def _additional_tools(self) -> list[tuple[dict[str, Any], int]]:
        """The ``additional_tools`` items with their places in the input, first place first."""
        groups: dict[int, list[tuple[int, Any]]] = {}
        for index, tool in enumerate(self._request.tools):
            mark = marks.own(tool.extensions).get(marks.ADDITIONAL)
            if mark is not None:
                groups.setdefault(mark["at"], []).append((index, tool))
        encoder = ToolEncoder(self.notes, native=True)
        return [
            (
                {
                    "type": "additional_tools",
                    **marks.own(tools[0][1].extensions)[marks.ADDITIONAL]["item"],
                    "tools": encoder.encode(tools),
                },
                at,
            )
            for at, tools in sorted(groups.items())
        ]

    def _tools(self, body: dict[str, Any]) -> None:
        request = self._request
        tools = [
            (index, tool)
            for index, tool in enumerate(request.tools)
            if marks.ADDITIONAL not in marks.own(tool.extensions)
        ]
        encoded = ToolEncoder(self.notes, native=self._native).encode(tools)
        if encoded:
            body["tools"] = encoded
        choice = request.tool_choice
        if choice is not None and not self._dropped("tool_choice", "tool_choice"):
            if encoded or self._native:
                body["tool_choice"] = encode_choice(choice, call_names(request.tools))
            else:
                self.notes.dropped("tool_choice", "there is no tool to choose")
        parallel = request.parallel_tool_calls
        if parallel is not None and not self._dropped("parallel_tool_calls", "parallel_tool_calls"):
            body["parallel_tool_calls"] = parallel

    def _settings(self, body: dict[str, Any]) -> None:
        for name in Settings.__struct_fields__:
            value = getattr(self._request.settings, name)
            path = f"settings.{name}"
            if value is None or self._dropped(name, path):
                continue
            if name in _UNKNOWN:
                if value in _UNKNOWN[name]:
                    self.notes.renamed(path, "what the API does anyway")
                else:
                    self.notes.dropped(path, "not in the Responses API")
            elif name == "verbosity":
                body["text"] = {"verbosity": value}
            elif name == "logprobs":
                if value:
                    body["include"] = [LOGPROBS]
            else:
                body[name] = value
        if not self._native:
            self._adapt(body)
        ceiling = self._profile.max_output_tokens
        if ceiling is not None and body.get("max_output_tokens", 0) > ceiling:
            body["max_output_tokens"] = ceiling
            self.notes.clamped("settings.max_output_tokens", f"the model writes at most {ceiling}")

    def _adapt(self, body: dict[str, Any]) -> None:
        """Fit another protocol's values into this one's."""
        if body.get("max_output_tokens", _MIN_OUTPUT_TOKENS) < _MIN_OUTPUT_TOKENS:
            body["max_output_tokens"] = _MIN_OUTPUT_TOKENS
            detail = f"at least {_MIN_OUTPUT_TOKENS} are accepted"
            self.notes.clamped("settings.max_output_tokens", detail)
        if body.get("service_tier", "auto") not in _TIERS:
            del body["service_tier"]
            self.notes.dropped("settings.service_tier", "no such tier here")
        metadata = body.get("metadata")
        if metadata and not all(isinstance(value, str) for value in metadata.values()):
            body["metadata"] = {
                name: value if isinstance(value, str) else _encode(value).decode()
                for name, value in metadata.items()
            }
            self.notes.emulated("settings.metadata", "values are written as text")
        body.setdefault("store", False)

    def _text(self, body: dict[str, Any]) -> None:
        text: dict[str, Any] = {**body.get("text", {}), **self._own.get("text", {})}
        output = self._request.output
        if output is not None and not self._dropped("output", "output"):
            text["format"] = {**self._format(output), **text.get("format", {})}
        if text:
            body["text"] = text

    def _format(self, output: OutputFormat) -> dict[str, Any]:
        encoded = encode_format(output)
        if output.kind == "json_schema" and not self._native:
            # Both are required, and other protocols know neither names nor schemas left open.
            encoded.setdefault("name", "response")
            encoded.setdefault("schema", {"type": "object"})
        return encoded

    def _reasoning(self, body: dict[str, Any]) -> None:
        config = self._request.reasoning
        found: dict[str, Any] = {}
        if config is not None and not self._dropped("reasoning", "reasoning"):
            found = _encode_reasoning(config, self.notes)
            asked = found and found.get("effort") != "none" and config.visible is None
            if asked and not self._native and self._profile.quirks.get("reasoning_summary", True):
                # Clients of other protocols see reasoning without asking for a summary of it.
                found.setdefault("summary", "auto")
        found.update(self._own.get("reasoning", {}))
        if found:
            body["reasoning"] = found

    def _extensions(self, body: dict[str, Any]) -> None:
        mine = marks.fields(self._request.extensions)
        body.update({name: value for name, value in mine.items() if name not in _MERGED})
        if self._request.stream and marks.STREAM_OPTIONS in self._own:
            body["stream_options"] = self._own[marks.STREAM_OPTIONS]
        others: Extensions = {}
        for owner, fields in (self._request.extensions or {}).items():
            shared = _SIBLING_FIELDS if owner == _SIBLING else frozenset()
            others[owner] = {name: v for name, v in fields.items() if name not in shared}
            for name in shared & fields.keys():
                body.setdefault(name, fields[name])
        self.notes.foreign("", others, marks.ID)

    def _include(self, body: dict[str, Any]) -> None:
        include = [*self._own.get("include", ()), *body.get("include", ())]
        if self._native:
            encrypted = marks.ENCRYPTED in self._own
        else:
            effort = body.get("reasoning", {}).get("effort")
            thinks = "reasoning" in body and effort != "none"
            wanted = thinks or bool(self._profile.quirks.get("encrypted_reasoning"))
            encrypted = wanted and not body.get("store")
        if encrypted:
            include.append(ENCRYPTED_REASONING)
        if include:
            body["include"] = include


def _encode_reasoning(config: ReasoningConfig, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    effort = config.effort
    if config.mode is not None:
        notes.emulated("reasoning.mode", "said by the effort, or left to the model")
        if config.mode == "off":
            effort = "none"
        elif config.mode == "on" and config.budget_tokens is None:
            # Left unsaid, some models do not reason at all.
            effort = effort or "medium"
    if config.budget_tokens is not None:
        notes.emulated("reasoning.budget_tokens", "said by the effort")
        effort = effort or _effort_of(config.budget_tokens)
    if effort is not None:
        found["effort"] = effort
    if config.visible is False:
        notes.renamed("reasoning.visible", "no summary is asked for")
        if config.summary is not None:
            notes.dropped("reasoning.summary", "the client does not want to see it")
    elif config.summary or config.visible:
        found["summary"] = config.summary or "auto"
    return found


def _effort_of(budget: int) -> str:
    return next((effort for limit, effort in _EFFORT_OF_BUDGET if budget <= limit), "xhigh")
