"""The database goes away and comes back while the gateway serves, and while it starts."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.live.administered import ENVIRON, added, admin, chat
from tests.support.forwarder import Forwarder
from tests.support.gateway import Gateway, free_port
from tests.support.postgres import SERVER, fresh_database, sql
from tests.support.upstream import StandIn

PASSWORD = "canary-4711-database-password"
UNKNOWN = "sk-gw-nobody-knows-this-one-0123456789"
MODEL = "brand-new"


class Site:
    """A gateway whose database is behind a forwarder."""

    def __init__(self, upstream: StandIn, direct: str, way: Forwarder) -> None:
        self.direct = direct
        self.way = way
        user = conninfo_to_dict(direct)["user"]
        name = direct.rpartition("/")[2]
        self.url = f"postgresql://{user}:{PASSWORD}@127.0.0.1:{way.port}/{name}"
        self.environ = ENVIRON | {"DRAGOMAN_DATABASE_URL": self.url}
        self.gateway = Gateway(None, environ=self.environ)
        self._upstream = upstream
        self.key = ""

    def furnish(self) -> None:
        """Give it a channel and a key."""
        assert admin(self.gateway, "POST", "/channels", added(self._upstream)).status == 201
        self.key = admin(self.gateway, "POST", "/keys", {"name": "laptop"}).json["key"]

    def status(self, key: str) -> int:
        """What a request with ``key`` gets."""
        return chat(self.gateway, key, MODEL).status

    def logged(self) -> int:
        """Requests in the table."""
        return int(sql(self.direct, "SELECT count(*) FROM requests WHERE status = 200")[0][0])


@pytest.fixture
def site(upstream: StandIn) -> Iterator[Site]:
    where = conninfo_to_dict(SERVER)
    with (
        fresh_database() as url,
        Forwarder(str(where["host"]), int(where.get("port", 5432))) as way,
    ):
        site = Site(upstream, url, way)
        with site.gateway:
            site.furnish()
            yield site


def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("away", "back"), [(Forwarder.stop, Forwarder.start), (Forwarder.freeze, Forwarder.thaw)]
)
def test_known_keys_go_on_and_unknown_ones_are_told_to_wait(
    site: Site, away: Callable[[Forwarder], None], back: Callable[[Forwarder], None]
) -> None:
    assert site.status(site.key) == 200
    assert site.status(UNKNOWN) == 401
    away(site.way)
    until(lambda: site.status(UNKNOWN) == 503)
    refused = chat(site.gateway, UNKNOWN, MODEL)
    assert "database" in refused.json["error"]["message"]
    assert int(refused.headers["retry-after"]) > 0
    for _ in range(5):
        assert site.status(site.key) == 200
    change = admin(site.gateway, "POST", "/keys", {"name": "ci"})
    assert change.status == 503
    assert "cannot be reached" in change.json["detail"]
    assert admin(site.gateway, "GET", "/keys").status == 200, "what is known can be looked at"
    back(site.way)
    until(lambda: site.status(UNKNOWN) == 401)
    assert admin(site.gateway, "POST", "/keys", {"name": "ci"}).status == 201
    until(lambda: site.logged() == 6)
    assert PASSWORD not in site.gateway.logs()
    assert "Traceback" not in site.gateway.logs()


def test_what_the_command_line_does_is_noticed_also_after_an_interruption(site: Site) -> None:
    site.way.cut()
    before = site.status(site.key)
    done = _command(site, "keys", "create", "made-beside", "--database-url", site.direct)
    made = next(word for word in done.stdout.split() if word.startswith("sk-gw-"))
    until(lambda: site.status(made) == 200)
    assert before == 200


def test_a_gateway_starts_from_its_snapshot_while_the_database_is_away(site: Site) -> None:
    site.gateway.stop()
    site.way.stop()
    site.gateway.restart()
    assert "STARTING FROM A SNAPSHOT" in site.gateway.logs()
    assert site.status(site.key) == 200
    assert site.status(UNKNOWN) == 503
    assert admin(site.gateway, "DELETE", "/channels/1").status == 503
    site.way.start()
    until(lambda: site.status(UNKNOWN) == 401)
    assert admin(site.gateway, "POST", "/keys", {"name": "ci"}).status == 201
    until(lambda: site.logged() == 1)
    snapshot = site.gateway.folder / "data" / "snapshot"
    assert snapshot.stat().st_mode & 0o777 == 0o600
    content = snapshot.read_bytes()
    assert not any(text in content for text in (b"laptop", b"sk-", PASSWORD.encode()))
    assert PASSWORD not in site.gateway.logs()


def test_without_a_snapshot_it_does_not_start_and_says_why(site: Site, tmp_path: Path) -> None:
    site.way.stop()
    done = _serve(site, tmp_path)
    assert done.returncode == 1
    assert "no snapshot" in done.stderr
    assert "Connection refused" in done.stderr
    assert PASSWORD not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_one_gateway_serves_a_database(site: Site, tmp_path: Path) -> None:
    for _ in range(2):  # also with the connection that follows the first
        done = _serve(site, tmp_path)
        assert done.returncode == 1
        assert "Another gateway serves the database" in done.stderr
        site.way.cut()
        until(lambda: _has_lock(site.direct))
    os.kill(site.gateway.pid, signal.SIGKILL)
    site.gateway.restart()
    assert site.status(site.key) == 200


def test_a_locked_file_stops_no_request(upstream: StandIn) -> None:
    with Gateway(None, environ=ENVIRON) as gateway:
        assert admin(gateway, "POST", "/channels", added(upstream)).status == 201
        key = admin(gateway, "POST", "/keys", {"name": "laptop"}).json["key"]
        path = gateway.folder / "data" / "dragoman.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(5):
                assert chat(gateway, key, MODEL).status == 200
            change = admin(gateway, "POST", "/keys", {"name": "ci"})
            assert change.status == 503
            assert "locked" in change.json["detail"]
            other.execute("ROLLBACK")
            until(lambda: _count(other) == 5)
        assert admin(gateway, "POST", "/keys", {"name": "ci"}).status == 201


def _count(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM requests").fetchone()[0])


def _has_lock(url: str) -> bool:
    """Whether somebody holds the database for serving."""
    with psycopg.connect(url) as database:
        found: Any = database.execute(
            "SELECT pg_try_advisory_lock(%s)", [int.from_bytes(b"Dragoman")]
        ).fetchone()
        return not found[0]


def _command(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    data = str(site.gateway.folder / "data")
    return subprocess.run(
        [sys.executable, "-m", "dragoman", *words, "--data-dir", data],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=site.gateway.folder,
    )


def _serve(site: Site, folder: Path) -> subprocess.CompletedProcess[str]:
    """A start that must fail, with the same secret key and a data directory of its own."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    key = site.gateway.folder / "data" / "secret.key"
    (data / "secret.key").write_bytes(key.read_bytes())
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "dragoman",
            "serve",
            "--port",
            str(free_port()),
            "--data-dir",
            str(data),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env=os.environ | site.environ,
    )
