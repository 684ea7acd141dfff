"""A client's request: the prompt becomes one user message.

Several prompts, and prompts of token numbers, can be forwarded to an upstream that speaks this
protocol, but not translated for another.
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json, Text
from dragoman.canonical.request import Message, Request, Settings, StreamOptions
from dragoman.protocols.base import Parsed, Target
from dragoman.protocols.openai_completions.types import PROTOCOL_ID, CompletionRequest, Wire
from dragoman.protocols.wire_json import read_client

_REQUEST = msgspec.json.Decoder(CompletionRequest)
_OBJECT = msgspec.json.Decoder(dict[str, Json])

SETTINGS = (
    "temperature",
    "top_p",
    "top_k",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
)
"""Settings that have the same name and form on the wire."""


def parse_request(body: bytes, target: Target) -> Parsed:
    """Validate the body and read what routing needs. Raises InvalidRequest."""
    wire = read_client(body, _REQUEST)
    model = target.model or wire.model
    if not model:
        raise InvalidRequest("You must provide a model.", param="model")
    if wire.prompt is None or wire.prompt == []:
        raise InvalidRequest("'prompt' must not be empty.", param="prompt")
    return Parsed(
        body=body,
        wire=wire,
        model=model,
        stream=bool(wire.stream),
        include_usage=bool(wire.stream_options and wire.stream_options.include_usage),
        max_output_tokens=wire.max_tokens,
        answers=max(wire.n or 1, wire.best_of or 1),
        target=target,
    )


def decode_request(parsed: Parsed) -> Request:
    """Make a parsed request canonical. Raises InvalidRequest for prompts that are not one text."""
    body = read_client(parsed.body, _OBJECT)
    body.pop("model", None)
    body.pop("stream", None)
    prompt = _one_text(body.pop("prompt"))
    request = Request(
        model=parsed.model,
        messages=[Message(role="user", parts=[Text(text=prompt)])],
        settings=_settings(body),
        stream=parsed.stream,
        stream_options=_stream_options(body),
    )
    rest = {field: value for field, value in body.items() if value is not None}
    if rest:
        request.extensions = {PROTOCOL_ID: rest}
    return request


def _one_text(prompt: Json) -> str:
    if isinstance(prompt, list):
        if any(not isinstance(item, str) for item in prompt):
            raise InvalidRequest(
                "This model's provider takes text, not tokens: send 'prompt' as a text.",
                param="prompt",
            )
        if len(prompt) > 1:
            raise InvalidRequest(
                "This model's provider takes one prompt at a time: send one request for each.",
                param="prompt",
            )
        prompt = prompt[0]
    if not prompt:
        raise InvalidRequest("'prompt' must not be empty.", param="prompt")
    return str(prompt)


def _settings(body: Wire) -> Settings:
    """``logprobs`` says in one number what chat says in two fields."""
    chances = body.pop("logprobs", None)
    stop = body.pop("stop", None)
    return Settings(
        max_output_tokens=body.pop("max_tokens", None),
        stop=[stop] if isinstance(stop, str) else stop or None,
        logprobs=True if chances is not None else None,
        top_logprobs=chances,
        **{name: body.pop(name, None) for name in SETTINGS},
    )


def _stream_options(body: Wire) -> StreamOptions:
    options = body.get("stream_options")
    if options is None:
        return StreamOptions()
    include_usage = bool(options.pop("include_usage", None))
    if not options:
        del body["stream_options"]
    return StreamOptions(include_usage=include_usage)
