"""File, environment and database, read together at the start and again when one of them changes.

The command line works beside a running server on the same data directory; the server notices within
two seconds. What is changed from within the server is in force at once.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from dragoman.config import environment as env
from dragoman.config.assemble import DATABASE, DEMO, FILE, Assembly, Sourced, assemble
from dragoman.config.changes import KEY_FIELDS, difference
from dragoman.config.channels import Catalog, resolve
from dragoman.config.load import Configuration, check, content_of, decode
from dragoman.config.problems import ConfigurationRefused, Refusal
from dragoman.config.schema import ChannelEntry, Settings, Token
from dragoman.config.stored import from_store, token_of
from dragoman.governance.keys import KeyRing, VirtualKey, digest, generate, hint
from dragoman.routing.channel import Channel
from dragoman.runtime.options import (
    Options,
    check_flags,
    config_path,
    data_dir_of,
    environ_of,
    prepare_data_dir,
    read_catalog,
    read_environment,
)
from dragoman.store.errors import StoreError
from dragoman.store.sealing import derive, load_secret_key
from dragoman.store.sqlite import FILE_NAME, SQLiteStore
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
        store: SQLiteStore,
        secret_key: bytes,
        catalog: Catalog,
    ) -> None:
        """Use ``open``."""
        self.store = store
        self.data_dir = data_dir
        self.catalog = catalog
        self.pepper = derive(secret_key, "virtual keys")
        self.config_path = config_path(options, environ)
        self.changing = asyncio.Lock()
        self.demo_key: str | None = None
        self._options = options
        self._flags = check_flags(options)
        self._environment = read_environment(environ, catalog)
        self._tokens: tuple[Token, ...] = ()
        self._used: dict[str, float] = {}
        self._seen: object = None
        self._subscribers: list[Changed] = []
        self._demo: tuple[Sourced, ...] = ()
        self._demo_keys: tuple[VirtualKey, ...] = ()
        if options.demo:
            channel = resolve(_DEMO, catalog)
            self._demo = (Sourced(channel=channel, entry=_DEMO, source="--demo", origin=DEMO),)
            self.demo_key = generate(secrets.choice)
            made = self.new_key(self.demo_key, DEMO, allowed_channels=(str(_DEMO.id),))
            self._demo_keys = (msgspec.structs.replace(made, id=DEMO),)

    @classmethod
    async def open(cls, options: Options) -> Runtime:
        """Read every source. Raises ConfigurationRefused or StoreError, both meant for people."""
        environ = environ_of(options)
        data_dir = prepare_data_dir(data_dir_of(options, environ))
        catalog = read_catalog(environ, data_dir)
        store, secret_key = await open_store(data_dir, environ)
        try:
            runtime = cls(
                options,
                environ=environ,
                data_dir=data_dir,
                store=store,
                secret_key=secret_key,
                catalog=catalog,
            )
            await runtime.reload()
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
        configured, source, given, aside = await self._configured()
        self._tokens = configured.tokens
        try:
            assembly = assemble(
                configured,
                source=source,
                given=given,
                environment=self._environment,
                flags=self._flags,
                stored_keys=await self.store.keys(),
                catalog=self.catalog,
                pepper=self.pepper,
            )
        except Refusal as refusal:
            raise ConfigurationRefused(source, refusal.problems) from None
        self.assembly = msgspec.structs.replace(assembly, warnings=(*aside, *assembly.warnings))
        self.state = GatewayState(
            settings=assembly.settings,
            channels=tuple(one.channel for one in self.channels),
            keyring=KeyRing(self.keys, self.pepper),
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
                try:
                    await self._poll()
                    if time.monotonic() - flushed >= _USE_FLUSH_SECONDS:
                        flushed = time.monotonic()
                        await self._flush_uses()
                except (ConfigurationRefused, StoreError) as error:
                    logger.error("the configuration in force stays: %s", error)
        finally:
            unsubscribe()

    async def _poll(self) -> None:
        async with self.changing:
            if await self._look() != self._seen:
                await self.refresh()

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
                    changes=difference(None, kept, KEY_FIELDS),
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
        tokens = list(self._tokens)
        highest = max((token.id for token in tokens), default=0)
        stored = [k for k in self.assembly.keys if k.id.isdecimal() and k.revoked_at is None]
        tokens += [token_of(key, number) for number, key in enumerate(stored, start=highest + 1)]
        configuration = Configuration(
            settings=self.assembly.settings,
            channels=tuple(one.entry for one in self.assembly.channels),
            tokens=tuple(tokens),
        )
        return configuration, len(stored)

    async def first_key(self) -> str | None:
        """A key named ``default`` if clients need one and there is none at all; its text."""
        is_there = any(not key.admin for key in self.assembly.keys)
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

    async def _configured(self) -> tuple[Configuration, str, set[str], list[str]]:
        """What file or database says, where that is, which settings it names, and warnings about
        what is left aside."""
        rows = await self.store.channels()
        if self.config_path is not None:
            source = str(self.config_path)
            raw = decode(content_of(self.config_path), source=source)
            aside = (
                [f"{len(rows)} channels in the database are not used beside {self.config_path}."]
                if rows
                else []
            )
            return (
                check(raw, self.catalog, source=source),
                source,
                set(raw.get("settings", ())),
                aside,
            )
        settings = await self.store.settings()
        configured, problems = from_store(settings, rows, self.catalog)
        return configured, DATABASE, set(settings), [f"Left aside: {one}" for one in problems]

    async def _look(self) -> object:
        """What differs when the database (by another process) or the file has changed."""
        return await self.store.version(), _mark(self.config_path)

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


async def open_store(data_dir: Path, environ: Mapping[str, str]) -> tuple[SQLiteStore, bytes]:
    """The embedded database and its secret key. Raises StoreError."""
    path = data_dir / FILE_NAME
    is_new = not path.exists() or path.stat().st_size == 0
    secret_key = load_secret_key(environ.get(env.SECRET_KEY), data_dir, may_create=is_new)
    return await SQLiteStore.open(path, secret_key), secret_key


def _mark(path: Path | None) -> object:
    """What changes when the file does."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return found.st_mtime_ns, found.st_size, found.st_ino
