"""Every source of configuration put together: flags over environment over file or database over
defaults. Pure; reading the sources is ``runtime``'s."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config.channels import Catalog, lacks_key, resolve
from dragoman.config.checks import is_loopback
from dragoman.config.environment import API_KEY, Environment, points_to_itself
from dragoman.config.load import Configuration
from dragoman.config.prices import refuse_estimate_of_nothing
from dragoman.config.problems import Findings
from dragoman.config.roster import Roster
from dragoman.config.schema import SETTINGS, ChannelEntry, Settings
from dragoman.config.stored import keys_of
from dragoman.governance.keys import VirtualKey, digest, hint
from dragoman.providers.catalog import find
from dragoman.routing.channel import Channel

DATABASE = "database"
FILE = "file"
ENVIRONMENT = "environment"
FLAG = "flag"
DEFAULT = "default"
DEMO = "demo"

KEY_ID = "environment"
ADMIN_KEY_ID = "environment-admin"
"""The ids, and the latter's name, of the keys that the environment gives."""


class Sourced(msgspec.Struct, kw_only=True, frozen=True):
    """A channel, what was written for it, and by whom: ``source`` in words, ``origin`` as one of the
    constants here."""

    channel: Channel
    entry: ChannelEntry
    source: str
    origin: str


class Fixed(msgspec.Struct, frozen=True):
    """What keeps a setting from being changed: ``origin``, and the variable's or flag's name."""

    origin: str
    by: str


class Assembly(msgspec.Struct, kw_only=True, frozen=True):
    """The configuration in force. ``given`` names the settings that file or database say something
    on, ``fixed`` those that stand above them. ``warnings`` are sentences for the operator."""

    settings: Settings
    channels: tuple[Sourced, ...]
    keys: tuple[VirtualKey, ...]
    warnings: tuple[str, ...]
    given: frozenset[str] = frozenset()
    fixed: Mapping[str, Fixed] = {}


def assemble(
    configured: Configuration,
    *,
    source: str,
    given: Iterable[str],
    environment: Environment,
    flags: Mapping[str, Any],
    stored_keys: Sequence[VirtualKey],
    users: Roster,
    catalog: Catalog,
    pepper: bytes,
) -> Assembly:
    """``configured`` is what ``source`` (a file, or the database) says, ``given`` the settings that
    it names. Raises Refusal."""
    settings = msgspec.structs.replace(configured.settings, **{**environment.settings, **flags})
    warnings = list(environment.notices)
    origin = DATABASE if source == DATABASE else FILE
    listed = [(entry, source, origin) for entry in configured.channels]
    if origin == DATABASE:
        listed += _from_environment(environment, settings, configured.channels, warnings)
    findings = Findings()
    findings.check(
        "settings", refuse_estimate_of_nothing, settings.unpriced, settings.unpriced_price
    )
    channels: list[Sourced] = []
    for entry, words, place in listed:
        channel = findings.check(
            entry.name, resolve, entry, catalog, settings.default_timeout, environment.proxy
        )
        if channel is not None:
            channels.append(Sourced(channel=channel, entry=entry, source=words, origin=place))
    findings.refuse()
    keys = keys_of(configured.tokens, pepper, users)
    keys += _environment_keys(environment, pepper)
    warnings += _warnings(settings, channels, catalog)
    return Assembly(
        settings=settings,
        channels=tuple(channels),
        keys=(*keys, *stored_keys),
        warnings=tuple(warnings),
        given=frozenset(given) & SETTINGS.keys(),
        fixed={
            **{name: Fixed(ENVIRONMENT, by) for name, by in environment.variables.items()},
            **{name: Fixed(FLAG, flag_of(name)) for name in flags},
        },
    )


def flag_of(setting: str) -> str:
    """The command line's option for a setting."""
    return f"--{setting.replace('_', '-')}"


def _from_environment(
    environment: Environment,
    settings: Settings,
    configured: Iterable[ChannelEntry],
    warnings: list[str],
) -> list[tuple[ChannelEntry, str, str]]:
    taken = {entry.name.casefold() for entry in configured}
    listed = []
    for found in environment.channels:
        entry, variables = found.entry, " and ".join(found.variables)
        if points_to_itself(entry, settings):
            warnings.append(
                f"{found.variables[-1]} names this gateway's own address, so no channel was made "
                "of it: it is for clients."
            )
            continue
        if entry.name.casefold() in taken:
            entry = msgspec.structs.replace(entry, name=f"{entry.name}-env")
        listed.append((entry, f"environment ({variables})", ENVIRONMENT))
    return listed


def _environment_keys(environment: Environment, pepper: bytes) -> list[VirtualKey]:
    keys = []
    if environment.key is not None:
        keys.append(_key(KEY_ID, API_KEY, environment.key, pepper))
    if environment.admin_key is not None:
        made = _key(ADMIN_KEY_ID, ADMIN_KEY_ID, environment.admin_key, pepper)
        keys.append(msgspec.structs.replace(made, admin=True))
    return keys


def _key(key_id: str, name: str, key: Secret, pepper: bytes) -> VirtualKey:
    text = key.reveal()
    return VirtualKey(id=key_id, name=name, digest=digest(text, pepper), hint=hint(text))


def _warnings(settings: Settings, channels: Sequence[Sourced], catalog: Catalog) -> list[str]:
    warnings = [
        f"Channel {one.entry.name!r} has no api_key, which its provider asks for"
        + (f" (get one at {page})." if (page := _key_page(one.entry, catalog)) else ".")
        for one in channels
        if one.entry.enabled and lacks_key(one.entry, catalog)
    ]
    if not settings.require_auth and not is_loopback(settings.host):
        warnings.append(
            f"require_auth is off and the gateway listens on {settings.host}: whoever reaches it "
            "spends your credit. Listen on 127.0.0.1 or turn require_auth on."
        )
    return warnings


def _key_page(entry: ChannelEntry, catalog: Catalog) -> str:
    row = find(catalog, entry.type)
    return row.key_page if row else ""
