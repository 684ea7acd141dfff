"""The admin API costs a gateway nothing until someone administers it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.server.admin.fake import UNKNOWN
from tests.server.admin.site import BEARER, HOST, Site

CODE = """
import sys
import dragoman.cli
import dragoman.cli.serve
import dragoman.server.run
import dragoman.runtime.administration
import dragoman.server.admin.mount
slow = [name for name in ("fastapi", "pydantic", "pydantic_core") if name in sys.modules]
assert not slow, slow
"""


def test_the_start_imports_neither_fastapi_nor_pydantic() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_stranger_does_not_get_it_built(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.mount, "_build", lambda: pytest.fail("was built"))
    for headers in ({}, {"authorization": f"Bearer {UNKNOWN}"}):
        assert site.ask("GET", "/status", None, headers).status == 401


def test_it_is_built_once_and_holds_nobody_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the routes are being built, which here takes until that is seen, others are answered."""
    go_on = threading.Event()
    built = []
    build = site.mount._build

    def slow_build() -> Any:
        built.append(threading.current_thread())
        assert go_on.wait(30), "nobody else was answered meanwhile"
        return build()

    monkeypatch.setattr(site.mount, "_build", slow_build)

    async def scene() -> list[int]:
        first = [asyncio.ensure_future(_status_of(site, "/admin/api/status")) for _ in range(3)]
        leaver = asyncio.ensure_future(_status_of(site, "/admin/api/status"))
        while not built:
            await asyncio.sleep(0.001)
        leaver.cancel()
        assert await _status_of(site, "/health") == 200
        go_on.set()
        return await asyncio.gather(*first)

    assert site.run(scene()) == [200, 200, 200]
    assert len(built) == 1
    assert built[0] is not threading.main_thread()


async def _status_of(site: Site, path: str) -> int:
    reply = await site.ask_async("GET", path, b"", {**BEARER, "host": HOST}, "127.0.0.1", "http")
    return reply.status
