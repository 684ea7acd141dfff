"""What ``channels add`` and ``channels edit`` can be told of a channel, and what it means."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from dragoman.cli.output import CommandFailed
from dragoman.config.vertex import split_objects

Many = list[str] | None


def _option(flag: str, metavar: str, words: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=words)


ApiKeys = Annotated[
    Many,
    _option(
        "--api-key",
        "KEY",
        "The provider's key; several are used in turn. Others may see it in the process list.",
    ),
]
FromStdin = Annotated[
    bool,
    typer.Option("--api-key-stdin", help="Read the provider's keys from standard input, by line."),
]
BaseUrl = Annotated[str | None, _option("--base-url", "URL", "Another address.")]
Models = Annotated[
    Many, _option("--model", "MODEL", "Serve this model; may be repeated. Else all.")
]
Aliases = Annotated[
    Many, _option("--alias", "PUBLIC=UPSTREAM", "Serve a model by another name; may be repeated.")
]
Protocol = Annotated[
    str | None, _option("--protocol", "PROTOCOL", "What it speaks, if not the provider's own.")
]
Priority = Annotated[
    int | None, _option("--priority", "NUMBER", "Lower goes first; the default is 1.")
]
Weight = Annotated[
    int | None, _option("--weight", "NUMBER", "Its share among channels of one priority.")
]
Tags = Annotated[Many, _option("--tag", "WORD", "A word of your own for it; may be repeated.")]
Timeout = Annotated[
    float | None, _option("--timeout", "SECONDS", "Silence after which it counts as failed.")
]
MaxRetries = Annotated[
    int | None,
    _option("--max-retries", "NUMBER", "Repeats here when no other channel is left."),
]
MaxConcurrency = Annotated[
    int | None,
    _option("--max-concurrency", "NUMBER", "Requests at a time; 0 adapts to how it does."),
]
Proxy = Annotated[str | None, _option("--proxy", "URL", "An HTTP or SOCKS5 proxy.")]
Headers = Annotated[
    Many, _option("--header", "NAME=VALUE", "Send this header as well; may be repeated.")
]
Fields = Annotated[
    Many,
    _option("--set", "FIELD=VALUE", "Any field of the configuration; VALUE is JSON or text."),
]
FromJson = Annotated[
    str | None,
    _option(
        "--from-json", "FILE|-", "Take fields from a JSON object, as 'channels show' has them."
    ),
]

_TEXT = frozenset({"name", "type", "base_url", "api_key", "proxy_url", "protocol"})


def given_fields(
    *,
    from_json: str | None,
    api_keys: Many,
    from_stdin: bool,
    models: Many,
    aliases: Many,
    tags: Many,
    headers: Many,
    fields: Many,
    **plain: Any,
) -> dict[str, Any]:
    """Everything that was said, by field; ``plain`` ones as they are. What is more particular wins:
    options over --from-json, --set over both. Raises BadParameter or CommandFailed."""
    given = {} if from_json is None else _object(from_json)
    given |= {name: value for name, value in plain.items() if value is not None}
    given |= _credentials(api_keys, from_stdin)
    if models:
        given["models"] = models
    if aliases:
        given["aliases"] = _pairs(aliases, "--alias", "PUBLIC=UPSTREAM")
    if tags:
        given["tags"] = tags
    if headers:
        given["headers"] = _pairs(headers, "--header", "NAME=VALUE")
    for name, text in _pairs(fields or (), "--set", "FIELD=VALUE", blank=True).items():
        given[name] = value_of(name, text)
    return given


def value_of(field: str, text: str) -> Any:
    """What ``text`` means for a field: JSON where it is JSON, but ``--set api_key=123`` is text."""
    if field in _TEXT and text != "null":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _credentials(api_keys: Many, from_stdin: bool) -> dict[str, Any]:
    if api_keys and from_stdin:
        raise typer.BadParameter(
            "give one of --api-key and --api-key-stdin", param_hint="--api-key"
        )
    if from_stdin:
        api_keys = _keys_in(sys.stdin.read())
    if not api_keys:
        return {"api_key": ""} if from_stdin else {}
    first, *others = api_keys
    return {"api_key": first, "api_keys": others}


def _keys_in(text: str) -> list[str]:
    """A key on each line, or service accounts as Google gives them: JSON over many lines."""
    if text.lstrip().startswith("{"):
        return list(split_objects(text))
    return [line.strip() for line in text.splitlines() if line.strip()]


def _pairs(texts: Iterable[str], option: str, form: str, *, blank: bool = False) -> dict[str, str]:
    """``NAME=VALUE`` several times; ``blank`` allows an empty value."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not (blank or value.strip()):
            raise typer.BadParameter(f"write it as {form}", param_hint=option)
        pairs[name.strip()] = value.strip()
    return pairs


def _object(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise CommandFailed(f"{source} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):  # also what is no UTF-8
        raise CommandFailed(f"{source} is not valid JSON.") from None
    if not isinstance(found, dict):
        raise CommandFailed(f"{source} must hold one JSON object: a channel's fields.")
    return found
