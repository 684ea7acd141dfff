"""For every task a small request, and whether Hugging Face's JavaScript client could read the answer.

Sources: huggingface/huggingface.js ``packages/inference/src/providers/providerHelper.ts`` (chat) and
``hf-inference.ts`` (the other tasks); the requests are those of the prepared integration in
``docs/hugging-face/huggingface.js.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from dragoman.cli.remote import Answer

_TEXT = "Marie Curie was born in Warsaw and worked in Paris, where she discovered radium."
_MAX_TOKENS = 256
_DEEPEST = 3


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """``path`` may name the ``{model}``; else the body does, in its first member, as the official
    clients write it. ``unreadable`` says what is wrong with an answer, nothing if nothing is. A sample
    that can be ``streamed`` is a text task's."""

    path: str
    body: Mapping[str, Any]
    unreadable: Callable[[Answer], str]
    streamed: bool = False

    def request(self, model: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
        """(path, body) for ``model``."""
        named = "{model}" in self.path
        path = self.path.replace("{model}", quote(model, safe="/:@"))
        body = dict(self.body) if named else {"model": model, **self.body}
        return path, {**body, "stream": True} if stream else body


def token_text(event: Any) -> str:
    """What a streamed event adds to the answer, thoughts and tool calls included."""
    choice = _first(event.get("choices")) if isinstance(event, dict) else None
    if not isinstance(choice, dict):
        return ""
    delta = choice.get("delta", choice)
    if not isinstance(delta, dict):
        return ""
    if delta.get("tool_calls"):
        return "tool call"
    names = ("content", "text", "reasoning_content", "reasoning")
    return next((text for name in names if isinstance(text := delta.get(name), str) and text), "")


def _unreadable_chat(answer: Answer) -> str:
    """What keeps the client from reading a chat completion."""
    body = answer.json()
    if not isinstance(body, dict):
        return "the answer is no JSON object"
    fingerprint = body.get("system_fingerprint")
    wants = (
        ("choices", isinstance(body.get("choices"), list) and body["choices"], "a list"),
        ("created", _is_number(body.get("created")), "a number"),
        ("id", isinstance(body.get("id"), str), "a text"),
        ("model", isinstance(body.get("model"), str), "a text"),
        ("system_fingerprint", fingerprint is None or isinstance(fingerprint, str), "a text"),
        ("usage", isinstance(body.get("usage"), dict), "an object"),
    )
    return ", ".join(f"'{name}' is not {kind}" for name, fine, kind in wants if not fine)


def _unreadable_completion(answer: Answer) -> str:
    body = answer.json()
    choice = _first(body.get("choices")) if isinstance(body, dict) else None
    fine = isinstance(choice, dict) and isinstance(choice.get("text"), str)
    return "" if fine else "there is no choices[0].text"


def _rows(**fields: type | tuple[type, ...]) -> Callable[[Answer], str]:
    """A list of objects that have these fields."""

    def unreadable(answer: Answer) -> str:
        return _wrong_rows(answer.json(), fields)

    return unreadable


def _nested_rows(**fields: type | tuple[type, ...]) -> Callable[[Answer], str]:
    """The same in a list of one."""

    def unreadable(answer: Answer) -> str:
        body = answer.json()
        if not isinstance(body, list) or not body or not isinstance(body[0], list):
            return "the answer is no list of lists"
        return _wrong_rows(body[0], fields)

    return unreadable


def _wrong_rows(rows: Any, fields: Mapping[str, type | tuple[type, ...]]) -> str:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return "the answer is no list of objects"
    wrong = {
        name
        for row in rows
        for name, kind in fields.items()
        if not isinstance(row.get(name), kind) or isinstance(row.get(name), bool)
    }
    return ", ".join(f"'{name}' is missing or of the wrong kind" for name in sorted(wrong))


def _unreadable_answers(answer: Answer) -> str:
    body = answer.json()
    return _wrong_rows(body if isinstance(body, list) else [body], _ANSWER)


def _unreadable_vectors(answer: Answer) -> str:
    level, depth = answer.json(), 0
    while isinstance(level, list) and level and depth < _DEEPEST + 1:
        if all(_is_number(one) for one in level):
            return "" if depth < _DEEPEST else "the lists are nested too deep"
        level, depth = level[0], depth + 1
    return "the answer is no list of numbers"


def _unreadable_image(answer: Answer) -> str:
    kind = answer.headers.get("content-type", "")
    known = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", b"GIF8")
    if kind.startswith("image/") and answer.body.startswith(known):
        return ""
    return f"the answer is no picture but {kind or 'something without a type'}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else None


_NUMBER = (int, float)
_ANSWER: Mapping[str, type | tuple[type, ...]] = {
    "answer": str,
    "score": _NUMBER,
    "start": int,
    "end": int,
}
_NATIVE = "/hf/models/{model}/pipeline/"


def _native(task: str, unreadable: Callable[[Answer], str], inputs: Any = _TEXT) -> Sample:
    return Sample(path=_NATIVE + task, body={"inputs": inputs}, unreadable=unreadable)


SAMPLES: Mapping[str, Sample] = {
    "conversational": Sample(
        path="/v1/chat/completions",
        body={
            "messages": [{"role": "user", "content": "Say hello in one short sentence."}],
            "max_tokens": _MAX_TOKENS,
        },
        unreadable=_unreadable_chat,
        streamed=True,
    ),
    "text-generation": Sample(
        path="/v1/completions",
        body={"prompt": "The capital of France is", "max_tokens": 32},
        unreadable=_unreadable_completion,
        streamed=True,
    ),
    "summarization": _native("summarization", _rows(summary_text=str)),
    "translation": Sample(
        path=_NATIVE + "translation",
        body={"inputs": _TEXT, "parameters": {"src_lang": "en", "tgt_lang": "fr"}},
        unreadable=_rows(translation_text=str),
    ),
    "question-answering": _native(
        "question-answering",
        _unreadable_answers,
        {"question": "Where was Marie Curie born?", "context": _TEXT},
    ),
    "text-classification": _native(
        "text-classification", _nested_rows(label=str, score=_NUMBER), "I like it very much."
    ),
    "token-classification": _native(
        "token-classification",
        _rows(entity_group=str, score=_NUMBER, word=str, start=int, end=int),
    ),
    "text-to-image": _native("text-to-image", _unreadable_image, "A red square."),
    "feature-extraction": _native("feature-extraction", _unreadable_vectors),
}
"""By the Hub's names for the tasks."""
