"""Running commands and reading what they say."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from typer.testing import CliRunner, Result

from dragoman.cli.app import app


class Cli:
    """Commands as a person types them."""

    def __init__(self, runner: CliRunner) -> None:
        self._runner = runner

    def __call__(self, *words: str, code: int = 0, stdin: str | None = None) -> Result:
        """Run a command that must end with ``code``."""
        result = self._runner.invoke(app, list(words), input=stdin, prog_name="dragoman")
        unexpected = result.exception
        assert unexpected is None or isinstance(unexpected, SystemExit), repr(unexpected)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *words: str) -> Any:
        """The answer of a command with ``--json``."""
        return json.loads(self(*words, "--json").stdout)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def process(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """``dragoman`` in a process of its own; ``changes`` are environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "dragoman", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **changes},
    )


class Gateway:
    """``dragoman serve`` in a process of its own, ready to be asked."""

    def __init__(self, *words: str, **changes: str) -> None:
        self.port = free_port()
        self.errors = Path(f"stderr-{self.port}.txt")
        self._words = [*words, "--port", str(self.port), "--host", "127.0.0.1"]
        self._changes = changes

    def __enter__(self) -> Gateway:
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dragoman", "serve", *self._words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._changes},
            )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.banner = self._until("Try it:") + self._until("curl")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    def ask(self, path: str, key: str | None = None, body: bytes | None = None) -> tuple[int, str]:
        """Status and body of one request."""
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> int:
        """Ask it to stop, as a service manager does, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _until(self, word: str) -> str:
        """Everything said up to the line with ``word``."""
        said = ""
        while word not in said:
            line = self._lines.get(timeout=20)
            assert line, f"it ended: {said}{self.errors.read_text()}"
            said += line
        return said


def soon(check: Callable[[], bool], seconds: float = 3.0) -> bool:
    """Whether ``check`` comes true within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.05)
    return check()
