"""The demonstration upstream: an OpenAI-compatible server without a model, a network or a clock.

Its one model, ``echo``, says back what the user said, calls tools when asked to ("use a tool", a
tool's name, or a ``tool_choice`` that demands it), fills in JSON schemas, and reports usage in words.
The same request always gets the same answer.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec

from dragoman.providers.demo_answer import Answer, Mistake, answer_to, words
from dragoman.wire.http import Headers, HttpRequest
from dragoman.wire.sse import write_event

MODEL = "echo"
_CREATED = 1_767_225_600  # a fixed day: there is no clock here
_DIMENSIONS = 8
_MOST_DIMENSIONS = 4096

_body = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def demo_reply(request: HttpRequest) -> tuple[int, Headers, Iterator[bytes]]:
    """(status, headers, chunks of the body) for ``request``; no chunk is empty. Only the end of the
    URL's path is looked at."""
    path = request.url.partition("?")[0].rstrip("/")
    try:
        if path.endswith("/models"):
            return _json(200, {"object": "list", "data": [_model()]})
        if path.endswith(f"/models/{MODEL}"):
            return _json(200, _model())
        if path.endswith("/chat/completions"):
            return _chat(_read(request.body))
        if path.endswith("/embeddings"):
            return _embeddings(_read(request.body))
        raise Mistake(404, f"There is nothing at {path}.", code="unknown_url")
    except Mistake as mistake:
        error = {
            "message": mistake.message,
            "type": "invalid_request_error",
            "param": mistake.param,
            "code": mistake.code,
        }
        return _json(mistake.status, {"error": error})


def _json(status: int, value: Any) -> tuple[int, Headers, Iterator[bytes]]:
    return status, [("content-type", "application/json")], iter([_encode(value)])


def _model() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": _CREATED, "owned_by": "dragoman"}


def _read(data: bytes) -> dict[str, Any]:
    try:
        body = _body.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Mistake(400, f"The body is no JSON object: {error}.") from None
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Mistake(400, "You must provide a model.", param="model")
    if model != MODEL:
        raise Mistake(
            404,
            f"The model '{model[:100]}' does not exist; the demonstration has '{MODEL}'.",
            param="model",
            code="model_not_found",
        )
    return body


def _chat(body: dict[str, Any]) -> tuple[int, Headers, Iterator[bytes]]:
    answer = answer_to(body)
    id = f"chatcmpl-demo-{zlib.crc32(_encode(body)):08x}"
    if body.get("stream") is True:
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and options.get("include_usage") is True
        headers = [("content-type", "text/event-stream"), ("cache-control", "no-cache")]
        return 200, headers, _stream(id, answer, include_usage=wanted)
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.call is not None:
        message |= {"content": None, "tool_calls": [answer.call]}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
    }
    return _json(
        200,
        {
            **_envelope(id, "chat.completion"),
            "choices": [choice],
            "usage": _usage(answer),
        },
    )


def _envelope(id: str, object: str) -> dict[str, Any]:
    return {"id": id, "object": object, "created": _CREATED, "model": MODEL}


def _usage(answer: Answer) -> dict[str, int]:
    read, written = answer.input_words, answer.output_words
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _stream(id: str, answer: Answer, *, include_usage: bool) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        value = {**_envelope(id, "chat.completion.chunk"), "choices": [choice]}
        return write_event(_encode(value))

    yield chunk({"role": "assistant", "content": ""})
    for piece in words(answer.text):
        yield chunk({"content": piece})
    if answer.call is not None:
        function = answer.call["function"]
        head = {**answer.call, "index": 0, "function": {**function, "arguments": ""}}
        yield chunk({"tool_calls": [head]})
        for piece in words(function["arguments"]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish_reason)
    if include_usage:
        usage = {"choices": [], "usage": _usage(answer)}
        yield write_event(_encode({**_envelope(id, "chat.completion.chunk"), **usage}))
    yield write_event(b"[DONE]")


def _embeddings(body: dict[str, Any]) -> tuple[int, Headers, Iterator[bytes]]:
    inputs = body.get("input")
    if isinstance(inputs, list) and inputs and all(isinstance(i, int) for i in inputs):
        inputs = [inputs]  # one text, as tokens
    items: list[Any] = inputs if isinstance(inputs, list) else [inputs]
    if not items or not all(isinstance(item, str | list) for item in items):
        raise Mistake(400, "You must provide one or more texts or token lists.", param="input")
    size = body.get("dimensions", _DIMENSIONS)
    if not isinstance(size, int) or not 1 <= size <= _MOST_DIMENSIONS:
        raise Mistake(400, f"Dimensions are 1 to {_MOST_DIMENSIONS}.", param="dimensions")
    data = [
        {"object": "embedding", "index": i, "embedding": _vector(item, size)}
        for i, item in enumerate(items)
    ]
    count = sum(len(item.split()) if isinstance(item, str) else len(item) for item in items)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _json(200, {"object": "list", "data": data, "model": MODEL, "usage": usage})


def _vector(item: str | list[Any], size: int) -> list[float]:
    """A unit vector that depends on ``item`` alone."""
    seed = _encode(item)
    raw = [zlib.crc32(seed, index) / 2**31 - 1 for index in range(size)]
    length = math.sqrt(sum(x * x for x in raw)) or 1.0
    return [round(x / length, 6) for x in raw]
