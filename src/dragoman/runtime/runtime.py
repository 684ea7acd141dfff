"""File, environment and database, read together at the start and again when one of them changes.

The command line works beside a running server on the same data directory; the server notices within
two seconds. What is changed from within the server is in force at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.config import environment as env
from dragoman.config.assemble import DATABASE, DEMO, FILE, Assembly, Sourced, assemble
from dragoman.config.changes import key_difference
from dragoman.config.channels import Catalog, resolve
from dragoman.config.load import Configuration
from dragoman.config.problems import ConfigurationRefused, Refusal
from dragoman.config.roster import Roster
from dragoman.config.schema import ChannelEntry, Settings, Token
from dragoman.config.stored import token_of, without_unknown_users
from dragoman.governance.keys import KeyRing, VirtualKey, digest, generate, hint
from dragoman.governance.users import User
from dragoman.routing.channel import Channel
from dragoman.runtime.opening import open_store
from dragoman.runtime.options import (
    Options,
    check_flags,
    config_path,
    data_dir_of,
    database_url,
    environ_of,
    prepare_data_dir,
    read_catalog,
    read_environment,
)
from dragoman.runtime.outage import Outage
from dragoman.runtime.reading import configured_by, mark_of
from dragoman.runtime.snapshot import Kept, Snapshot, kept_in
from dragoman.store.errors import DatabaseAway, StoreError
from dragoman.store.sql import SQLStore
from dragoman.store.store import AuditEntry, Transaction

logger = logging.getLogger("dragoman.config")

POLL_SECONDS = 1.0
_USE_FLUSH_SECONDS = 30.0

DEMO_MODEL = "echo"
_DEMO = ChannelEntry(
    id=env.FIRST_ID - 1,
    name="demo",
    type="demo",
    models=(DEMO_MODEL,),
    priority=1_000_000,
    max_concurrency=100_000,
)


class GatewayState(msgspec.Struct, kw_only=True, frozen=True):
    """One snapshot of everything a request needs of the configuration."""

    settings: Settings
    channels: tuple[Channel, ...]
    keyring: KeyRing
    users: tuple[User, ...]


Changed = Callable[[GatewayState], Awaitable[None] | None]
"""Told of every new state."""


class Runtime:
    """Owns the store and the sources; ``state`` is always a whole, valid snapshot.

    ``changing`` is held while a change is written and put into force, so that changes come one after
    another and a poll never meets one halfway.
    """

    state: GatewayState
    assembly: Assembly
    first_settings: Settings

    def __init__(
        self,
        options: Options,
        *,
        environ: Mapping[str, str],
        data_dir: Path,
        store: SQLStore,
        secret_key: bytes,
        catalog: Catalog,
    ) -> None:
        """Use ``open``."""
        self.store = store
        self.data_dir = data_dir
        self.catalog = catalog
        self.pepper = b""
        self.outage = Outage(time.monotonic)
        self._snapshot = Snapshot(data_dir, secret_key, store.place)
        self.config_path = config_path(options, environ)
        self.changing = asyncio.Lock()
        self.demo_key: str | None = None
        self._options = options
        self._flags = check_flags(options)
        self._environment = read_environment(environ, catalog)
        self.tokens: tuple[Token, ...] = ()
        self.roster = Roster()
        self._used: dict[str, float] = {}
        self._seen: object = None
        self._subscribers: list[Changed] = []
        self._demo: tuple[Sourced, ...] = ()
        self._demo_keys: tuple[VirtualKey, ...] = ()
        if options.demo:
            channel = resolve(_DEMO, catalog)
            self._demo = (Sourced(channel=channel, entry=_DEMO, source="--demo", origin=DEMO),)
            self.demo_key = generate(secrets.choice)

    @property
    def metrics_token(self) -> Secret | None:
        """What opens ``/metrics`` beside admin keys."""
        return self._environment.metrics_token

    @classmethod
    async def open(cls, options: Options) -> Runtime:
        """Read every source. Raises ConfigurationRefused or StoreError, both meant for people."""
        environ = environ_of(options)
        data_dir = prepare_data_dir(data_dir_of(options, environ))
        catalog = read_catalog(environ, data_dir)
        store, secret_key = await open_store(
            data_dir, environ, database_url(options, environ), may_be_away=options.serving
        )
        try:
            runtime = cls(
                options,
                environ=environ,
                data_dir=data_dir,
                store=store,
                secret_key=secret_key,
                catalog=catalog,
            )
            await runtime._start()
        except BaseException:
            await store.close()
            raise
        runtime.first_settings = runtime.state.settings
        return runtime

    @property
    def home(self) -> str:
        """Where channels and settings are kept."""
        return DATABASE if self.config_path is None else FILE

    @property
    def channels(self) -> tuple[Sourced, ...]:
        """Every channel in force, the demonstration's as well."""
        return (*self.assembly.channels, *self._demo)

    @property
    def keys(self) -> tuple[VirtualKey, ...]:
        """Every key that is known, the demonstration's as well."""
        return (*self._demo_keys, *self.assembly.keys)

    async def _start(self) -> None:
        try:
            await self.reload()
        except DatabaseAway as away:
            if not self._options.serving:
                raise
            self._use(self._snapshot.last(away))
            self.outage.begins(away)

    def is_away(self) -> bool:
        """Whether the database cannot be read just now; what was read before is in force."""
        return self.outage.is_on()

    async def claim(self) -> None:
        """Be the one gateway on this database. Raises StoreError if there is another; while the
        database is away, that shows when it is back."""
        with contextlib.suppress(DatabaseAway):
            await self.store.claim()

    async def reload(self) -> None:
        """Read file and database again. The old state stays if this raises."""
        seen = await self._look()
        try:
            await self._read()
        except ConfigurationRefused:
            self._seen = seen  # said once, not at every poll
            raise
        except BaseException:
            self._seen = None  # whatever it was, the next poll tries again
            raise
        self._seen = seen

    async def refresh(self) -> None:
        """Reload, and tell every subscriber. Only for who holds ``changing``."""
        await self.reload()
        for changed in tuple(self._subscribers):
            if inspect.isawaitable(waiting := changed(self.state)):
                await waiting
        self.log_sources()

    async def _read(self) -> None:
        kept = await kept_in(self.store)
        self._use(kept)
        if self._options.serving and self.store.is_remote:
            await self._snapshot.write(kept)

    def _use(self, kept: Kept) -> None:
        """Put what is in the database, and what file and environment say, into force."""
        self.pepper = kept.pepper
        if self.demo_key is not None and not self._demo_keys:
            made = self.new_key(self.demo_key, DEMO, allowed_channels=(str(_DEMO.id),))
            self._demo_keys = (msgspec.structs.replace(made, id=DEMO),)
        configured, source, given, aside = configured_by(kept, self.config_path, self.catalog)
        users = tuple(kept.users)
        roster = Roster(users)
        if self._options.lenient:
            configured, left = without_unknown_users(configured, roster)
            aside += left
        try:
            assembly = assemble(
                configured,
                source=source,
                given=given,
                environment=self._environment,
                flags=self._flags,
                stored_keys=kept.keys,
                users=roster,
                catalog=self.catalog,
                pepper=self.pepper,
            )
        except Refusal as refusal:
            raise ConfigurationRefused(source, refusal.problems) from None
        self.tokens = configured.tokens
        self.roster = roster
        self.assembly = msgspec.structs.replace(assembly, warnings=(*aside, *assembly.warnings))
        self.state = GatewayState(
            settings=assembly.settings,
            channels=tuple(one.channel for one in self.channels),
            keyring=KeyRing(self.keys, self.pepper, users),
            users=users,
        )

    def log_sources(self) -> None:
        """Say which channel comes from where."""
        for one in self.assembly.channels:
            logger.info("channel %s from %s", one.entry.name, one.source)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Have ``changed`` called with every new state, at once; the function returned ends that."""
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed)

    async def watch(self, changed: Changed, *, every: float = POLL_SECONDS) -> None:
        """Until cancelled: call ``changed`` with every new state, and look for changes of the file, or
        by other processes. One that cannot be used is logged and leaves the old state."""
        unsubscribe = self.subscribe(changed)
        flushed = time.monotonic()
        try:
            while True:
                await asyncio.sleep(every)
                await self._poll()
                if time.monotonic() - flushed >= _USE_FLUSH_SECONDS:
                    flushed = time.monotonic()
                    with contextlib.suppress(StoreError):  # the poll says so; it is tried again
                        await self._flush_uses()
        finally:
            unsubscribe()

    async def _poll(self) -> None:
        async with self.changing:
            try:
                if await self._look() != self._seen:
                    await self.refresh()
            except StoreError as error:
                self.outage.begins(error)
                return
            except ConfigurationRefused as error:
                logger.error("the configuration in force stays: %s", error)
            self.outage.ends()

    def note_use(self, key_id: str, now: float) -> None:
        """Remember that a key was used; written to the database now and then."""
        self._used[key_id] = now

    def new_key(self, text: str, name: str, **limits: Any) -> VirtualKey:
        """What is kept of a key made now; its id is still to be given."""
        return VirtualKey(
            id="",
            name=name,
            digest=digest(text, self.pepper),
            hint=hint(text),
            created_at=time.time(),
            **limits,
        )

    async def create_key(self, name: str, **limits: Any) -> tuple[str, VirtualKey]:
        """Make and keep a virtual key by the gateway's own doing; its text is returned here and
        nowhere else. ``limits`` are fields of VirtualKey."""
        text = generate(secrets.choice)
        key = self.new_key(text, name, **limits)

        def work(step: Transaction) -> VirtualKey:
            kept = step.add_key(key)
            step.note(
                AuditEntry(
                    at=key.created_at,
                    actor="dragoman",
                    via="start",
                    action="key.add",
                    target=f"{kept.name} (id {kept.id})",
                    changes=key_difference(None, kept, self.roster),
                )
            )
            return kept

        async with self.changing:
            kept = await self.store.write(work)
            await self.refresh()
        return text, kept

    def as_configuration(self) -> tuple[Configuration, int]:
        """The configuration in force as a file would say it, and how many of its tokens are without
        their key because only digests are kept."""
        tokens = list(self.tokens)
        highest = max((token.id for token in tokens), default=0)
        stored = [k for k in self.assembly.keys if k.id.isdecimal() and k.revoked_at is None]
        tokens += [
            token_of(key, number, self.roster)
            for number, key in enumerate(stored, start=highest + 1)
        ]
        configuration = Configuration(
            settings=self.assembly.settings,
            channels=tuple(one.entry for one in self.assembly.channels),
            tokens=tuple(tokens),
        )
        return configuration, len(stored)

    async def first_key(self) -> str | None:
        """A key named ``default`` if clients need one and there is none at all; its text."""
        is_there = any(not key.admin for key in self.assembly.keys) or self.outage.is_known
        if is_there or self._options.demo or not self.state.settings.require_auth:
            return None
        text, _ = await self.create_key("default")
        return text

    async def close(self) -> None:
        """Write what is unwritten and let the database go."""
        try:
            await self._flush_uses()
        finally:
            await self.store.close()

    async def _look(self) -> object:
        """What differs when the database (by another process) or the file has changed."""
        return await self.store.version(), mark_of(self.config_path)

    async def _flush_uses(self) -> None:
        # Keys of the file, the environment and the demonstration have no row to write to.
        used, self._used = self._used, {}
        stored = {key_id: when for key_id, when in used.items() if key_id.isdecimal()}
        if not stored:
            return
        try:
            await self.store.touch_keys(stored)
        except StoreError:
            self._used = stored | self._used
            raise
