"""Gemini generateContent, as generativelanguage.googleapis.com judges and answers it.

Sources: the types of the ``google-genai`` package (which refuse unknown fields, as the server does)
and the Gemini API's pages on function calling and thought signatures. Calls carry no id and answers
are framed with CRLF, as the server's own are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pydantic
from google.genai import types

from tests.support.standin.frames import Frame, dumps
from tests.support.standin.script import Answer, Counts, Turn, VendorError, pieces, sign

VENDOR = "gemini"
CONTENT_TYPE = "text/event-stream"
# What Google documents for history that another model produced.
UNCHECKED_SIGNATURES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
_FUNCTION_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$")
_FINISH = {"length": "MAX_TOKENS", "refusal": "SAFETY", "filter": "SAFETY"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_BODY: dict[str, Any] = {
    "contents": list[types.Content],
    "systemInstruction": types.Content,
    "tools": list[types.Tool],
    "toolConfig": types.ToolConfig,
    "safetySettings": list[types.SafetySetting],
    "generationConfig": types.GenerationConfig,
    "cachedContent": str,
    "serviceTier": str,
    "store": bool,
}
_READERS = {name: pydantic.TypeAdapter(form) for name, form in _BODY.items()}


def invalid(message: str) -> VendorError:
    """A 400 in Google's words."""
    return VendorError(400, message)


def read(body: Any, headers: Mapping[str, str], *, model: str = "", stream: bool = False) -> Turn:
    """Judge a request and say what it asks for; raises VendorError."""
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received.")
    typed = _typed(body)
    contents: list[types.Content] = typed.get("contents", [])
    if not contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    config: types.GenerationConfig = typed.get("generationConfig") or types.GenerationConfig()
    thinking = config.thinking_config
    turn = Turn(
        model=model,
        vendor=VENDOR,
        stream=stream,
        thinking=bool(thinking and thinking.include_thoughts),
        system=_text(typed.get("systemInstruction")),
    )
    _check_config(config, turn)
    _check_tools(typed, turn)
    _Conversation(turn).read(contents)
    return turn


def _typed(body: dict[str, Any]) -> dict[str, Any]:
    typed = {}
    for name, value in body.items():
        known = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        if known not in _READERS:
            raise invalid(
                f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
            )
        try:
            typed[known] = _READERS[known].validate_json(dumps(value))
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(step) for step in (name, *first["loc"]))
            raise invalid(f"Invalid value at '{where}': {first['msg']}") from None
    return typed


def _check_config(config: types.GenerationConfig, turn: Turn) -> None:
    thinking = config.thinking_config
    if thinking and thinking.thinking_budget is not None and thinking.thinking_level is not None:
        raise invalid("You can only set only one of thinking budget and thinking level.")
    if config.temperature is not None and not 0 <= config.temperature <= 2:
        raise invalid("* GenerateContentRequest.generation_config.temperature: out of range [0, 2]")
    if len(config.stop_sequences or ()) > 5:
        raise invalid("* generation_config.stop_sequences: at most 5 are allowed")
    schema = config.response_schema or config.response_json_schema
    if config.response_schema and config.response_json_schema:
        raise invalid("responseSchema and responseJsonSchema exclude each other.")
    is_json = config.response_mime_type == "application/json"
    if schema and not is_json:
        raise invalid("A response schema needs the response mime type application/json.")
    if config.response_schema:
        turn.schema = config.response_schema.model_dump(exclude_none=True)
    elif isinstance(config.response_json_schema, dict):
        turn.schema = config.response_json_schema
    turn.json_mode = is_json and not schema


def _check_tools(typed: dict[str, Any], turn: Turn) -> None:
    tools: list[types.Tool] = typed.get("tools", [])
    for tool in tools:
        for declaration in tool.function_declarations or ():
            name = declaration.name or ""
            if not _FUNCTION_NAME.match(name):
                raise invalid(f"Invalid function name {name!r}.")
            if declaration.parameters and declaration.parameters_json_schema:
                raise invalid("parameters and parametersJsonSchema exclude each other.")
            turn.tools.append(name)
    if len(set(turn.tools)) != len(turn.tools):
        raise invalid("Duplicate function declaration found.")
    config: types.ToolConfig | None = typed.get("toolConfig")
    calling = config.function_calling_config if config else None
    if calling and calling.allowed_function_names:
        if calling.mode not in ("ANY", "VALIDATED"):
            raise invalid("Allowed function names should be set only when the mode is ANY.")
        if set(calling.allowed_function_names) - set(turn.tools):
            raise invalid("Allowed function names must be declared.")


def _text(content: types.Content | None) -> str:
    parts = content.parts if content else None
    return "".join(part.text or "" for part in parts or () if not part.thought)


class _Conversation:
    """Walks the contents and holds them to the rules of roles, calls and thought signatures."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.waiting: list[str] = []  # names of the calls of the last model turn

    def read(self, contents: list[types.Content]) -> None:
        """Read every content; raises VendorError."""
        last_user = max(
            (i for i, one in enumerate(contents) if one.role != "model" and not _results(one)),
            default=0,
        )
        for index, content in enumerate(contents):
            if content.role not in (None, "user", "model"):
                raise invalid("Please use a valid role: user, model.")
            if not content.parts:
                raise invalid(f"* contents[{index}].parts: must not be empty.")
            if content.role == "model":
                self._model(content.parts, current=index > last_user)
            else:
                self._user(content)
        if self.waiting:
            raise self._uneven()

    def _uneven(self) -> VendorError:
        return invalid(
            "Please ensure that the number of function response parts is equal to the number of "
            "function call parts of the function call turn."
        )

    def _model(self, parts: list[types.Part], *, current: bool) -> None:
        if self.waiting:
            raise self._uneven()
        self.turn.answered = True
        self.turn.results.clear()
        calls = [part for part in parts if part.function_call]
        for part in parts:
            if part.thought and part.text:
                self.turn.thoughts.append(part.text)
            proof = _base64(part.thought_signature)
            if proof and proof not in UNCHECKED_SIGNATURES:
                self.turn.signatures.append(("", proof))
        signed = self.turn.model.startswith("reasoning")
        if signed and current and calls and not calls[0].thought_signature:
            raise invalid("Function call is missing a thought_signature in functionCall parts.")
        self.waiting = [str(part.function_call.name) for part in calls if part.function_call]
        self.turn.calls += [("", name) for name in self.waiting]

    def _user(self, content: types.Content) -> None:
        parts = content.parts or []
        responses = _results(content)
        self.turn.results.clear()
        if self.waiting or responses:
            if sorted(self.waiting) != sorted(str(one.name) for one in responses):
                raise self._uneven()
            self.waiting = []
        for response in responses:
            self.turn.results.append((str(response.name), _result_text(response.response)))
        self.turn.prompt = _text(content)
        for part in parts:
            if part.inline_data:
                data = _standard_base64(part.inline_data.data)
                self.turn.images.append((part.inline_data.mime_type or "", data))


def _results(content: types.Content) -> list[types.FunctionResponse]:
    return [part.function_response for part in content.parts or () if part.function_response]


def _result_text(response: dict[str, Any] | None) -> str:
    """Google's pages put the answer under ``output`` or ``result``; anything else is JSON."""
    response = response or {}
    if len(response) == 1:
        (value,) = response.values()
        return value if isinstance(value, str) else json.dumps(value)
    return json.dumps(response)


def _standard_base64(data: bytes | None) -> str:
    return pydantic.TypeAdapter(pydantic.Base64Bytes).dump_python(data or b"").decode().strip()


def _base64(data: bytes | None) -> str:
    """A signature's wire text: pydantic decoded it, unless it is one of the plain words."""
    if data is None:
        return ""
    plain = data.decode("latin-1")
    return plain if plain in UNCHECKED_SIGNATURES else _standard_base64(data)


def _usage(counts: Counts) -> dict[str, Any]:
    """The usage object; cached tokens are contained in the prompt, thoughts stand beside."""
    usage = {
        "promptTokenCount": counts.prompt,
        "candidatesTokenCount": counts.output - counts.reasoning,
        "totalTokenCount": counts.prompt + counts.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
    }
    if counts.cached:
        usage["cachedContentTokenCount"] = counts.cached
    if counts.reasoning:
        usage["thoughtsTokenCount"] = counts.reasoning
    return usage


def _calls(answer: Answer) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for call in answer.calls:
        part: dict[str, Any] = {
            "functionCall": {"name": call.name, "args": json.loads(call.arguments)}
        }
        if call.signature:
            part["thoughtSignature"] = sign(VENDOR, "")
        parts.append(part)
    return parts


def _chunk(
    turn: Turn, parts: list[dict[str, Any]], finish: str | None, counts: Counts | None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    if finish:
        candidate["finishReason"] = finish
    chunk: dict[str, Any] = {"candidates": [candidate]}
    if counts is not None:
        chunk["usageMetadata"] = _usage(counts)
    return {**chunk, "modelVersion": f"{turn.model}-2026", "responseId": "standin"}


def whole(answer: Answer, turn: Turn) -> bytes:
    """The whole answer."""
    parts: list[dict[str, Any]] = []
    if answer.reasoning and turn.thinking:
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.text:
        text: dict[str, Any] = {"text": answer.text}
        if answer.signature and not answer.calls:
            text["thoughtSignature"] = sign(VENDOR, "")
        parts.append(text)
    parts += _calls(answer)
    finish = _FINISH.get(answer.finish, "STOP")
    return dumps(_chunk(turn, parts, finish, answer.counts))


def stream(answer: Answer, turn: Turn) -> list[Frame]:
    """The answer as chunks. The signature of a text comes in an empty part at the end."""
    parts: list[dict[str, Any]] = []
    if answer.reasoning and turn.thinking:
        parts += [{"text": piece, "thought": True} for piece in pieces(answer.reasoning)]
    parts += [{"text": piece} for piece in pieces(answer.text)]
    parts += _calls(answer)
    frames = [Frame("body", _frame(_chunk(turn, [part], None, answer.counts))) for part in parts]
    last: list[dict[str, Any]] = []
    if answer.signature and not answer.calls:
        last = [{"text": "", "thoughtSignature": sign(VENDOR, "")}]
    finish = _FINISH.get(answer.finish, "STOP")
    frames.append(Frame("finish", _frame(_chunk(turn, last, finish, answer.counts))))
    return frames


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + dumps(chunk) + b"\r\n\r\n"


def as_array(frames: list[Frame]) -> list[Frame]:
    """The same stream without ``alt=sse``: one JSON array, element by element."""
    array = []
    for index, frame in enumerate(frames):
        opening = b"," if index else b"["
        payload = frame.data.removeprefix(b"data: ").removesuffix(b"\r\n\r\n")
        array.append(Frame(frame.kind, opening + payload + b"\r\n"))
    return [*array, Frame("done", b"]")]


def error(failure: VendorError) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) in Google's shape; the delay to retry is in the details."""
    body: dict[str, Any] = {
        "code": failure.status,
        "message": failure.message,
        "status": _STATUS.get(failure.status, "UNKNOWN"),
    }
    if failure.retry_after:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        body["details"] = [{"@type": kind, "retryDelay": f"{failure.retry_after}s"}]
    return failure.status, {"content-type": "application/json"}, dumps({"error": body})


def stream_error() -> bytes:
    """An error in the middle of a stream."""
    body = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
    return _frame({"error": body})
