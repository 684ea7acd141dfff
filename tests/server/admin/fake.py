"""An administration that keeps everything in memory and hands its secrets out in clear, so that a
test sees whether the API keeps them in."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.canonical.notes import Action, Note
from dragoman.canonical.usage import Usage
from dragoman.config.channels import read_channel, resolve
from dragoman.config.checks import names
from dragoman.config.export import shown
from dragoman.config.limits import limits_document
from dragoman.config.problems import Refusal
from dragoman.config.schema import CHANNEL, SETTINGS, TOKEN, Settings, read_fields
from dragoman.governance.keys import KeyRing, VirtualKey, digest, generate, hint
from dragoman.governance.record import (
    RequestRecord,
    SkippedCandidate,
    Transcript,
    TriedCandidate,
)
from dragoman.governance.users import Limits
from dragoman.providers.catalog import load_catalog
from dragoman.server.admin.contract import (
    Actor,
    ChangeRefused,
    Document,
    Filter,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
)
from dragoman.server.gateway import Gateway, Policy
from tests.server.admin.fake_accounts import FakeAccounts

PEPPER = b"pepper"
ADMIN = "sk-gw-admin-0123456789abcdef"
SECOND_ADMIN = "sk-gw-second-admin-0123456789"
NORMAL = "sk-gw-normal-0123456789abcdef"
REVOKED = "sk-gw-revoked-0123456789abcdef"
UNKNOWN = "sk-gw-unknown-0123456789abcdef"
NOW = "2026-11-20T12:00:00Z"
_KEY = {name: check for name, check in TOKEN.items() if name != "id"}


def key(text: str, name: str, **fields: Any) -> VirtualKey:
    """A key as the ring knows it; its id is its name."""
    return VirtualKey(id=name, name=name, digest=digest(text, PEPPER), hint=hint(text), **fields)


class FakeAdministration:
    """Behaves as ``contract.Administration`` says. ``broken`` is raised by everything that is set."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.catalog = load_catalog()
        self.reset()

    def reset(self) -> None:
        """Begin anew: no channel, four keys, seven requests in the log."""
        self.broken: Exception | None = None
        self.wanted: Filter | None = None
        self.entries: dict[int, dict[str, Any]] = {}
        self.keys_kept: dict[str, VirtualKey] = {}
        self.values: dict[str, Any] = {}
        self.noted: list[Document] = []
        self.accounts = FakeAccounts(self._fail, self._done)
        self.records = [_record(number) for number in range(7)]
        for one in (
            key(ADMIN, "boss", admin=True),
            key(SECOND_ADMIN, "deputy", admin=True),
            key(NORMAL, "alice"),
            key(REVOKED, "former", admin=True, revoked_at=1.0),
        ):
            self.keys_kept[one.id] = one
        self.apply()

    def apply(self) -> None:
        """Put what is kept in force."""
        channels = [
            resolve(read_channel({**entry, "id": number}), self.catalog)
            for number, entry in self.entries.items()
        ]
        ring = KeyRing(self.keys_kept.values(), PEPPER)
        self.gateway.configure(tuple(channels), ring, Policy())

    async def channels(self) -> list[Document]:
        self._fail()
        return [self._document(number) for number in self.entries]

    async def channel(self, channel_id: int) -> Document:
        self._fail()
        if channel_id not in self.entries:
            raise NoSuchEntry(f"There is no channel {channel_id}.")
        return self._document(channel_id)

    async def add_channel(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        self._fail()
        number = max(self.entries, default=0) + 1
        self._check_channel(dict(fields), number)
        self.entries[number] = dict(fields)
        self._done(actor, "channel.add", fields["name"])
        return self._document(number)

    async def change_channel(
        self, channel_id: int, changes: Mapping[str, Any], actor: Actor
    ) -> Document:
        before = await self.channel(channel_id)
        if not before["editable"]:
            raise NotEditable
        fields = {**self.entries[channel_id], **changes}
        fields = {name: value for name, value in fields.items() if value is not None}
        self._check_channel(fields, channel_id)
        self.entries[channel_id] = fields
        self._done(actor, "channel.change", before["name"])
        return self._document(channel_id)

    async def remove_channel(self, channel_id: int, actor: Actor) -> None:
        name = (await self.channel(channel_id))["name"]
        del self.entries[channel_id]
        self._done(actor, "channel.remove", name)

    async def keys(self) -> list[Document]:
        self._fail()
        return [self._key_document(one) for one in self.keys_kept.values()]

    async def add_key(self, fields: Mapping[str, Any], actor: Actor) -> tuple[str, Document]:
        self._fail()
        checked = self._checked(dict(fields), _KEY, ("name",))
        checked.pop("user", None)
        text = fields.get("key") or generate(secrets.choice)
        checked.pop("key", None)
        name = checked.pop("name")
        if name in self.keys_kept:
            raise NameIsTaken(f"There is a key {name!r} already.")
        self.keys_kept[name] = key(text, name, **checked)
        self._done(actor, "key.add", name)
        return text, self._key_document(self.keys_kept[name])

    async def change_key(self, key_id: str, changes: Mapping[str, Any], actor: Actor) -> Document:
        self._fail()
        kept = self._key(key_id)
        checked = self._checked(dict(changes), _KEY)
        checked.pop("user", None)
        for name, value in checked.items():
            kept = _replaced(kept, name, value)
        self.keys_kept[key_id] = kept
        self._done(actor, "key.change", kept.name)
        return self._key_document(kept)

    async def revoke_key(self, key_id: str, actor: Actor) -> None:
        self._fail()
        self.keys_kept[key_id] = _replaced(self._key(key_id), "revoked_at", 1.0)
        self._done(actor, "key.revoke", key_id)

    async def settings(self) -> Document:
        self._fail()
        values = shown(Settings(), SETTINGS)
        sources = {name: "database" if name in self.values else "default" for name in SETTINGS}
        return {"values": {**values, **self.values}, "sources": sources, "needs_restart": []}

    async def change_settings(self, changes: Mapping[str, Any], actor: Actor) -> Document:
        self._fail()
        given = {name: value for name, value in changes.items() if value is not None}
        self.values |= {name: _written(v) for name, v in self._checked(given, SETTINGS).items()}
        self._done(actor, "settings.change", "settings")
        return await self.settings()

    async def audit(self, limit: int, before: int | None) -> list[Document]:
        self._fail()
        older = [one for one in reversed(self.noted) if before is None or one["id"] < before]
        return older[:limit]

    async def note_sign_in(self, actor: Actor, *, accepted: bool) -> None:
        self._fail()
        self._note(actor, "sign-in" if accepted else "sign-in.refused", "")

    async def requests(self, wanted: Filter) -> Sequence[RequestRecord]:
        self._fail()
        self.wanted = wanted
        ids = [record.id for record in self.records]
        start = ids.index(wanted.before) + 1 if wanted.before in ids else 0
        return self.records[start : start + wanted.limit]

    async def request(self, request_id: str) -> RequestRecord:
        self._fail()
        for record in self.records:
            if record.id == request_id:
                return record
        raise NoSuchEntry(f"There is no request {request_id}.")

    def providers(self) -> list[Document]:
        self._fail()
        return [
            {
                "id": row.id,
                "title": row.name,
                "aliases": list(row.aliases),
                "protocols": dict(row.protocols),
                "key_page": row.key_page,
                "key_required": row.key_required,
                "models": list(row.models),
            }
            for row in self.catalog.values()
        ]

    def _fail(self) -> None:
        if self.broken is not None:
            raise self.broken

    def _key(self, key_id: str) -> VirtualKey:
        if key_id not in self.keys_kept:
            raise NoSuchEntry(f"There is no key {key_id}.")
        return self.keys_kept[key_id]

    def _check_channel(self, fields: dict[str, Any], number: int) -> None:
        checks = {name: check for name, check in CHANNEL.items() if name != "id"}
        self._checked(fields, checks, ("name", "type"))
        try:
            resolve(read_channel({**fields, "id": number}), self.catalog)
        except Refusal as refusal:
            raise ChangeRefused(*refusal.problems) from None
        names = {entry["name"]: other for other, entry in self.entries.items()}
        if names.get(fields["name"], number) != number:
            raise NameIsTaken(f"There is a channel {fields['name']!r} already.")

    def _checked(
        self, fields: dict[str, Any], checks: Mapping[str, Any], required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        try:
            return read_fields(fields, checks, required)
        except Refusal as refusal:
            raise ChangeRefused(*refusal.problems) from None

    def _done(self, actor: Actor, action: str, target: str) -> None:
        self._note(actor, action, target)
        self.apply()

    def _note(self, actor: Actor, action: str, target: str) -> None:
        self.noted.append(
            {
                "id": len(self.noted) + 1,
                "at": NOW,
                "actor": actor.name,
                "via": actor.via,
                "address": actor.address,
                "action": action,
                "target": target,
                "changes": {},
            }
        )

    def _document(self, number: int) -> Document:
        entry = self.entries[number]
        protocols = self.catalog[entry["type"]].protocols if entry["type"] in self.catalog else {}
        lists: Document = {
            name: list(names(entry[name])) for name in ("models", "tags") if name in entry
        }
        return {
            **entry,
            **lists,
            "id": number,
            "protocols": dict(protocols),
            "has_api_key": bool(entry.get("api_key")),
            "source": "environment" if entry["name"] == "from-env" else "database",
            "editable": entry["name"] != "from-env",
            "internal": entry.get("api_key"),  # no field of the API
        }

    def _key_document(self, one: VirtualKey) -> Document:
        return {
            "id": one.id,
            "name": one.name,
            "hint": one.hint,
            "digest": one.digest.hex(),  # no field of the API
            "enabled": one.enabled,
            "admin": one.admin,
            "allowed_channels": list(one.allowed_channels),
            "allowed_models": list(one.allowed_models),
            "strict": one.strict,
            "created_at": NOW,
            "last_used_at": None,
            "expires_at": None,
            "revoked_at": NOW if one.revoked_at is not None else None,
            "source": "database",
            "editable": True,
        }


def _written(value: Any) -> Any:
    return limits_document(value) if isinstance(value, Limits) else value


def storage_away() -> Storage:
    """What is raised while the database is away."""
    return Storage("The database cannot be written: disk full.")


def _replaced(one: VirtualKey, name: str, value: Any) -> VirtualKey:
    fields = {field: getattr(one, field) for field in one.__struct_fields__}
    return VirtualKey(**{**fields, name: value})


def _record(number: int) -> RequestRecord:
    """A request that failed at one channel, was not allowed at another and answered by a third."""
    moment = datetime.datetime(2026, 11, 20, 12, 0, number, 250_000, datetime.UTC)
    return RequestRecord(
        id=f"request-{number}",
        started_at=moment.timestamp(),
        operation="generate",
        protocol="openai_chat",
        model="gpt-5",
        status=200,
        channel_id=2,
        channel="second",
        tried=(
            TriedCandidate(
                channel_id=1, channel="first", credential=2, status=503, verdict="failure"
            ),
            TriedCandidate(channel_id=2, channel="second", status=200, verdict="success"),
        ),
        skipped=(SkippedCandidate(channel_id=3, channel="third", reason="circuit open"),),
        notes=(Note("settings.seed", Action.DROPPED, "unknown there"),),
        usage=Usage(input=10, output=5),
        cost_nano_usd=1_500,
        transcript=Transcript(request=b'{"model":"gpt-5"}', answer=b"\xff{}"),
    )
