"""Starting and stopping the server process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from typing import Protocol as Interface

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from dragoman.canonical.secret import Secret
from dragoman.engine.accounting import Accounting
from dragoman.engine.bookkeeper import Bookkeeper
from dragoman.engine.dispatch import Dispatcher
from dragoman.engine.guard import Guard
from dragoman.engine.opening import Keep, Openings, keep_nothing
from dragoman.engine.pipeline import Pipeline, ProfileOf
from dragoman.engine.planning import Rules
from dragoman.engine.price_book import PriceBook
from dragoman.engine.price_loading import PriceLoading
from dragoman.engine.prober import Prober
from dragoman.engine.recorder import Recorder
from dragoman.engine.tasks import spawn
from dragoman.engine.token_counts import CountsMemory, LastingCounts
from dragoman.engine.transport import Transport
from dragoman.governance.keys import KeyRing
from dragoman.governance.price import Rates
from dragoman.governance.users import Limits, User
from dragoman.protocols.base import Protocol
from dragoman.providers.provider import Provider
from dragoman.routing.channel import Channel
from dragoman.routing.select import Strategies
from dragoman.server.admin.contract import Administration
from dragoman.server.admin.mount import AdminMount, is_admin_path
from dragoman.server.answer import Receive, Scope, Send
from dragoman.server.app import App
from dragoman.server.billing import Bills
from dragoman.server.body import header
from dragoman.server.gateway import Gateway, Policy
from dragoman.server.idempotency import Idempotency
from dragoman.server.metrics import Access
from dragoman.server.observing import Observing
from dragoman.server.task_models import TaskModels

logger = logging.getLogger("dragoman.server")

DRAIN_SECONDS = 120.0
"""How long a stopping gateway waits for the answers under way."""
_HEADER_READ_MILLISECONDS = 10_000
_BACKLOG = 4096
_MAX_CONCURRENT = 100_000
"""Granian serves no more requests at once than its backlog, unless told: with 1,024 of them the other
half of 2,000 streams waited for the first to end (measured 2026-11-20)."""


class Settings(Interface):
    """What the server reads of the configuration's settings."""

    @property
    def require_auth(self) -> bool: ...
    @property
    def enable_fallback(self) -> bool: ...
    @property
    def high_availability_mode(self) -> bool: ...
    @property
    def session_affinity(self) -> bool: ...
    @property
    def strategy(self) -> str: ...
    @property
    def strategies(self) -> Mapping[str, str]: ...
    @property
    def queue_limit(self) -> int: ...
    @property
    def queue_seconds(self) -> float: ...
    @property
    def probe_seconds(self) -> float: ...
    @property
    def model_list_seconds(self) -> float: ...
    @property
    def request_log_limit(self) -> int: ...
    @property
    def request_log_days(self) -> float: ...
    @property
    def log_prompts(self) -> bool: ...
    @property
    def idempotency_hours(self) -> float: ...
    @property
    def allow_private_urls(self) -> tuple[str, ...]: ...
    @property
    def fetch_through_proxies(self) -> bool: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def unpriced(self) -> str: ...
    @property
    def gateway_usage(self) -> bool: ...
    @property
    def hf_models(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]: ...
    @property
    def unpriced_rates(self) -> Rates | None: ...
    @property
    def metrics(self) -> Access: ...
    @property
    def enable_cors(self) -> bool: ...
    @property
    def cors_origins(self) -> tuple[str, ...]: ...


class State(Interface):
    """One snapshot of the configuration."""

    @property
    def settings(self) -> Settings: ...
    @property
    def channels(self) -> tuple[Channel, ...]: ...
    @property
    def keyring(self) -> KeyRing: ...
    @property
    def users(self) -> tuple[User, ...]: ...


class Source(Interface):
    """Where the configuration comes from: the present state, and a watch for later ones."""

    @property
    def state(self) -> State: ...

    def note_use(self, key_id: str, now: float) -> None:
        """A key was used at ``now`` (Unix time)."""
        ...

    def is_away(self) -> bool:
        """Whether the database cannot be read, so that there may be keys that are not known."""
        ...

    async def watch(self, changed: Callable[[State], Awaitable[None] | None]) -> None:
        """Call ``changed`` after every change, until cancelled."""
        ...


async def run_server(
    source: Source,
    *,
    host: str,
    port: int,
    protocols: Mapping[str, Protocol],
    profile_of: ProfileOf,
    prices: PriceBook | None = None,
    catalog: Mapping[str, Provider] | None = None,
    administration: Administration | None = None,
    recorder: Recorder | None = None,
    accounting: Accounting | None = None,
    bookkeeper: Bookkeeper | None = None,
    idempotency: Idempotency | None = None,
    bills: Bills | None = None,
    counts_memory: CountsMemory | None = None,
    metrics_token: Secret | None = None,
    keep_credential: Keep = keep_nothing,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain: answers under way are finished, new requests get
    503. ``prices`` knows what requests cost, ``catalog`` are the providers that a client may name,
    ``administration`` what the admin API manages; without it there is none. ``recorder`` keeps the
    request log, ``bookkeeper`` the books of ``accounting``; both are started and closed here.
    ``bills`` is what users are shown of the books.
    ``counts_memory`` keeps what is learned of models' token counts, ``metrics_token`` opens
    ``/metrics`` beside admin keys.
    ``keep_credential`` keeps a refresh token that was rotated. ``ready`` is called once the port is
    open. Raises OSError if it cannot be opened."""
    raise_file_limit()
    transport = Transport()
    dispatcher = Dispatcher(clock=time.monotonic, random=random.random)
    pipeline = Pipeline(
        protocols=protocols,
        profile_of=profile_of,
        transport=transport,
        dispatcher=dispatcher,
        openings=Openings(transport, keep_credential),
    )
    gateway = Gateway(
        pipeline,
        note_use=source.note_use,
        away=source.is_away,
        prices=prices,
        catalog=catalog,
        accounting=accounting,
    )
    counts = LastingCounts(pipeline.counter, counts_memory)
    observing = Observing(gateway, recorder=recorder, bookkeeper=bookkeeper, token=metrics_token)
    prober = Prober(
        gateway.fleet, protocols=protocols, openings=pipeline.openings, clock=dispatcher.clock
    )

    def configure(state: State) -> None:
        _configure(gateway, state)
        prober.seconds = state.settings.probe_seconds
        gateway.model_lists.seconds = state.settings.model_list_seconds
        transport.guard = Guard(
            state.settings.allow_private_urls,
            through_proxies=state.settings.fetch_through_proxies,
        )
        observing.configure(state.settings.metrics)
        if recorder is not None:
            recorder.configure(state.settings.request_log_limit, state.settings.request_log_days)
        if idempotency is not None:
            idempotency.hours = state.settings.idempotency_hours

    configure(source.state)
    settings = source.state.settings
    admin = AdminMount(gateway, administration) if administration is not None else None
    app = App(gateway, admin, idempotency, bills, TaskModels(gateway, administration))
    served = _with_cors(app, settings.cors_origins) if settings.enable_cors else app
    server = _listen(served, host, port)
    if bookkeeper is not None:
        await bookkeeper.open()
        bookkeeper.start()
    observing.start()
    pricing = PriceLoading(gateway.prices)

    async def changed(state: State) -> None:
        configure(state)
        pricing.begin(state.channels)
        if bookkeeper is not None:
            await bookkeeper.refresh()

    tasks = [
        spawn(source.watch(changed), "configuration-watch"),
        spawn(prober.run(), "prober"),
        spawn(gateway.model_lists.run(), "model-lists"),
        spawn(counts.run(), "token-counts"),
        _on_signal(gateway, server),
    ]
    if idempotency is not None:
        tasks.append(spawn(idempotency.run(), "idempotency"))
    serving = spawn(server.serve(), "http-server")
    try:
        await _until_started(server, serving)
        # What was loaded to start with stays: the collector need not look at it again.
        gc.freeze()
        ready()
        pricing.begin(source.state.channels)
        await serving
    finally:
        for task in (*tasks, *pricing.tasks):
            task.cancel()
        for one in (transport, bookkeeper, idempotency, counts, observing):
            if one is not None:
                await one.close()


def _with_cors(app: App, origins: Sequence[str]) -> ASGIApp:
    """Answer browsers. Everything else goes past the middleware, which costs 20 µs a request; so
    does the admin API, which no foreign page is to use."""
    cors = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("*",),
        allow_headers=("*",),
        expose_headers=("*",),
    )

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        foreign = (
            scope["type"] == "http"
            and header(scope["headers"], b"origin") is not None
            and not is_admin_path(scope["path"])
        )
        await (cors if foreign else app)(scope, receive, send)

    return dispatch


def _configure(gateway: Gateway, state: State) -> None:
    settings = state.settings
    policy = Policy(
        require_auth=settings.require_auth,
        rules=Rules(
            enable_fallback=settings.enable_fallback,
            high_availability=settings.high_availability_mode,
            session_affinity=settings.session_affinity,
        ),
        strategies=Strategies(default=settings.strategy, groups=settings.strategies),
        queue_limit=settings.queue_limit,
        queue_seconds=settings.queue_seconds,
        log_prompts=settings.log_prompts,
        gateway_usage=settings.gateway_usage,
        hf_models=settings.hf_models,
    )
    gateway.configure(state.channels, state.keyring, policy)
    gateway.accounting.configure(
        state.users,
        state.keyring.keys,
        limits=settings.limits,
        unpriced=settings.unpriced,
        unpriced_price=settings.unpriced_rates,
    )


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: each stream takes two, and the
    usual soft limit of 1,024 would end at five hundred of them. Does nothing where there is none."""
    try:
        import resource  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Some systems report a hard limit that they refuse to set: then it stays as it was.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listen(app: object, host: str, port: int) -> Server:
    return Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        backlog=_BACKLOG,
        backpressure=_MAX_CONCURRENT,
        log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_READ_MILLISECONDS),
    )


async def _until_started(server: Server, serving: asyncio.Task[None]) -> None:
    while not server.wrks:
        if serving.done():
            await serving
            return
        await asyncio.sleep(0.005)


def _on_signal(gateway: Gateway, server: Server) -> asyncio.Task[None]:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(name, asked.set)
        except NotImplementedError:  # Windows has no signal handlers in its event loop
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(asked.set))
    return spawn(_drain(asked, gateway, server), "drain")


async def _drain(asked: asyncio.Event, gateway: Gateway, server: Server) -> None:
    await asked.wait()
    asked.clear()
    gateway.drain()
    if gateway.active:
        logger.info("stopping: waiting for %d answers under way", gateway.active)
    again = spawn(asked.wait(), "second-signal")  # a second signal ends the wait
    quiet = spawn(gateway.quiet.wait(), "quiet")
    await asyncio.wait((again, quiet), timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    quiet.cancel()
    server.main_loop_interrupt.set()
    server.interrupt_signal = True
