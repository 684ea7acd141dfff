"""What is shown of the configuration: plain JSON, every secret masked."""

from __future__ import annotations

from dragoman.config import changes
from dragoman.config.assemble import DATABASE, DEFAULT, DEMO, ENVIRONMENT, FILE, Assembly, Sourced
from dragoman.config.export import iso_moment, shown
from dragoman.config.roster import Roster
from dragoman.config.schema import NEEDS_RESTART, ChannelEntry, Settings
from dragoman.governance.keys import VirtualKey
from dragoman.providers.provider import Provider
from dragoman.server.admin.contract import Document
from dragoman.store.store import AuditEntry

FILE_KEY = "file-"
"""How the ids of keys begin that stand in the configuration file."""

READ_ONLY = frozenset({"id", "source", "editable", "has_api_key"})
"""Fields of a channel's document that no change can set."""
KEY_READ_ONLY = frozenset(
    {"id", "hint", "created_at", "last_used_at", "revoked_at", "source", "editable"}
)


def channel_document(one: Sourced) -> Document:
    """A channel in force."""
    channel = one.channel
    return {
        **shown(one.entry, ChannelEntry.__struct_fields__),
        "protocols": {endpoint.protocol: endpoint.base_url for endpoint in channel.endpoints},
        "has_api_key": bool(channel.credentials),
        "source": one.origin,
        "editable": one.origin in (DATABASE, FILE),
    }


def key_document(key: VirtualKey, users: Roster) -> Document:
    """A virtual key; its text is known to nobody here."""
    moments = (key.created_at or None, key.last_used_at, key.revoked_at)
    created, used, revoked = (None if at is None else iso_moment(at) for at in moments)
    origin = origin_of(key)
    return {
        "id": key.id,
        "hint": key.hint,
        **changes.key_document(key, users),
        "created_at": created,
        "last_used_at": used,
        "revoked_at": revoked,
        "source": origin,
        "editable": origin in (DATABASE, FILE) and key.revoked_at is None,
    }


def origin_of(key: VirtualKey) -> str:
    """Where a key comes from."""
    if key.id.isdecimal():
        return DATABASE
    if key.id.startswith(FILE_KEY):
        return FILE
    return DEMO if key.id == DEMO else ENVIRONMENT


def settings_document(assembly: Assembly, first: Settings, home: str) -> Document:
    """The settings in force; ``first`` are those of the start, ``home`` is where changes go."""
    names = Settings.__struct_fields__
    origins = {name: home if name in assembly.given else DEFAULT for name in names}
    origins |= {name: fixed.origin for name, fixed in assembly.fixed.items()}
    present = assembly.settings
    return {
        "values": shown(present, names),
        "sources": origins,
        "needs_restart": [
            name
            for name in names
            if name in NEEDS_RESTART and getattr(first, name) != getattr(present, name)
        ],
    }


def audit_document(entry: AuditEntry) -> Document:
    """An entry of the audit."""
    return {
        "id": entry.id,
        "at": iso_moment(entry.at),
        "actor": entry.actor,
        "via": entry.via,
        "address": entry.address,
        "action": entry.action,
        "target": entry.target,
        "changes": dict(entry.changes),
    }


def provider_document(provider: Provider) -> Document:
    """A row of the catalogue."""
    return {
        "id": provider.id,
        "title": provider.name,
        "aliases": list(provider.aliases),
        "protocols": dict(provider.protocols),
        "key_page": provider.key_page,
        "key_required": provider.key_required,
        "models": list(provider.models),
    }
