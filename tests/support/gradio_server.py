"""The process of ``gradio_apps``, as a context manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 60.0


class GradioServer:
    """``url`` is its root; ``folder`` takes the files that are uploaded, and the log."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GradioServer:
        environ = {**os.environ, "GRADIO_TEMP_DIR": str(self._folder), "TMPDIR": str(self._folder)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.gradio_apps"],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            self.url = self.url or next(
                (line for line in self.logs().splitlines() if line.startswith("http://")), ""
            )
            try:
                if self.url:
                    self.get("/seen")
                    return self
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        self.__exit__(None, None, None)
        raise RuntimeError(f"the Gradio apps did not start:\n{self.logs()}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.kill()  # it waits for open streams otherwise
        self._process.wait(10)

    def get(self, path: str) -> Any:
        """JSON from one of the paths beside the apps."""
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return json.load(answer)

    def tokens(self) -> list[str]:
        """The token of each request since the last time, empty for none."""
        return [token for _, _, token in self.get("/seen")]

    def logs(self) -> str:
        """What it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")
