"""Virtual keys: made in the database, changed and ended where they are."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config import checks
from dragoman.config.assemble import ADMIN_KEY_ID, DATABASE, FILE, KEY_ID
from dragoman.config.changes import changed_key, key_difference
from dragoman.config.environment import ADMIN_KEY, API_KEY
from dragoman.config.export import iso_moment
from dragoman.config.problems import Findings, Problem, Refusal, suggestion
from dragoman.governance.keys import VirtualKey, digest, generate, weakness
from dragoman.runtime.database import DatabaseHome, noted, refuse_taken, target
from dragoman.runtime.documents import FILE_KEY, KEY_READ_ONLY, key_document, origin_of
from dragoman.runtime.file import FileHome
from dragoman.runtime.refusals import really_changed
from dragoman.runtime.runtime import Runtime
from dragoman.server.admin.contract import Actor, NoSuchEntry, NotEditable
from dragoman.store.errors import NoSuchRow
from dragoman.store.store import Transaction


class KeyDesk:
    """Methods raise Refusal, ChangeRefused, NameIsTaken, NoSuchEntry, NotEditable, Storage and
    StoreError."""

    def __init__(self, runtime: Runtime, home: DatabaseHome | FileHome) -> None:
        """``home`` is where channels and, if it is a file, tokens are."""
        self._runtime = runtime
        self._home = home

    def find(self, key_id: str) -> VirtualKey:
        """The key of that id. Raises NoSuchEntry."""
        for key in self._runtime.keys:
            if key.id == key_id:
                return key
        raise NoSuchEntry(f"No key has the id {key_id[:100]!r}.")

    async def add(self, fields: Mapping[str, Any], actor: Actor) -> tuple[str, str]:
        """Keep a new key; its text and its id."""
        given = {name: value for name, value in fields.items() if name not in KEY_READ_ONLY}
        text = self._text(given.pop("key", None))
        if "name" not in given:
            raise Refusal(Problem("name", "is missing"))
        key = self._checked(self._runtime.new_key(text, ""), given)
        users = self._runtime.roster

        def work(step: Transaction) -> str:
            kept = step.add_key(key)
            found = key_difference(None, kept, users)
            step.note(noted(actor, "key.add", target(kept.name, kept.id), found))
            return kept.id

        return text, await self._runtime.store.write(work)

    async def change(self, key_id: str, changes: Mapping[str, Any], actor: Actor) -> None:
        """Change the fields given."""
        key = self._editable(key_id)
        users = self._runtime.roster
        wanted = really_changed(changes, key_document(key, users), KEY_READ_ONLY)
        if not wanted:
            return
        after = self._checked(key, wanted)
        if isinstance(self._home, FileHome) and origin_of(key) == FILE:
            if "allowed_channels" in wanted:
                wanted["allowed_channels"] = list(after.allowed_channels) or None
            await self._home.change_token(_token_id(key), wanted, actor)
            return

        def work(step: Transaction) -> None:
            # What this process knows of the key may be a poll old.
            present = _live(step, key_id)
            changed = self._checked(present, wanted)
            if found := key_difference(present, changed, users):
                step.change_key(changed)
                step.note(noted(actor, "key.change", target(present.name, key_id), found))

        await self._runtime.store.write(work)

    async def revoke(self, key_id: str, actor: Actor) -> None:
        """End a key for good."""
        key = self._editable(key_id)
        if isinstance(self._home, FileHome) and origin_of(key) == FILE:
            await self._home.remove_token(_token_id(key), actor)
            return
        now = time.time()

        def work(step: Transaction) -> None:
            revoked = step.revoke_key(key_id, now)
            found = {"revoked_at": [None, iso_moment(now)]}
            step.note(noted(actor, "key.revoke", target(revoked.name, revoked.id), found))

        await self._runtime.store.write(work)

    def _editable(self, key_id: str) -> VirtualKey:
        key = self.find(key_id)
        if key.revoked_at is not None:
            raise NotEditable(f"The key {key.name!r} is revoked, which is final.")
        if origin_of(key) not in (DATABASE, FILE):
            variable = {KEY_ID: API_KEY, ADMIN_KEY_ID: ADMIN_KEY}.get(key.id)
            source = f"the environment variable {variable}" if variable else "--demo"
            raise NotEditable(
                f"The key {key.name!r} comes from {source}: change it there, and start the gateway "
                "again."
            )
        return key

    def _text(self, given: Any) -> str:
        """The key's text: one's own if it is good enough, else a random one."""
        if given in (None, ""):
            return generate(secrets.choice)
        findings = Findings()
        secret: Secret | None = findings.check("key", checks.secret, given)
        findings.refuse()
        assert secret is not None
        text = secret.reveal()
        if (reason := weakness(text)) is not None:
            raise Refusal(Problem("key", reason))
        wanted = digest(text, self._runtime.pepper)
        if any(key.digest == wanted for key in self._runtime.keys):
            raise Refusal(Problem("key", "is or was in use: give another"))
        return text

    def _checked(self, key: VirtualKey, changes: Mapping[str, Any]) -> VirtualKey:
        """``key`` with the changes, its channels by their names."""
        changed = changed_key(key, changes, self._runtime.roster)
        if changed.name != key.name:
            others = (k for k in self._runtime.keys if k.id != key.id and k.revoked_at is None)
            refuse_taken(changed.name, (other.name for other in others))
        ends = changed.expires_at
        if ends is not None and ends != key.expires_at and ends <= time.time():
            raise Refusal(Problem("expires_at", "lies in the past"))
        allowed = self._names(changed.allowed_channels, known=key.allowed_channels)
        return msgspec.structs.replace(changed, allowed_channels=allowed)

    def _names(self, wanted: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
        """The names of channels that are named or numbered; ``known`` ones may be gone."""
        names = {one.entry.name: one.entry.name for one in self._runtime.channels}
        numbers = {str(one.entry.id): one.entry.name for one in self._runtime.channels}
        places = {name: name for name in known} | numbers | names
        findings = Findings()
        for place, one in enumerate(wanted):
            if one not in places:
                findings.add(
                    f"allowed_channels.{place}",
                    f"the channel {one[:40]!r} is unknown{suggestion(one, names)}",
                )
        findings.refuse()
        return tuple(dict.fromkeys(places[one] for one in wanted))


def _token_id(key: VirtualKey) -> int:
    return int(key.id.removeprefix(FILE_KEY))


def _live(step: Transaction, key_id: str) -> VirtualKey:
    every = step.keys()
    for key in every:
        if key.id == key_id and key.revoked_at is None:
            return key
    raise NoSuchRow(f"No live key has the id {key_id}.")
