"""Running the documents' own examples: shell commands through a real shell, environments by ``.env``,
configurations as they are printed. Only host, port and key are put in."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.gateway import Gateway

_SECONDS = 30
_CURLRC = 'silent\nshow-error\nwrite-out = "\\n%{http_code} %{content_type}"\n'


class Printed(NamedTuple):
    """What a command wrote: the answer's status, its content type and its body."""

    status: int
    content_type: str
    body: str

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of each server-sent event."""
        lines = self.body.splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        """The events decoded, but for OpenAI's ``[DONE]``."""
        return [json.loads(event) for event in self.events if event != "[DONE]"]


def run(gateway: Gateway, command: str, **replaced: str) -> Printed:
    """Run a document's ``curl`` command in a shell, with the gateway's address in place of every
    ``http://localhost:<port>``, and ``replaced`` words (the key) with what they stand for.

    How curl reports is told to it outside the command.
    """
    for number in ("3000", "8000", "8050"):
        command = command.replace(f"http://localhost:{number}", gateway.url)
    for word, put in replaced.items():
        assert word in command, f"{word} is not in the command"
        command = command.replace(word, put)
    Path(gateway.folder, ".curlrc").write_text(_CURLRC, encoding="ascii")
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": os.environ["PATH"], "CURL_HOME": str(gateway.folder)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    body, _, said = done.stdout.rpartition("\n")
    status, _, content_type = said.partition(" ")
    return Printed(int(status), content_type, body)


def dotenv(gateway: Gateway, text: str) -> None:
    """Put a ``.env`` before a gateway that has not been started."""
    (gateway.folder / ".env").write_text(text, encoding="utf-8")


def own_providers(gateway: Gateway, text: str) -> None:
    """Put rows of the catalogue (TOML) before a gateway that has not been started."""
    data = gateway.folder / "data"
    data.mkdir(mode=0o700)
    (data / "providers.toml").write_text(text, encoding="utf-8")
