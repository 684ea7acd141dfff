"""The sources of configuration kept open: file, environment and database, read together at the start
and again whenever one of them changes.

The command line works beside a running server on the same data directory; the server notices within
two seconds.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from dragoman.config import environment as env
from dragoman.config.assemble import DATABASE, Assembly, assemble
from dragoman.config.channels import Catalog, resolve
from dragoman.config.load import Configuration, read_file
from dragoman.config.problems import ConfigurationRefused, Findings, Refusal
from dragoman.config.schema import SETTINGS, ChannelEntry, Settings, Token
from dragoman.config.stored import from_store, token_of
from dragoman.governance.keys import KeyRing, VirtualKey, digest, generate, hint
from dragoman.providers.catalog import load_catalog
from dragoman.routing.channel import Channel
from dragoman.store.errors import StoreError
from dragoman.store.sealing import derive, load_secret_key
from dragoman.store.sqlite import FILE_NAME, SQLiteStore
from dragoman.store.store import Store

logger = logging.getLogger("dragoman.config")

POLL_SECONDS = 1.0
_USE_FLUSH_SECONDS = 30.0

DEMO_MODEL = "echo"
_DEMO = ChannelEntry(
    id=env.FIRST_ID - 1, name="demo", type="demo", models=(DEMO_MODEL,), priority=1_000_000
)


class Options(msgspec.Struct, kw_only=True, frozen=True):
    """What the command line says; None where it says nothing."""

    config: Path | None = None
    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    log_level: str | None = None
    demo: bool = False
    environ: Mapping[str, str] = {}
    directory: Path = Path()

    def __repr__(self) -> str:  # the environment holds credentials
        return f"Options(config={self.config}, data_dir={self.data_dir}, demo={self.demo})"


class GatewayState(msgspec.Struct, kw_only=True, frozen=True):
    """One snapshot of everything a request needs of the configuration."""

    settings: Settings
    channels: tuple[Channel, ...]
    keyring: KeyRing


class Runtime:
    """Owns the store and the sources; ``state`` is always a whole, valid snapshot."""

    state: GatewayState
    assembly: Assembly

    def __init__(
        self,
        options: Options,
        *,
        environ: Mapping[str, str],
        data_dir: Path,
        store: Store,
        secret_key: bytes,
        catalog: Catalog,
    ) -> None:
        """Use ``open``."""
        self.store = store
        self.data_dir = data_dir
        self.catalog = catalog
        self.pepper = derive(secret_key, "virtual keys")
        self.config_path = config_path(options, environ)
        self.demo_key: str | None = None
        self._options = options
        self._flags = _check_flags(options)
        self._environment = read_environment(environ, catalog)
        self._extra: list[VirtualKey] = []
        self._tokens: tuple[Token, ...] = ()
        self._used: dict[str, float] = {}
        self._seen: object = None
        self._demo: tuple[Channel, ...] = ()
        if options.demo:
            self._demo = (resolve(_DEMO, catalog),)
            self.demo_key = generate(secrets.choice)
            self._extra = [self._new_key(self.demo_key, "demo", allowed_channels=(str(_DEMO.id),))]

    @classmethod
    async def open(cls, options: Options) -> Runtime:
        """Read every source. Raises ConfigurationRefused or StoreError, both meant for people."""
        environ = environ_of(options)
        data_dir = prepare_data_dir(data_dir_of(options, environ))
        catalog = load_catalog()
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
        return runtime

    async def reload(self) -> None:
        """Read file and database again. The old state stays if this raises."""
        seen = await self._look()
        try:
            await self._read()
        except ConfigurationRefused:
            self._seen = seen  # said once, not at every poll
            raise
        self._seen = seen

    async def _read(self) -> None:
        configured, source, aside = await self._configured()
        self._tokens = configured.tokens
        try:
            assembly = assemble(
                configured,
                source=source,
                environment=self._environment,
                flags=self._flags,
                stored_keys=await self.store.keys(),
                catalog=self.catalog,
                pepper=self.pepper,
            )
        except Refusal as refusal:
            raise ConfigurationRefused(source, refusal.problems) from None
        self.assembly = msgspec.structs.replace(assembly, warnings=(*aside, *assembly.warnings))
        channels = tuple(one.channel for one in assembly.channels)
        self.state = GatewayState(
            settings=assembly.settings,
            channels=(*channels, *self._demo),
            keyring=KeyRing([*self._extra, *assembly.keys], self.pepper),
        )

    def log_sources(self) -> None:
        """Say which channel comes from where."""
        for one in self.assembly.channels:
            logger.info("channel %s from %s", one.entry.name, one.source)

    async def watch(
        self,
        changed: Callable[[GatewayState], Awaitable[None] | None],
        *,
        every: float = POLL_SECONDS,
    ) -> None:
        """Until cancelled: reload when the file or the database has changed, and call ``changed``
        with the new state. A change that cannot be used is logged and leaves the old state."""
        flushed = time.monotonic()
        while True:
            await asyncio.sleep(every)
            try:
                if await self._look() != self._seen:
                    await self.reload()
                    self.log_sources()
                    if inspect.isawaitable(waiting := changed(self.state)):
                        await waiting
                if time.monotonic() - flushed >= _USE_FLUSH_SECONDS:
                    flushed = time.monotonic()
                    await self._flush_uses()
            except (ConfigurationRefused, StoreError) as error:
                logger.error("the configuration in force stays: %s", error)

    def note_use(self, key_id: str, now: float) -> None:
        """Remember that a key was used; written to the database now and then."""
        self._used[key_id] = now

    async def create_key(
        self,
        name: str,
        *,
        allowed_channels: tuple[str, ...] = (),
        allowed_models: tuple[str, ...] = (),
        strict: bool = False,
        expires_at: float | None = None,
    ) -> tuple[str, VirtualKey]:
        """Make and keep a virtual key; its text is returned here and nowhere else."""
        text = generate(secrets.choice)
        key = self._new_key(
            text,
            name,
            allowed_channels=allowed_channels,
            allowed_models=allowed_models,
            strict=strict,
            expires_at=expires_at,
        )
        kept = await self.store.add_key(key)
        await self.reload()
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
        """A key named ``default`` if there is none at all and one is needed; its text."""
        if self.assembly.keys or self._options.demo or not self.state.settings.require_auth:
            return None
        text, _ = await self.create_key("default")
        return text

    async def close(self) -> None:
        """Write what is unwritten and let the database go."""
        try:
            await self._flush_uses()
        finally:
            await self.store.close()

    def _new_key(self, text: str, name: str, **limits: Any) -> VirtualKey:
        return VirtualKey(
            id=name,
            name=name,
            digest=digest(text, self.pepper),
            hint=hint(text),
            created_at=time.time(),
            **limits,
        )

    async def _configured(self) -> tuple[Configuration, str, list[str]]:
        """What file or database says, where that is, and warnings about what is left aside."""
        rows = await self.store.channels()
        if self.config_path is not None:
            configured = read_file(self.config_path, self.catalog)
            aside = (
                [f"{len(rows)} channels in the database are not used beside {self.config_path}."]
                if rows
                else []
            )
            return configured, str(self.config_path), aside
        configured, problems = from_store(await self.store.settings(), rows, self.catalog)
        return configured, DATABASE, [f"Left aside: {problem}" for problem in problems]

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


def _check_flags(options: Options) -> dict[str, Any]:
    findings = Findings()
    flags = {
        name: findings.check(f"--{name.replace('_', '-')}", SETTINGS[name], value)
        for name in ("host", "port", "log_level")
        if (value := getattr(options, name)) is not None
    }
    findings.refuse_source("The command line")
    return flags


def environ_of(options: Options) -> dict[str, str]:
    """The environment with ``.env`` below it. Raises ConfigurationRefused."""
    try:
        return env.with_dotenv(options.environ, options.directory)
    except Refusal as refusal:
        raise ConfigurationRefused("The environment", refusal.problems) from None


def read_environment(environ: Mapping[str, str], catalog: Catalog) -> env.Environment:
    """What the variables say. Raises ConfigurationRefused."""
    try:
        return env.read(environ, catalog)
    except Refusal as refusal:
        raise ConfigurationRefused("The environment", refusal.problems) from None


def config_path(options: Options, environ: Mapping[str, str]) -> Path | None:
    """The configuration file, if one is named."""
    named = options.config or environ.get(env.CONFIG, "").strip()
    return Path(named) if named else None


def data_dir_of(options: Options, environ: Mapping[str, str]) -> Path:
    """The data directory: flag, environment, or where the system keeps such things."""
    if named := options.data_dir or environ.get(env.DATA_DIR, "").strip():
        return Path(named).expanduser()
    import platformdirs  # noqa: PLC0415 - not needed where a directory is named

    return Path(platformdirs.user_data_dir("dragoman", appauthor=False))


def prepare_data_dir(path: Path) -> Path:
    """Make the data directory, for its owner's eyes only. Raises StoreError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The data directory {path} cannot be made: {error.strerror}. "
            "Name another with --data-dir or DRAGOMAN_DATA_DIR."
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreError(
            f"The data directory {path} is not writable. Name another with --data-dir."
        )
    return path


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
