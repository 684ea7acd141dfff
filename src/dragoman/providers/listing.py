"""Reading the list of models that a provider serves.

Sources: OpenAI "List models" (``data[].id``), which most follow; Anthropic (``data[].id``,
``display_name``, ``has_more``/``last_id``); Gemini (``models[].name`` = ``models/…``,
``supportedGenerationMethods``, ``nextPageToken``); Ollama ``/api/tags`` (``models[].model``). Context
lengths as OpenRouter (``context_length``) and the Hugging Face router (``providers[].context_length``)
give them; prices as ``price_listing`` says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.governance.price import Price
from dragoman.providers.price_listing import read_prices

MAX_MODELS = 20_000
_MAX_NAME = 300
_MAX_TOKEN = 2000
_GENERATES = frozenset({"generateContent", "streamGenerateContent", "embedContent"})


class ListedModel(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One model as its provider describes it. ``input_price`` and ``output_price`` are for showing: USD
    per million tokens, as exact decimals in text; the cheapest where several hosts serve it. ``price``
    and ``host_prices`` are for billing, as ``price_listing.Listed``; ``broken_price`` says that the list
    has one that cannot be used."""

    id: str
    created: int | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_price: str | None = None
    output_price: str | None = None
    price: Price | None = None
    host_prices: Mapping[str, Price] = {}
    broken_price: bool = False


class Page(msgspec.Struct, frozen=True):
    """Some of the models, and the query that gives the following ones, empty at the end."""

    models: tuple[ListedModel, ...]
    following: str = ""


def read_page(body: bytes, price_list: str = "") -> Page:
    """A page of any of the forms above, with prices if ``price_list`` says how they are written. Raises
    UpstreamBroken for anything else."""
    document = _decoded(body)
    rows = document
    following = ""
    if isinstance(document, dict):
        rows = document.get("data", document.get("models"))
        following = _following(document)
    if not isinstance(rows, list):
        raise UpstreamBroken("The upstream's list of models has no list in it.")
    return Page(tuple(_models(rows, price_list)), following)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        pass
    # One number that is too large for any type must not cost the whole list.
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise UpstreamBroken("The upstream's list of models is not valid JSON.") from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _following(document: dict[str, Any]) -> str:
    token = document.get("nextPageToken")
    if isinstance(token, str) and 0 < len(token) < _MAX_TOKEN:
        return f"pageToken={quote(token, safe='')}"
    last = document.get("last_id")
    if document.get("has_more") is True and isinstance(last, str) and 0 < len(last) <= _MAX_NAME:
        return f"after_id={quote(last, safe='')}"
    return ""


def _models(rows: list[Any], price_list: str) -> Iterator[ListedModel]:
    for listed in rows[:MAX_MODELS]:
        row = {"id": listed} if isinstance(listed, str) else listed
        if not isinstance(row, dict) or not _generates(row):
            continue
        name = row.get("id") or row.get("model") or row.get("name")
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable():
            yield _model(name.removeprefix("models/"), row, price_list)


def _generates(row: dict[str, Any]) -> bool:
    methods = row.get("supportedGenerationMethods")
    return not isinstance(methods, list) or any(
        isinstance(method, str) and method in _GENERATES for method in methods
    )


def _model(name: str, row: dict[str, Any], price_list: str) -> ListedModel:
    listed = read_prices(price_list, name, row)
    hosts = [host for host in _list(row.get("providers")) if isinstance(host, dict)]
    live = [host for host in hosts if host.get("status") in (None, "live")]
    prices = [_prices(row.get("pricing")), *(_prices(host.get("pricing")) for host in live)]
    known = [price for price in prices if price is not None]
    cheapest = min(known, key=lambda price: price[1], default=None)
    lengths = [row.get(field) for field in _LENGTHS]
    lengths += [host.get("context_length") for host in live]
    return ListedModel(
        id=name,
        created=_whole(row.get("created")),
        context_length=max((n for n in map(_whole, lengths) if n), default=None),
        max_output_tokens=_whole(row.get("outputTokenLimit", row.get("max_tokens"))),
        input_price=None if cheapest is None else _plain(cheapest[0]),
        output_price=None if cheapest is None else _plain(cheapest[1]),
        price=listed.price,
        host_prices=listed.hosts,
        broken_price=listed.broken,
    )


_LENGTHS = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "max_input_tokens",
    "inputTokenLimit",
)


def _prices(pricing: Any) -> tuple[Decimal, Decimal] | None:
    """(input, output) in USD per million tokens."""
    if not isinstance(pricing, dict):
        return None
    if "prompt" in pricing:  # OpenRouter: per token
        found = (_decimal(pricing.get("prompt")), _decimal(pricing.get("completion")))
        scale = Decimal(1_000_000)
    else:
        found = (_decimal(pricing.get("input")), _decimal(pricing.get("output")))
        scale = Decimal(1)
    if found[0] is None or found[1] is None:
        return None
    return found[0] * scale, found[1] * scale


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    # OpenRouter says -1 for "depends on the model chosen".
    return number if number.is_finite() and 0 <= number < 1_000_000 else None


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _whole(value: Any) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53
    return value if is_whole else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
