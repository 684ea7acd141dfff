"""The requests that real clients sent, as recorded in ``tests/fixtures/captures``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "captures"
_HOP_BY_HOP = {"host", "connection", "content-length", "accept-encoding", "transfer-encoding"}
_KEYS = {"authorization", "x-api-key", "x-goog-api-key"}
_PATH_MODEL = re.compile(r"/models/(?P<model>[^:/?]+(?:/[^:/?]+)?)(?:[:/?]|$)")


@dataclass(frozen=True)
class Capture:
    """One recorded request. ``headers`` lacks what a connection decides for itself."""

    client: str
    number: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: Any
    answered: int

    @property
    def name(self) -> str:
        """A name for test ids."""
        return f"{self.client}-{self.number}-{self.target.partition('?')[0].strip('/')}"

    @property
    def model(self) -> str | None:
        """The model it asks for, from the body or the path."""
        if isinstance(self.body, dict) and "model" in self.body and self.body["model"] != "dummy":
            return str(self.body["model"])
        match = _PATH_MODEL.search(self.target)
        return match["model"] if match else None

    @property
    def streamed(self) -> bool:
        """Whether it asks for a stream."""
        asked = isinstance(self.body, dict) and self.body.get("stream") is True
        return asked or ":streamGenerateContent" in self.target

    def headers_with(self, token: str) -> dict[str, str]:
        """The headers, the recorded (scrubbed) key replaced by ``token``."""
        return {
            name: value.replace("<redacted>", token) if name.lower() in _KEYS else value
            for name, value in self.headers
        }


def load() -> list[Capture]:
    """Every recorded request, client by client."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        for number, exchange in enumerate(recorded["exchanges"]):
            request = exchange["request"]
            headers = tuple(
                (name, value)
                for name, value in request["headers"]
                if name.lower() not in _HOP_BY_HOP
            )
            found.append(
                Capture(
                    client=path.stem,
                    number=number,
                    method=request["method"],
                    target=request["target"],
                    headers=headers,
                    body=request.get("body"),
                    answered=exchange["mock_status"],
                )
            )
    return found


CAPTURES = load()
MODELS = sorted({capture.model for capture in CAPTURES if capture.model})
