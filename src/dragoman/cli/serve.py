"""``dragoman serve``: the gateway itself."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.options import ConfigFile, DatabaseUrl, DataDir, make_options, opened
from dragoman.cli.output import CommandFailed, say

if TYPE_CHECKING:
    from dragoman.runtime import Options


def serve(
    *,
    config: ConfigFile = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host", metavar="HOST", help="Listen on this address. [env: DRAGOMAN_HOST, LISTEN]"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            help="Listen on this port; 3000 else. [env: DRAGOMAN_PORT, PORT]",
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add a model 'echo' that needs no provider, to try out.")
    ] = False,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level", help="debug, info, warning or error. [env: DRAGOMAN_LOG_LEVEL]"
        ),
    ] = None,
) -> None:
    """Run the gateway.

    Flags win over the environment (and .env), the environment over the configuration file or the
    database. Without a file, channels come from the environment (OPENAI_API_KEY and its like) and
    from 'dragoman channels add'.

    \b
    Examples:
      dragoman serve --demo
      OPENAI_API_KEY=sk-… dragoman serve --host 127.0.0.1
      dragoman serve --config config.json --port 8080
    """
    options = make_options(
        config,
        data_dir,
        database_url,
        serving=True,
        host=host,
        port=port,
        demo=demo,
        log_level=log_level,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(options))


async def _serve(options: Options) -> None:
    from dragoman.cli.banner import banner  # noqa: PLC0415
    from dragoman.cli.wiring import price_book, profile_of  # noqa: PLC0415
    from dragoman.engine.recorder import Recorder  # noqa: PLC0415
    from dragoman.protocols.registry import protocols  # noqa: PLC0415
    from dragoman.runtime.administration import Administrator  # noqa: PLC0415
    from dragoman.runtime.bills import LedgerBills  # noqa: PLC0415
    from dragoman.runtime.books import open_books  # noqa: PLC0415
    from dragoman.runtime.rotation import Rotation  # noqa: PLC0415
    from dragoman.server.idempotency import Idempotency  # noqa: PLC0415
    from dragoman.server.run import run_server  # noqa: PLC0415
    from dragoman.store.counts_file import CountsFile  # noqa: PLC0415

    async with opened(options) as runtime:
        settings = runtime.state.settings
        _log_to_stderr(settings.log_level)
        runtime.subscribe(lambda state: _log_from(state.settings.log_level))
        runtime.log_sources()
        # Before the first key is made: it is shown once, and must not be lost to a taken port.
        _refuse_taken_port(settings.host, settings.port)
        await runtime.claim()
        prices = price_book()
        accounting, bookkeeper = open_books(runtime, prices.price)
        new_key = await runtime.first_key()
        recorder = Recorder(
            runtime.store.request_log(),
            clock=time.time,
            limit=settings.request_log_limit,
            days=settings.request_log_days,
        )
        administrator = Administrator(runtime, recorder)
        administrator.accounts.live = accounting.live
        ledger = runtime.store.ledger()

        async def charged(request_id: str) -> bool | None:
            # Asked before the tables are: what is in the journal now may be there then.
            behind = bookkeeper.state.behind
            return bool(await ledger.costs([request_id])) or (None if behind else False)

        idempotency = Idempotency(
            runtime.store.idempotency(),
            clock=time.time,
            charged=charged,
            hours=settings.idempotency_hours,
        )
        try:
            await run_server(
                runtime,
                host=settings.host,
                port=settings.port,
                protocols=protocols(),
                profile_of=profile_of,
                prices=prices,
                catalog=runtime.catalog,
                administration=administrator,
                recorder=recorder,
                accounting=accounting,
                bookkeeper=bookkeeper,
                idempotency=idempotency,
                bills=LedgerBills(ledger, bookkeeper),
                counts_memory=CountsFile(runtime.data_dir),
                metrics_token=runtime.metrics_token,
                keep_credential=Rotation(administrator.rotate_credential).keep,
                ready=lambda: say(banner(runtime, new_key)),
            )
        except OSError as error:
            raise CommandFailed(f"The gateway cannot listen: {error}.") from None


def _refuse_taken_port(host: str, port: int) -> None:
    if (reason := why_taken(host, port)) is not None:
        raise CommandFailed(f"{reason} Choose another: dragoman serve --port {port % 65535 + 1}")


def why_taken(host: str, port: int) -> str | None:
    """Why nothing can listen there; None if something can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            if sys.platform != "win32":  # where it would let two programs share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except socket.gaierror:
        return f"The host {host} is unknown."
    except OSError as error:
        return f"Port {port} on {host} cannot be used: {error.strerror}."
    return None


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def _log_from(level: str) -> None:
    logging.getLogger().setLevel(level.upper())


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - not to be had on every platform
    except ImportError:
        return None
    return uvloop.Loop
