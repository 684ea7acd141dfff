"""The two gateways whose difference is the cost of governance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import material
from benchmarks.http1 import Address, Ask
from benchmarks.programs import Launch, Place, Program, chat_ask

_AMPLE = {
    "requests_per_minute": 10**9,
    "tokens_per_minute": 10**12,
    "concurrent_requests": 10**6,
}
_USER = "bench"
_ROOT = Path(__file__).parent.parent


class Bare(Program):
    """``benchmarks.bare_gateway``: the pipeline alone."""

    title = "bare"

    def prepare(self, place: Place) -> Launch:
        config = _write(place, {"settings": {"require_auth": False}, "channels": [_channel(place)]})
        argv: list[str | Path] = [sys.executable, "-m", "benchmarks.bare_gateway", str(place.port)]
        return Launch([*argv, config, place.directory / "data"], {"PYTHONPATH": str(_ROOT)})

    def asks(self, upstream: Address, *, stream: bool = False) -> dict[str, Ask]:
        return _asks({})


class Governed(Program):
    """``dragoman serve`` with everything on: a prepaid user with credit, limits and budgets of key, user
    and gateway, a priced channel, journal and ledger, metrics and request log."""

    title = "everything on"

    def prepare(self, place: Place) -> Launch:
        data = place.directory / "data"
        channel = _channel(place) | {"prices": {material.MODEL: {"input": 0.15, "output": 0.6}}}
        token = {
            "name": "bench",
            "key": material.CLIENT_KEY,
            "user": _USER,
            "limits": _AMPLE,
            "budget": {"day": 10**6, "month": 10**6},
        }
        limits = [f"--limit={name}={amount}" for name, amount in _AMPLE.items()]
        budgets = [f"--budget={period}={10**6}" for period in ("week", "total")]
        _dragoman(data, "users", "create", _USER, "--prepaid", *limits, *budgets)
        _dragoman(data, "credits", "add", _USER, "1000000")
        config = _write(
            place,
            {"settings": {"limits": _AMPLE}, "channels": [channel], "tokens": [token]},
        )
        argv: list[str | Path] = [sys.executable, "-m", "dragoman", "serve", "--config", config]
        argv += ["--host", "127.0.0.1", "--port", str(place.port), "--data-dir", data]
        return Launch(argv)

    def asks(self, upstream: Address, *, stream: bool = False) -> dict[str, Ask]:
        return _asks({"authorization": f"Bearer {material.CLIENT_KEY}"})


def _asks(headers: dict[str, str]) -> dict[str, Ask]:
    return {
        "a whole answer": chat_ask(headers),
        "a short stream": chat_ask(headers, stream=True),
    }


def _channel(place: Place) -> dict[str, Any]:
    return {
        "name": "upstream",
        "type": "custom",
        "protocol": "openai_chat",
        "base_url": f"{place.upstream.url}/v1",
        "api_key": material.UPSTREAM_KEY,
        "models": [material.MODEL],
        "max_concurrency": 100_000,  # the default learns, beginning with one
    }


def _write(place: Place, config: dict[str, Any]) -> Path:
    path = place.directory / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _dragoman(data: Path, *words: str) -> None:
    argv = [sys.executable, "-m", "dragoman", *words, "--data-dir", str(data)]
    subprocess.run(argv, check=True, capture_output=True, cwd=data.parent)
