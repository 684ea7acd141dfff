"""The model list in the form the client's protocol knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest, ModelNotFound
from dragoman.governance.money import usd_text
from dragoman.routing.channel import Channel

Models = Mapping[str, tuple[Channel, ...]]
"""Model name → the channels that have it."""


class ModelFacts(msgspec.Struct, frozen=True):
    """What is known of a model besides its name: ``rates`` for input and output in nano-USD per million
    tokens, None without a price; the tokens it takes in at most; when it was made (Unix time)."""

    rates: tuple[int, int] | None = None
    context_length: int | None = None
    created: int = 0


Facts = Mapping[str, ModelFacts]
"""Model name → its facts; a model that is not there has none."""

_UNKNOWN = ModelFacts()

_EPOCH = "1970-01-01T00:00:00Z"  # few providers tell when their models were made
_DEFAULT_LIMIT = {"anthropic_messages": 20, "gemini_generate": 50}
_MAX_LIMIT = 1000


def list_models(
    models: Models,
    protocol: str,
    query: Mapping[str, str],
    facts: Facts,
) -> bytes:
    """Every model, as ``protocol``'s list endpoint answers; paged where that protocol pages."""
    names = sorted(models)
    match protocol:
        case "anthropic_messages":
            return _anthropic_page(names, query)
        case "gemini_generate":
            return _gemini_page(names, query)
        case "ollama_chat":
            tags = [{"name": n, "model": n, "modified_at": _EPOCH, "size": 0} for n in names]
            return msgspec.json.encode({"models": tags})
        case _:
            data = [_openai(name, models[name], facts) for name in names]
            return msgspec.json.encode({"object": "list", "data": data})


def show_model(
    models: Models,
    protocol: str,
    name: str,
    facts: Facts,
) -> bytes:
    """One model. Raises ModelNotFound."""
    name = name.removeprefix("models/")
    if name not in models:
        raise ModelNotFound(f"The model '{name[:100]}' does not exist.", param="model")
    match protocol:
        case "anthropic_messages":
            return msgspec.json.encode(_anthropic(name))
        case "gemini_generate":
            return msgspec.json.encode(_gemini(name))
        case _:
            return msgspec.json.encode(_openai(name, models[name], facts))


def _openai(name: str, channels: Sequence[Channel], facts: Facts) -> dict[str, Any]:
    """OpenAI's fields and, as Hugging Face asks its providers to list them, the prices in USD per million
    tokens (null if nobody knows any) and, where it is known, the context length."""
    known = facts.get(name, _UNKNOWN)
    model: dict[str, Any] = {
        "id": name,
        "object": "model",
        "created": known.created,
        "owned_by": channels[0].provider,
    }
    if known.context_length is not None:
        model["context_length"] = known.context_length
    model["pricing"] = None if known.rates is None else _pricing(*known.rates)
    return model


def _pricing(read: int, written: int) -> dict[str, msgspec.Raw]:
    """Exact decimals, as numbers in plain digits."""
    rates = {"input": read, "output": written}
    return {name: msgspec.Raw(usd_text(rate).encode()) for name, rate in rates.items()}


def _anthropic(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _EPOCH,
        "lifecycle": "active",
        "capabilities": None,
        "max_input_tokens": None,
        "max_tokens": None,
    }


def _gemini(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": "1",
        "displayName": name,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
    }


def _anthropic_page(names: list[str], query: Mapping[str, str]) -> bytes:
    limit = _limit(query.get("limit"), "limit", "anthropic_messages")
    start, end = 0, len(names)
    if (after := query.get("after_id")) in names:
        start = names.index(after) + 1
    if (before := query.get("before_id")) in names:
        end = names.index(before)
        start = max(start, end - limit)
    page = names[start:end][:limit]
    return msgspec.json.encode(
        {
            "data": [_anthropic(name) for name in page],
            "has_more": start + len(page) < end,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }
    )


def _gemini_page(names: list[str], query: Mapping[str, str]) -> bytes:
    size = query.get("pageSize") or query.get("page_size")
    limit = _limit(size, "pageSize", "gemini_generate")
    token = query.get("pageToken") or query.get("page_token") or ""
    start = names.index(token) if token in names else 0
    page = names[start : start + limit]
    answer: dict[str, Any] = {"models": [_gemini(name) for name in page]}
    if start + limit < len(names):
        answer["nextPageToken"] = names[start + limit]
    return msgspec.json.encode(answer)


def _limit(text: str | None, param: str, protocol: str) -> int:
    if not text:
        return _DEFAULT_LIMIT[protocol]
    if not text.isdecimal() or not 1 <= int(text[:9]) <= _MAX_LIMIT:
        raise InvalidRequest(f"{param} must be a whole number from 1 to {_MAX_LIMIT}.", param=param)
    return int(text)
