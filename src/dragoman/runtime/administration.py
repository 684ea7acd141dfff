"""Every change of the configuration while it is in use: checked, written with its audit entry, and in
force before the call returns. The admin API and the command line both come this way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from dragoman.canonical.secret import Secret
from dragoman.config.assemble import DATABASE, DEMO, ENVIRONMENT, FILE, FLAG, Fixed, Sourced
from dragoman.config.changes import checked_settings
from dragoman.config.load import Configuration
from dragoman.config.prices import refuse_estimate_of_nothing
from dragoman.config.problems import ConfigurationRefused
from dragoman.engine.tasks import spawn
from dragoman.governance.record import Filter, RequestRecord
from dragoman.runtime import documents
from dragoman.runtime.accounts import AccountKeeper
from dragoman.runtime.database import DatabaseHome, noted, take_over
from dragoman.runtime.file import LOCK_NAME, FileHome
from dragoman.runtime.keys import KeyDesk
from dragoman.runtime.refusals import in_words, really_changed
from dragoman.runtime.rotation import GATEWAY, rotation_of
from dragoman.runtime.runtime import Runtime
from dragoman.server.admin.contract import (
    Actor,
    ChangeRefused,
    Document,
    NameIsTaken,
    NoSuchEntry,
    NotEditable,
    Storage,
)
from dragoman.store.errors import StoreError

Result = TypeVar("Result")


class RequestLog(Protocol):
    """What is asked of the request log. Both may raise StoreError."""

    async def find(self, wanted: Filter) -> Sequence[RequestRecord]:
        """The records that fit, newest first, without transcripts."""
        ...

    async def get(self, request_id: str) -> RequestRecord | None:
        """One record with its transcript."""
        ...


class NoRequestLog:
    """Where no requests are kept."""

    async def find(self, wanted: Filter) -> Sequence[RequestRecord]:
        """None at all."""
        return ()

    async def get(self, request_id: str) -> RequestRecord | None:
        """None."""
        return None


class Administrator:
    """``server.admin.contract.Administration`` on a runtime."""

    def __init__(self, runtime: Runtime, log: RequestLog | None = None) -> None:
        """``log`` is where requests are looked up."""
        self._runtime = runtime
        self._log = log or NoRequestLog()
        store, catalog = runtime.store, runtime.catalog
        self._home: DatabaseHome | FileHome = DatabaseHome(store, catalog)
        if runtime.config_path is not None:
            lock_path = runtime.data_dir / LOCK_NAME
            self._home = FileHome(runtime.config_path, lock_path, store, catalog)
        self._keys = KeyDesk(runtime, self._home)
        self.accounts = AccountKeeper(runtime, self._do)

    async def channels(self) -> list[Document]:
        """As Administration.channels; one of the demonstration has the source ``demo``."""
        return [documents.channel_document(one) for one in self._runtime.channels]

    async def channel(self, channel_id: int) -> Document:
        """As Administration.channel."""
        return documents.channel_document(self._find(channel_id))

    async def add_channel(self, fields: Mapping[str, Any], actor: Actor) -> Document:
        """As Administration.add_channel."""
        given = {name: v for name, v in fields.items() if name not in documents.READ_ONLY}
        given = {name: value for name, value in given.items() if value is not None}
        new_id = await self._do(lambda: self._home.add_channel(given, actor))
        return await self.channel(new_id)

    async def change_channel(
        self, channel_id: int, changes: Mapping[str, Any], actor: Actor
    ) -> Document:
        """As Administration.change_channel."""

        async def work() -> None:
            one = self._find(channel_id)
            refuse_foreign(one)
            shown = documents.channel_document(one)
            wanted = really_changed(changes, shown, documents.READ_ONLY)
            if wanted:
                await self._home.change_channel(channel_id, wanted, actor)

        await self._do(work)
        return await self.channel(channel_id)

    async def remove_channel(self, channel_id: int, actor: Actor) -> None:
        """As Administration.remove_channel. Raises ChangeRefused if a token of the configuration file
        is limited to the channel, because it would come to allow all or be unusable."""

        async def work() -> None:
            for one in self._runtime.channels:
                if one.entry.id == channel_id:
                    refuse_foreign(one)
            await self._home.remove_channel(channel_id, actor)

        await self._do(work)

    async def rotate_credential(self, old: Secret, new: Secret) -> bool:
        """Put a refresh token that its endpoint has rotated in the place of the old one, in every
        channel that has it and can be changed; False if there is none."""

        async def work() -> bool:
            # What was written meanwhile by hand, or by another process, must not be undone.
            try:
                await self._runtime.refresh()
            except ConfigurationRefused as error:
                raise Storage(str(error)) from None
            is_kept = False
            for one in self._runtime.channels:
                changes = rotation_of(one.entry, old, new)
                if changes and one.origin in (DATABASE, FILE):
                    await self._home.change_channel(one.entry.id, changes, GATEWAY)
                    is_kept = True
            return is_kept

        return await self._do(work)

    async def keys(self) -> list[Document]:
        """As Administration.keys; one of the demonstration has the source ``demo``."""
        users = self._runtime.roster
        return [documents.key_document(key, users) for key in self._runtime.keys]

    async def add_key(self, fields: Mapping[str, Any], actor: Actor) -> tuple[str, Document]:
        """As Administration.add_key. It goes to the database, as a digest."""
        text, key_id = await self._do(lambda: self._keys.add(fields, actor))
        return text, self._key_document(key_id)

    async def change_key(self, key_id: str, changes: Mapping[str, Any], actor: Actor) -> Document:
        """As Administration.change_key."""
        await self._do(lambda: self._keys.change(key_id, changes, actor))
        return self._key_document(key_id)

    async def revoke_key(self, key_id: str, actor: Actor) -> None:
        """As Administration.revoke_key; a token of the configuration file is taken out of it."""
        await self._do(lambda: self._keys.revoke(key_id, actor))

    async def settings(self) -> Document:
        """As Administration.settings."""
        runtime = self._runtime
        return documents.settings_document(runtime.assembly, runtime.first_settings, runtime.home)

    async def change_settings(self, changes: Mapping[str, Any], actor: Actor) -> Document:
        """As Administration.change_settings."""

        async def work() -> None:
            shown = (await self.settings())["values"]
            values = checked_settings(really_changed(changes, shown, ()))
            refuse_fixed(self._runtime.assembly.fixed, values)
            self._refuse_estimate_of_nothing(values)
            if values:
                await self._home.change_settings(values, actor)

        await self._do(work)
        return await self.settings()

    def _refuse_estimate_of_nothing(self, values: Mapping[str, Any]) -> None:
        """Two settings that mean something only together are looked at together."""
        present = self._runtime.state.settings
        unpriced = values.get("unpriced", present.unpriced)
        refuse_estimate_of_nothing(unpriced, values.get("unpriced_price", present.unpriced_price))

    async def import_configuration(
        self, configuration: Configuration, source: str, actor: Actor
    ) -> None:
        """Take a configuration over into the database; ``source`` is where it came from."""
        runtime = self._runtime
        await self._do(
            lambda: take_over(runtime.store, configuration, source, runtime.pepper, actor)
        )

    async def audit(self, limit: int, before: int | None = None) -> list[Document]:
        """As Administration.audit."""
        with in_words():
            entries = await self._runtime.store.audit(limit, before)
        return [documents.audit_document(entry) for entry in entries]

    async def note_sign_in(self, actor: Actor, *, accepted: bool) -> None:
        """As Administration.note_sign_in."""
        action = "sign-in" if accepted else "sign-in.refused"
        with in_words():
            await self._runtime.store.write(lambda step: step.note(noted(actor, action, "", {})))

    async def requests(self, wanted: Filter) -> Sequence[RequestRecord]:
        """As Administration.requests."""
        with in_words():
            return await self._log.find(wanted)

    async def request(self, request_id: str) -> RequestRecord:
        """As Administration.request."""
        with in_words():
            record = await self._log.get(request_id)
        if record is None:
            raise NoSuchEntry(f"The log has no request {request_id[:100]!r}.")
        return record

    def providers(self) -> list[Document]:
        """As Administration.providers."""
        return [documents.provider_document(row) for row in self._runtime.catalog.values()]

    def _key_document(self, key_id: str) -> Document:
        return documents.key_document(self._keys.find(key_id), self._runtime.roster)

    def _find(self, channel_id: int) -> Sourced:
        for one in self._runtime.channels:
            if one.entry.id == channel_id:
                return one
        raise NoSuchEntry(f"No channel has the id {channel_id}.")

    async def _do(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """``work``, and then everything that it changed in force; also if the caller, a client that
        left, is cancelled meanwhile."""
        task: asyncio.Task[tuple[Result] | Exception] = spawn(self._whole(work), "change")
        outcome = await asyncio.shield(task)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome[0]

    async def _whole(self, work: Callable[[], Awaitable[Result]]) -> tuple[Result] | Exception:
        """What came of it; a refusal is a value, because a task that raises is taken for a defect."""
        async with self._runtime.changing:
            try:
                with in_words():
                    result = await work()
            except (ChangeRefused, NameIsTaken, NoSuchEntry, NotEditable, Storage) as error:
                return error
            try:
                await self._runtime.refresh()
            except (ConfigurationRefused, StoreError) as error:
                return Storage(f"The change is written, but could not be put in force: {error}")
        return (result,)


def refuse_foreign(one: Sourced) -> None:
    """Raise NotEditable for a channel that is not written by us."""
    if one.origin == ENVIRONMENT:
        raise NotEditable(
            f"The channel {one.entry.name!r} comes from the {one.source}: change it there, and start "
            "the gateway again."
        )
    if one.origin == DEMO:
        raise NotEditable("The demonstration's channel comes with --demo and cannot be changed.")


def refuse_fixed(fixed: Mapping[str, Fixed], names: Iterable[str]) -> None:
    """Raise NotEditable if one of the settings is not for us to change."""
    for name in names:
        if name in fixed:
            what = "flag" if fixed[name].origin == FLAG else "environment variable"
            raise NotEditable(
                f"The setting {name!r} is fixed by the {what} {fixed[name].by}: change or remove it "
                "there, and start the gateway again."
            )
