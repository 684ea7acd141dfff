"""Every source of configuration put together: flags over environment over file or database over
defaults. Pure; reading the sources is ``runtime``'s."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from dragoman.config.channels import Catalog, lacks_key, resolve
from dragoman.config.environment import API_KEY, Environment, points_to_itself
from dragoman.config.load import Configuration
from dragoman.config.problems import Findings
from dragoman.config.schema import ChannelEntry, Settings
from dragoman.config.stored import key_of
from dragoman.governance.keys import VirtualKey, digest, hint
from dragoman.providers.catalog import find
from dragoman.routing.channel import Channel

DATABASE = "database"


class Sourced(msgspec.Struct, kw_only=True, frozen=True):
    """A channel, what was written for it, and by whom."""

    channel: Channel
    entry: ChannelEntry
    source: str


class Assembly(msgspec.Struct, kw_only=True, frozen=True):
    """The configuration in force. ``warnings`` are sentences for the operator."""

    settings: Settings
    channels: tuple[Sourced, ...]
    keys: tuple[VirtualKey, ...]
    warnings: tuple[str, ...]


def assemble(
    configured: Configuration,
    *,
    source: str,
    environment: Environment,
    flags: Mapping[str, Any],
    stored_keys: Sequence[VirtualKey],
    catalog: Catalog,
    pepper: bytes,
) -> Assembly:
    """``configured`` is what ``source`` (a file, or the database) says. Raises Refusal."""
    settings = msgspec.structs.replace(configured.settings, **{**environment.settings, **flags})
    warnings = list(environment.notices)
    listed = [(entry, source) for entry in configured.channels]
    if source == DATABASE:
        listed += _from_environment(environment, settings, configured.channels, warnings)
    findings = Findings()
    channels: list[Sourced] = []
    for entry, origin in listed:
        channel = findings.check(
            entry.name, resolve, entry, catalog, settings.default_timeout, environment.proxy
        )
        if channel is not None:
            channels.append(Sourced(channel=channel, entry=entry, source=origin))
    findings.refuse()
    keys = [key_of(token, pepper) for token in configured.tokens]
    if environment.key is not None:
        keys.append(_environment_key(environment.key.reveal(), pepper))
    warnings += _warnings(settings, channels, catalog)
    return Assembly(
        settings=settings,
        channels=tuple(channels),
        keys=(*keys, *stored_keys),
        warnings=tuple(warnings),
    )


def _from_environment(
    environment: Environment,
    settings: Settings,
    configured: Iterable[ChannelEntry],
    warnings: list[str],
) -> list[tuple[ChannelEntry, str]]:
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
        listed.append((entry, f"environment ({variables})"))
    return listed


def _environment_key(key: str, pepper: bytes) -> VirtualKey:
    return VirtualKey(id="environment", name=API_KEY, digest=digest(key, pepper), hint=hint(key))


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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
