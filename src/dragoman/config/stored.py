"""Configuration ⇄ the rows that the store keeps of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config.channels import Catalog, read_channel, resolve
from dragoman.config.checks import MASK
from dragoman.config.export import channel_document, shown
from dragoman.config.load import Configuration, read_settings
from dragoman.config.problems import Findings, Problem, Refusal
from dragoman.config.roster import Roster
from dragoman.config.schema import ChannelEntry, Settings, Token
from dragoman.governance.keys import VirtualKey, digest, hint
from dragoman.store.store import Batch, StoredChannel

_SEALED_FIELDS = ("api_key", "api_keys", "proxy_url", "headers", "oauth")


def from_store(
    settings: Mapping[str, Any], rows: Iterable[StoredChannel], catalog: Catalog
) -> tuple[Configuration, list[Problem]]:
    """The configuration that the database holds, and what of it this version cannot use: that is
    left aside, because one row must not keep the others from being served."""
    findings = Findings()
    values: dict[str, Any] = {}
    for name, value in settings.items():
        checked = findings.check("settings", read_settings, {name: value})
        if checked is not None:
            values[name] = getattr(checked, name)
    entries = [findings.check(f"channel {row.name}", _usable, row, catalog) for row in rows]
    configuration = Configuration(
        settings=Settings(**values),
        channels=tuple(entry for entry in entries if entry is not None),
    )
    return configuration, findings.problems


def to_store(configuration: Configuration, pepper: bytes, now: float, users: Roster) -> Batch:
    """What the database is to take over; settings at their defaults are forgotten there. Raises Refusal
    for tokens of unknown users."""
    defaults = shown(Settings(), Settings.__struct_fields__)
    settings = shown(configuration.settings, Settings.__struct_fields__)
    keys = keys_of(configuration.tokens, pepper, users)
    names = {str(entry.id): entry.name for entry in configuration.channels}
    return Batch(
        settings={
            name: None if value == defaults[name] else value for name, value in settings.items()
        },
        channels=[stored_channel(entry) for entry in configuration.channels],
        keys=[_stored_key(key, names, now) for key in keys],
    )


def stored_channel(entry: ChannelEntry) -> StoredChannel:
    """A channel's row: its secrets apart from the rest."""
    document = channel_document(entry, with_secrets=True)
    secrets = {name: document.pop(name) for name in _SEALED_FIELDS if name in document}
    return StoredChannel(
        id=document.pop("id"),
        name=document.pop("name"),
        document=document,
        secrets={name: value for name, value in secrets.items() if value},
    )


def entry_of(row: StoredChannel) -> ChannelEntry:
    """The entry that was stored. Raises Refusal."""
    return read_channel({**row.document, **row.secrets, "id": row.id, "name": row.name})


def keys_of(tokens: Iterable[Token], pepper: bytes, users: Roster) -> list[VirtualKey]:
    """The tokens of a configuration as the key ring knows them. Raises Refusal for those of unknown
    users, each by its place."""
    findings = Findings()
    keys = [
        findings.check(f"tokens.{place}", key_of, token, pepper, users)
        for place, token in enumerate(tokens)
    ]
    findings.refuse()
    return keys


def without_unknown_users(
    configuration: Configuration, users: Roster
) -> tuple[Configuration, list[str]]:
    """The configuration without the tokens of users who are not there (yet), and what was left aside."""
    known = []
    aside = []
    for token in configuration.tokens:
        try:
            users.id_of(token.user)
        except Refusal as refusal:
            aside.append(f"Left aside: the token {token.name!r}, because {refusal.problems[0]}.")
        else:
            known.append(token)
    return msgspec.structs.replace(configuration, tokens=tuple(known)), aside


def key_of(token: Token, pepper: bytes, users: Roster) -> VirtualKey:
    """A token as the key ring knows it. Raises Refusal if its user is unknown."""
    user_id = users.of_field(token.user)
    key = token.key.reveal()
    return VirtualKey(
        id=f"file-{token.id}",
        name=token.name,
        digest=digest(key, pepper),
        hint=hint(key),
        allowed_channels=token.allowed_channels,
        allowed_models=token.allowed_models,
        strict=token.strict,
        admin=token.admin,
        enabled=token.enabled,
        user_id=user_id,
        limits=token.limits,
        budget=token.budget,
        metadata=token.metadata,
        expires_at=token.expires_at,
    )


def token_of(key: VirtualKey, number: int, users: Roster) -> Token:
    """A kept key as a token; its text is known to its owner alone, so the mask stands for it."""
    return Token(
        id=number,
        name=key.name,
        key=Secret(MASK),
        enabled=key.enabled,
        allowed_channels=key.allowed_channels,
        allowed_models=key.allowed_models,
        strict=key.strict,
        expires_at=key.expires_at,
        admin=key.admin,
        user=users.name_of(key.user_id),
        limits=key.limits,
        budget=key.budget,
        metadata=key.metadata,
    )


def _usable(row: StoredChannel, catalog: Catalog) -> ChannelEntry:
    entry = entry_of(row)
    resolve(entry, catalog)
    return entry


def _stored_key(key: VirtualKey, channel_names: Mapping[str, str], now: float) -> VirtualKey:
    """Ids of channels become names, because the database gives ids of its own."""
    allowed = dict.fromkeys(channel_names.get(one, one) for one in key.allowed_channels)
    return msgspec.structs.replace(key, allowed_channels=tuple(allowed), created_at=now)
