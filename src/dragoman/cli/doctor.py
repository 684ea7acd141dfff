"""``dragoman doctor``: what is well and what is not, one line each."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from dragoman import __version__
from dragoman.cli.options import ConfigFile, DatabaseUrl, DataDir, make_options
from dragoman.cli.output import ExitCode, marks, say

if TYPE_CHECKING:
    from dragoman.config.channels import Catalog
    from dragoman.runtime import Options, Runtime


class Finding(NamedTuple):
    """One line: well or not, what, and what to do about it."""

    ok: bool
    text: str
    advice: str = ""


def doctor(
    config: ConfigFile = None, data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Look over everything the gateway needs, say what is wrong and what to do. Exits with 1 if
    anything is."""
    findings = asyncio.run(_examine(make_options(config, data_dir, database_url)))
    good, bad = marks()
    for finding in findings:
        say(f"{good if finding.ok else bad} {finding.text}")
        if finding.advice:
            say(f"    {finding.advice}")
    failures = sum(not finding.ok for finding in findings)
    say()
    say("All is well." if not failures else f"{failures} of {len(findings)} checks failed.")
    if failures:
        raise typer.Exit(ExitCode.FAILED)


async def _examine(options: Options) -> list[Finding]:
    """Everything in order; what stands in the way of the rest ends the list."""
    from dragoman.config.problems import ConfigurationRefused  # noqa: PLC0415
    from dragoman.providers.catalog import CatalogError  # noqa: PLC0415
    from dragoman.runtime import (  # noqa: PLC0415
        Runtime,
        data_dir_of,
        environ_of,
        prepare_data_dir,
        read_catalog,
    )
    from dragoman.store.errors import SecretKeyError, StoreError  # noqa: PLC0415

    findings = [Finding(True, f"Dragoman {__version__} on Python {platform.python_version()}")]
    try:
        environ = environ_of(options)
        catalog = read_catalog(environ, data_dir_of(options, environ))
        findings += _environment(options, environ, catalog)
        data_dir = prepare_data_dir(data_dir_of(options, environ))
        findings.append(Finding(True, f"Data directory {data_dir} is writable"))
        runtime = await Runtime.open(options)
    except ConfigurationRefused as error:
        findings += [Finding(False, f"{error.source}: {problem}") for problem in error.problems]
    except CatalogError as error:
        findings.append(Finding(False, str(error)))
    except SecretKeyError as error:
        findings.append(Finding(False, "The secret key does not fit", str(error)))
    except StoreError as error:
        findings.append(Finding(False, "The database does not open", str(error)))
    else:
        try:
            findings += [*_store(runtime, environ), *_configuration(runtime), _port(runtime)]
        finally:
            await runtime.close()
    return findings


def _environment(options: Options, environ: dict[str, str], catalog: Catalog) -> Iterator[Finding]:
    from dragoman.config.environment import (  # noqa: PLC0415
        recognised_variables,
        unknown_variables,
    )

    dotenv = options.directory / ".env"
    seen = "is read" if dotenv.is_file() else "is not there, which is fine"
    yield Finding(True, f".env in {options.directory} {seen}")
    for name in recognised_variables(environ, catalog):
        where = "the environment" if name in options.environ else ".env"
        yield Finding(True, f"{name} is set, by {where}")
    for name, problem in unknown_variables(environ):
        yield Finding(False, f"{name} {problem}", "Correct its name or remove it.")


def _store(runtime: Runtime, environ: dict[str, str]) -> Iterator[Finding]:
    from dragoman.config.environment import SECRET_KEY  # noqa: PLC0415
    from dragoman.store import sealing  # noqa: PLC0415

    yield Finding(True, f"Database {runtime.store.place} opens")
    if environ.get(SECRET_KEY):
        yield Finding(True, f"The secret key from {SECRET_KEY} fits the database")
        return
    path = runtime.data_dir / sealing.FILE_NAME
    yield _privacy(path)


def _privacy(path: Path) -> Finding:
    shared = os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if shared:
        return Finding(
            False, f"Other users may read the secret key {path}", f"Mend it: chmod 600 {path}"
        )
    return Finding(True, f"The secret key {path} fits the database")


def _configuration(runtime: Runtime) -> Iterator[Finding]:
    from dragoman.config.channels import lacks_key  # noqa: PLC0415

    if runtime.config_path is not None:
        yield Finding(True, f"Configuration file {runtime.config_path} is valid")
    for one in runtime.assembly.channels:
        if lacks_key(one.entry, runtime.catalog):
            continue  # among the warnings below
        place = one.channel.endpoints[0]
        state = "" if one.entry.enabled else ", switched off"
        yield Finding(
            True,
            f"Channel {one.entry.name} ({one.source}): {place.protocol} at {place.base_url}{state}",
        )
    if not runtime.assembly.channels:
        yield Finding(
            False, "No channel is configured", "Add one: dragoman channels add --type openai"
        )
    for warning in runtime.assembly.warnings:
        yield Finding(False, warning)
    usable = runtime.state.keyring.usable(time.time())
    if usable or not runtime.state.settings.require_auth:
        yield Finding(True, f"{usable} usable keys")
    else:
        yield Finding(False, "No usable key", "Make one: dragoman keys create NAME")


def _port(runtime: Runtime) -> Finding:
    from dragoman.cli.serve import why_taken  # noqa: PLC0415

    host, port = runtime.state.settings.host, runtime.state.settings.port
    reason = why_taken(host, port)
    if reason is None:
        return Finding(True, f"Port {port} on {host} is free")
    if _answers_as_dragoman(host, port):
        return Finding(True, f"A Dragoman is running on port {port}")
    return Finding(False, reason, "Choose another with --port, PORT or the setting 'port'.")


def _answers_as_dragoman(host: str, port: int) -> bool:
    """Whether the one who holds the port is a gateway of ours."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((here, port), timeout=1) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = b""
            while len(answer) < 65_536 and (piece := connection.recv(4096)):
                answer += piece
    except OSError:
        return False
    return b"Dragoman is running" in answer
