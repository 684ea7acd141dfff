"""What the environment says: settings, channels by their providers' variables, proxy, one key.

``.env`` in the working directory counts as environment; real variables win over it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config import checks, spaces, vertex, words
from dragoman.config.channels import Catalog
from dragoman.config.problems import Findings, Problem, Refusal, suggestion
from dragoman.config.schema import SETTINGS, ChannelEntry, Settings
from dragoman.governance.keys import KEY_PREFIX, weakness
from dragoman.governance.users import Limits
from dragoman.providers.provider import Provider

PREFIX = "DRAGOMAN_"
DATA_DIR = "DRAGOMAN_DATA_DIR"
DATABASE_URL = "DRAGOMAN_DATABASE_URL"
CONFIG = "DRAGOMAN_CONFIG"
CATALOG = "DRAGOMAN_CATALOG"
SECRET_KEY = "DRAGOMAN_SECRET_KEY"  # noqa: S105 - a variable's name
API_KEY = "API_KEY"
ADMIN_KEY = "DRAGOMAN_ADMIN_KEY"
METRICS_TOKEN = "DRAGOMAN_METRICS_TOKEN"  # noqa: S105 - a variable's name
USE_PROXY = "USE_PROXY"
PROXY_URL = "PROXY_URL"

FIRST_ID = 1_000_001
"""Ids of channels from the environment; far from those the database gives."""

_ALIASES = {"host": ("LISTEN",), "port": ("PORT",)}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1", "::"})  # noqa: S104


class FromEnvironment(msgspec.Struct, kw_only=True, frozen=True):
    """A channel and the names of the variables it came from."""

    entry: ChannelEntry
    variables: tuple[str, ...]


class Environment(msgspec.Struct, kw_only=True, frozen=True):
    """Everything of ours that the environment holds. ``settings`` are checked overrides and
    ``variables`` says where each comes from; ``notices`` tell what was left aside and why.
    ``proxy`` is for every channel without one of its own, those on this very machine included."""

    settings: Mapping[str, Any] = {}
    variables: Mapping[str, str] = {}
    channels: tuple[FromEnvironment, ...] = ()
    proxy: Secret | None = None
    key: Secret | None = None
    admin_key: Secret | None = None
    metrics_token: Secret | None = None
    notices: tuple[str, ...] = ()


def with_dotenv(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """``environ`` over the ``.env`` file in ``directory``, if there is one. Raises Refusal."""
    path = directory / ".env"
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return dict(environ)
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(Problem(".env", f"cannot be read: {type(error).__name__}")) from None
    from dotenv import dotenv_values  # noqa: PLC0415 - slow to import, and often not needed

    values = dotenv_values(stream=io.StringIO(content), interpolate=False)
    return {name: value for name, value in values.items() if value is not None} | dict(environ)


def read(environ: Mapping[str, str], catalog: Catalog) -> Environment:
    """Check every variable that is ours. Raises Refusal with all that is wrong."""
    present = {name: value.strip() for name, value in environ.items() if value.strip()}
    findings = Findings()
    variables = {}
    for name in SETTINGS:
        if (variable := _first(present, variables_of(name), set())) != "":
            variables[name] = variable
    settings = {
        name: findings.check(variable, _setting, name, present[variable])
        for name, variable in variables.items()
    }
    keys = {
        name: findings.check(name, _key, present[name])
        for name in (API_KEY, ADMIN_KEY, METRICS_TOKEN)
        if name in present
    }
    if keys.get(API_KEY) is not None and keys[API_KEY] == keys.get(ADMIN_KEY):
        findings.add(ADMIN_KEY, f"is the same as {API_KEY}: a key is for clients or for admins")
    if (token := keys.get(METRICS_TOKEN)) is not None:
        for name in (API_KEY, ADMIN_KEY):
            if keys.get(name) == token:
                findings.add(METRICS_TOKEN, f"is the same as {name}: let it open /metrics alone")
    proxy = _proxy(present, findings)
    channels, notices = _channels(present, catalog, findings)
    findings.refuse()
    return Environment(
        settings=settings,
        variables=variables,
        channels=channels,
        proxy=proxy,
        key=keys.get(API_KEY),
        admin_key=keys.get(ADMIN_KEY),
        metrics_token=keys.get(METRICS_TOKEN),
        notices=tuple(notices),
    )


def variables_of(setting: str) -> tuple[str, ...]:
    """The variables that give a setting, the strongest first."""
    return (PREFIX + setting.upper(), *_ALIASES.get(setting, ()))


def base_url_variables(provider: Provider) -> tuple[str, ...]:
    """The row's variables for the base URL, else ``OPENAI_BASE_URL`` and its like."""
    if provider.env_base_url or not provider.env_key:
        return provider.env_base_url
    return (f"{provider.id.upper().replace('-', '_')}_BASE_URL",)


def unknown_variables(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Variables that begin like ours and mean nothing, each with a hint."""
    known = {DATA_DIR, DATABASE_URL, CONFIG, CATALOG, SECRET_KEY, ADMIN_KEY, METRICS_TOKEN}
    known |= {PREFIX + name.upper() for name in SETTINGS}
    return [
        (name, f"is not a known variable{suggestion(name, known)}")
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known
    ]


def recognised_variables(environ: Mapping[str, str], catalog: Catalog) -> list[str]:
    """The names of the variables present that the gateway reads."""
    known = {DATA_DIR, DATABASE_URL, CONFIG, CATALOG, SECRET_KEY}
    known |= {API_KEY, ADMIN_KEY, METRICS_TOKEN, USE_PROXY, PROXY_URL}
    known |= {variable for name in SETTINGS for variable in variables_of(name)} | vertex.VARIABLES
    known.add(spaces.VARIABLE)
    for provider in catalog.values():
        known |= {*provider.env_key, *base_url_variables(provider)}
    return sorted(name for name in environ if name in known and environ[name].strip())


def points_to_itself(entry: ChannelEntry, settings: Settings) -> bool:
    """Whether a channel's base URL is this very gateway's: the variable was meant for clients, and
    requests would go round in circles."""
    if not entry.base_url:
        return False
    parts = urlsplit(entry.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return port == settings.port and (
        parts.hostname in _LOOPBACK or parts.hostname == settings.host
    )


def setting_from_text(name: str, text: str) -> Any:
    """What a person means by ``text`` for a setting, in the form that a file has. Raises Refusal."""
    match getattr(Settings(), name):
        case bool():
            return words.boolean(text)
        case int() | float():
            return words.number(text)
        case tuple():
            return [part.strip() for part in text.split(",") if part.strip()]
        case dict():
            return _object(text) if text.startswith("{") else _pairs(text)
        case Limits():
            return {name: words.number(number) for name, number in _pairs(text).items()}
    return text


def _setting(name: str, text: str) -> Any:
    """A setting from text, through the same check as in a file."""
    return SETTINGS[name](setting_from_text(name, text))


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Refusal("must be an object in JSON") from None


def _pairs(text: str) -> dict[str, str]:
    """``gpt-*=least_busy, claude-*=lowest_latency`` as an object."""
    pairs = {}
    for part in text.split(","):
        left, equals, right = part.partition("=")
        if not equals and part.strip():
            raise Refusal("must be written as PATTERN=VALUE, with commas between several")
        if equals:
            pairs[left.strip()] = right.strip()
    return pairs


def _key(text: str) -> Secret:
    key = checks.secret(text)
    if (reason := weakness(key.reveal())) is not None:
        raise Refusal(f"{reason}; set it to a key of your own, or leave it out and use the one")
    return key


def _proxy(present: Mapping[str, str], findings: Findings) -> Secret | None:
    wanted = findings.check(USE_PROXY, words.boolean, present.get(USE_PROXY, "false"))
    if not wanted:
        return None
    if PROXY_URL not in present:
        findings.add(PROXY_URL, f"is missing, though {USE_PROXY} is true")
        return None
    checked: Secret | None = findings.check(PROXY_URL, checks.proxy_url, present[PROXY_URL])
    return checked


def _channels(
    present: Mapping[str, str], catalog: Catalog, findings: Findings
) -> tuple[tuple[FromEnvironment, ...], list[str]]:
    """One channel for each provider with a variable set. A variable that several providers claim
    counts for the first, so that a key is not sent to more than one of them."""
    channels: list[FromEnvironment] = []
    notices: list[str] = []
    claimed: set[str] = set()
    for provider in catalog.values():
        if not vertex.VARIABLES.isdisjoint(provider.env_key):
            continue
        key_name = _first(present, provider.env_key, claimed)
        url_name = _first(present, base_url_variables(provider), claimed)
        table = _table(present, provider)
        variables = tuple(name for name in (key_name, url_name, table) if name)
        if not variables:
            continue
        claimed.update(variables)
        if key_name and present[key_name].startswith(KEY_PREFIX):
            notices.append(f"{key_name} holds a key of a gateway, so no channel was made of it.")
            continue
        if not url_name and provider.protocols and not any(provider.protocols.values()):
            wanted = base_url_variables(provider)[0]
            notices.append(
                f"{key_name} has no address, so no channel was made of it: set {wanted}."
            )
            continue
        key = findings.check(key_name, checks.secret, present[key_name]) if key_name else None
        url = findings.check(url_name, _base_url, present[url_name], provider) if url_name else ""
        built_in = () if url_name else provider.models
        held = findings.check(table, spaces.fields, present[table], built_in) if table else None
        entry = ChannelEntry(
            id=FIRST_ID + len(channels),
            name=provider.id,
            type=provider.id,
            api_key=key,
            base_url=url or "",
            **(held or {}),
        )
        channels.append(FromEnvironment(entry=entry, variables=variables))
    for found in vertex.channels(present, findings, notices):
        entry = msgspec.structs.replace(found.entry, id=FIRST_ID + len(channels))
        channels.append(FromEnvironment(entry=entry, variables=found.variables))
    return tuple(channels), notices


def _table(present: Mapping[str, str], provider: Provider) -> str:
    """The variable with a table of the provider's models, if there is one."""
    ours = provider.id == spaces.PROVIDER and spaces.is_table(present.get(spaces.VARIABLE, ""))
    return spaces.VARIABLE if ours else ""


def _first(present: Mapping[str, str], names: tuple[str, ...], claimed: set[str]) -> str:
    return next((name for name in names if name in present and name not in claimed), "")


def _base_url(text: str, provider: Provider) -> str:
    """A base URL; without a scheme or port (``OLLAMA_HOST=0.0.0.0``) it takes the provider's own,
    and an address to listen on becomes one to connect to."""
    if "://" in text:
        return checks.base_url(text)
    usual = urlsplit(next(iter(provider.protocols.values()), "") or "https://")
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port or usual.port
    except ValueError:
        raise Refusal("is not a valid URL") from None
    name = parts.hostname or ""
    if name in ("0.0.0.0", "::"):  # noqa: S104
        name = "127.0.0.1"
    if ":" in name:
        name = f"[{name}]"
    return checks.base_url(f"{usual.scheme}://{name}{f':{port}' if port else ''}{parts.path}")
