"""The real gateway as a process of its own, in front of the stand-in upstream.

One channel per upstream protocol. A client chooses among them by the model's name
(``anthropic_messages/text`` is the scenario ``text`` behind the Anthropic channel) or, where the name
is given, by the token (``token_for("anthropic_messages")`` may use that channel only).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.standin.side import MODELS
from tests.support.upstream import KEY

TOKEN = "sk-gw-matrix-0123456789abcdef"
BASES = {  # protocol → the path of its base URL at the stand-in
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini_generate": "",
    "ollama_chat": "",
}
ERRORS = [f"error-{status}" for status in (400, 401, 403, 404, 429, 500, 503, 529)]
START_SECONDS = 15.0


def token_for(protocol: str) -> str:
    """The token that may use only the channel of ``protocol``."""
    return f"sk-gw-only-{protocol.replace('_', '-')}-0123456789"


def configuration(upstream_url: str, extra_models: Sequence[str] = ()) -> dict[str, Any]:
    """A ``config.json``; ``extra_models`` are names that every channel serves as ``text``."""
    channels = []
    tokens = [{"id": 1, "name": "matrix", "key": TOKEN}]
    for number, (protocol, base) in enumerate(BASES.items(), start=1):
        aliases = {f"{protocol}/{name}": name for name in [*MODELS, *ERRORS]}
        aliases |= dict.fromkeys(extra_models, "text")
        channels.append(
            {
                "id": number,
                "name": protocol,
                "type": "custom",
                "protocol": protocol,
                "base_url": upstream_url + base,
                "api_key": KEY,
                "models": sorted(aliases),
                "aliases": aliases,
                "timeout": 3,
                "max_concurrency": 1000,  # adaptive mode begins with one request at a time
                "max_retries": 0,
            }
        )
        tokens.append(
            {
                "id": number + 1,
                "name": f"only {protocol}",
                "key": token_for(protocol),
                "allowed_channels": [protocol],
            }
        )
    return {"settings": {"log_level": "info"}, "channels": channels, "tokens": tokens}


class Gateway:
    """A context manager; ``url`` answers once it is entered, ``logs()`` is what it wrote."""

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Without ``config`` the database is all it has. ``environ`` is added to the few variables
        that a gateway under test inherits; with a ``PORT`` among them, no flag says where to listen."""
        self.config: Mapping[str, Any] = config or {}
        self._has_file = config is not None
        self._arguments = list(arguments)
        self._environ = dict(environ or {})
        self._folder = tempfile.TemporaryDirectory(prefix="dragoman-test-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = int(self._environ.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Gateway:
        if self._has_file:
            self.rewrite(self.config)
        self._start()
        return self

    def _start(self) -> None:
        folder = Path(self._folder.name)
        config = ("--config", str(folder / "config.json")) if self._has_file else ()
        flags = ("--host", "127.0.0.1", "--port", str(self.port))
        command = [
            *(sys.executable, "-m", "dragoman", "serve", *config),
            *(() if "PORT" in self._environ else flags),
            *("--data-dir", str(folder / "data"), *self._arguments),
        ]
        with (folder / "log").open("ab") as log:
            # Not the developer's keys, and not a .env that lies about.
            self._process = subprocess.Popen(
                command, cwd=folder, env=_environment() | self._environ, stdout=log, stderr=log
            )
        self._wait_until_ready()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()
        self._folder.cleanup()

    @property
    def folder(self) -> Path:
        """Its working directory, where a ``.env`` may lie; its data are in ``data`` below it."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def rewrite(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file at one stroke; the gateway notices within two seconds."""
        self.config = config
        written = Path(self._folder.name) / "config.json.new"
        written.write_text(json.dumps(config), encoding="utf-8")
        written.replace(written.with_suffix(""))

    def restart(self) -> None:
        """End it and start it again on the same data."""
        self.stop()
        self._start()

    def stop(self) -> int:
        """Ask it to end, wait, and return its exit code; it is killed after ten seconds."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(10)

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def start_again(self) -> None:
        """Start it on the same data after it was stopped or killed."""
        self._start()

    def logs(self) -> str:
        """Everything it has written so far."""
        return (Path(self._folder.name) / "log").read_text(encoding="utf-8", errors="replace")

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        code, said = self.stop(), self.logs()
        self._folder.cleanup()
        raise RuntimeError(f"the gateway did not start (exit code {code}):\n{said}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "SYSTEMROOT", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")
    return {name: os.environ[name] for name in kept if name in os.environ}
