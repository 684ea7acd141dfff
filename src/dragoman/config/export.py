"""A configuration written back in the schema it is read by."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from typing import Any

import msgspec

from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.config.checks import MASK
from dragoman.config.limits import budget_document, limits_document
from dragoman.config.load import Configuration
from dragoman.config.schema import ChannelEntry, Settings, Token
from dragoman.config.users import trial_document
from dragoman.governance.users import Budget, Limits, Trial

# Fields of our own are written only where they say something, so that a plain configuration looks
# as it always did.
_OWN_FIELDS = frozenset(
    {
        "timeout",
        "api_keys",
        "protocol",
        "protocols",
        "aliases",
        "headers",
        "weight",
        "tags",
        "strict",
        "drops",
        "quirks",
        "prices",
        "oauth",
        "expires_at",
        "admin",
        "user",
        "limits",
        "budget",
        "metadata",
    }
)


def export(configuration: Configuration, *, with_secrets: bool) -> str:
    """The configuration as a file's text. Without secrets a mask stands in their place, which
    reading refuses."""
    document = {
        "settings": settings_document(configuration.settings),
        "channels": [channel_document(c, with_secrets) for c in configuration.channels],
        "tokens": [token_document(t, with_secrets) for t in configuration.tokens],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def settings_document(settings: Settings) -> dict[str, Any]:
    """Every setting."""
    return shown(settings, Settings.__struct_fields__)


def channel_document(entry: ChannelEntry, with_secrets: bool) -> dict[str, Any]:
    """One channel."""
    return _document(entry, with_secrets)


def token_document(token: Token, with_secrets: bool) -> dict[str, Any]:
    """One token; its expiry in ISO 8601."""
    document = _document(token, with_secrets)
    if token.expires_at is not None:
        document["expires_at"] = iso_moment(token.expires_at)
    return document


def shown(entry: msgspec.Struct, fields: Iterable[str]) -> dict[str, Any]:
    """These fields of a channel, token, key or the settings for a reader: secrets masked, moments in
    ISO 8601, and empty text for a secret that is not set."""
    document = {name: _plain(getattr(entry, name), False) for name in fields}
    for name in ("api_key", "proxy_url"):
        if name in document and document[name] is None:
            document[name] = ""
    for name, value in document.items():
        if name.endswith("_at") and value is not None:
            document[name] = iso_moment(value)
    return document


def iso_moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _document(entry: ChannelEntry | Token, with_secrets: bool) -> dict[str, Any]:
    document = {}
    for field in msgspec.structs.fields(entry):
        value = getattr(entry, field.name)
        if field.name not in _OWN_FIELDS or value not in (None, "", (), {}, False, field.default):
            document[field.name] = _plain(value, with_secrets)
    # An empty field is how the schema says "none" of these.
    for name in ("api_key", "proxy_url"):
        if name in document and document[name] is None:
            document[name] = ""
    return document


def _plain(value: Any, with_secrets: bool) -> Any:
    match value:
        case Secret():
            return value.reveal() if with_secrets else MASK
        case tuple():
            return [_plain(item, with_secrets) for item in value]
        case Limits():
            return limits_document(value)
        case Budget():
            return budget_document(value)
        case Trial():
            return trial_document(value)
        case OAuth():
            said = msgspec.structs.asdict(value)
            return {name: _plain(item, with_secrets) for name, item in said.items() if item}
        case dict():
            return {name: _plain(item, with_secrets) for name, item in value.items()}
    return value
