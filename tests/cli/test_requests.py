"""``dragoman requests`` and ``dragoman explain``, beside a process that writes and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.governance.record import RequestRecord, Transcript, first_id
from dragoman.runtime.opening import open_store
from tests.cli.support import Cli, process, soon
from tests.support.records import BEGAN, record

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-4711-never-to-be-seen"


@pytest.fixture
def data(home: Path) -> Path:
    folder = home / "data"
    folder.mkdir()
    return folder


def logged(data: Path, *records: RequestRecord) -> None:
    """Put records into the log."""

    async def main() -> None:
        store, _ = await open_store(data, {})
        await store.request_log().add(records)
        await store.close()

    asyncio.run(main())


def cells(text: str) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in text.splitlines()]


def test_the_list_is_newest_first(cli: Cli, data: Path) -> None:
    logged(
        data,
        record(0),
        record(1, outcome="broken", channel=None, key_name="", key_id=""),
        record(2, outcome="left", status=499, duration_ms=0.0, model="x" * 500),
        record(3, outcome="error", status=503, duration_ms=85.4),
    )
    assert cells(cli("requests").stdout) == [
        ["TIME", "ID", "KEY", "MODEL", "CHANNEL", "STATUS", "DURATION"],
        [*_head(3), "laptop", "gpt-4o", "backup", "503", "85 ms"],
        [*_head(2), "laptop", "x" * 57 + "...", "backup", "499 left", "0 ms"],
        [*_head(1), "-", "gpt-4o", "-", "200 broken", "1.23 s"],
        [*_head(0), "laptop", "gpt-4o", "backup", "200", "1.23 s"],
    ]


def _head(number: int) -> list[str]:
    return ["2023-11-14T22:13:20Z", record(number).id[:18]]


def test_filters(cli: Cli, data: Path) -> None:
    now = time.time()
    recent = record(9, id=f"{first_id(now - 1800)}-7000-8000-000000000009", started_at=now - 1800)
    logged(
        data,
        record(0, key_name="ci"),
        record(1, model="o3"),
        record(2, channel="main"),
        record(3, outcome="error"),
        recent,
    )

    def numbers(*words: str) -> list[int]:
        return [int(row["id"][-12:], 16) for row in cli.json("requests", *words)]

    assert numbers() == [9, 3, 2, 1, 0]
    assert numbers("--key", "ci") == [0]
    assert numbers("--model", "o3") == [1]
    assert numbers("--channel", "main") == [2]
    assert numbers("--outcome", "error") == [3]
    assert numbers("--limit", "2") == [9, 3]
    assert numbers("--key", "ci", "--model", "o3") == []
    assert numbers("--since", "1h") == [9]
    assert numbers("--since", "10m") == []
    assert numbers("--since", "2023-11-14T22:13:20.0025Z") == [9, 3]


def test_json_names_every_field(cli: Cli, data: Path) -> None:
    logged(data, record(0, transcript=Transcript(request=CANARY.encode())))
    (row,) = cli.json("requests")
    assert set(row) == set(RequestRecord.__struct_fields__)
    assert row["outcome"] == "ok"
    assert row["tried"][0]["status"] == 429
    assert row["cost_nano_usd"] == 1_000_012_345
    assert row["transcript"] is None


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "yesterday"],
        ["--since", "1y"],
        ["--outcome", "good"],
        ["--limit", "0"],
        ["--model", "\udcff"],
    ],
)
def test_wrong_options_are_refused(cli: Cli, words: list[str]) -> None:
    assert words[0] in cli("requests", *words, code=2).output


def test_nothing_to_show(cli: Cli, data: Path) -> None:
    assert "There is no database in" in cli("requests", code=1).output
    assert not any(data.iterdir()), "looking made none"
    logged(data)
    assert "request_log_limit" in cli("requests").output
    assert cli.json("requests") == []
    logged(data, record(0))
    assert "like that" in cli("requests", "--model", "none").output


def test_a_request_explained(cli: Cli, data: Path) -> None:
    logged(data, record(0, transcript=Transcript(request=b"p")))
    assert cli("explain", record(0).id).stdout == (
        f"Request {record(0).id}\n"
        "  2023-11-14T22:13:20.000Z  generate (streamed)\n"
        "  asked for gpt-4o as openai_chat\n"
        "  with the key laptop (id 3)\n"
        "✓ 200 from backup, model claude-sonnet: answered\n"
        "\n"
        "Candidates, ordered by least_busy, kept to its session: backup\n"
        "  ✗ main, credential 2: gpt-4o-2024 as openai_chat, status 429, "
        "80 ms (from 13 ms to 93 ms)\n"
        "      Slow down. (rate_limit_exceeded) [rate limited]\n"
        "  ✓ backup, credential 1: claude-sonnet as anthropic_messages, status 200, "
        "1.14 s (from 94 ms to 1.23 s)\n"
        "  – cheap: its circuit is open\n"
        "\n"
        "Timings\n"
        "  waited for a free place  12 ms\n"
        "  first content after      300 ms\n"
        "  over all                 1.23 s\n"
        "\n"
        "Translation\n"
        "  dropped  settings.seed: only openai knows it\n"
        "\n"
        "Usage  input 100, cache read 7, output 50\n"
        "Cost   $1.000012345\n"
        "\n"
        "Prompt and answer were kept: --transcript shows them.\n"
    )


def test_a_failure_explained(cli: Cli, data: Path) -> None:
    failed = RequestRecord(
        id=record(0).id,
        started_at=BEGAN,
        operation="generate",
        protocol="openai_chat",
        model="gpt-x",
        status=404,
        outcome="error",
        error="No channel serves 'gpt-x'.",
        code="model_not_found",
        duration_ms=0.4,
    )
    logged(data, failed)
    said = cli("explain", failed.id).stdout
    assert "✗ 404: refused or failed\n" in said
    assert "  the client was told: No channel serves 'gpt-x'. (model_not_found)\n" in said
    assert "  none: the request ended before a channel was chosen\n" in said
    assert "  first content after      none left\n" in said
    assert "Usage  not known\nCost   not priced\n" in said
    assert "Translation" not in said
    assert "with the key" not in said


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("broken", "✗ 200 from backup, model claude-sonnet: broke off after the answer had begun"),
        ("left", "✗ 200 last tried: backup, model claude-sonnet: the client left first"),
        ("error", "✗ 200 last tried: backup, model claude-sonnet: refused or failed"),
    ],
)
def test_other_endings_explained(cli: Cli, data: Path, outcome: str, words: str) -> None:
    logged(data, record(0, outcome=outcome))
    assert f"\n{words}\n" in cli("explain", "0").stdout


def test_transcripts_are_shown_to_whom_asks(cli: Cli, data: Path) -> None:
    kept = Transcript(request=f"line 1\n{CANARY}".encode(), answer=b"")
    logged(data, record(0, transcript=kept), record(1))
    shown = record(0).id
    for words in (["explain", shown], ["explain", shown, "--json"], ["requests", "--json"]):
        assert CANARY not in cli(*words).output
    said = cli("explain", shown, "--transcript").stdout
    assert said.endswith(f"\nPrompt\n  line 1\n  {CANARY}\nAnswer\n  (empty)\n")
    as_json = cli.json("explain", shown, "--transcript")
    assert as_json["transcript"] == {"request": f"line 1\n{CANARY}", "answer": ""}
    assert "log_prompts" in cli("explain", record(1).id, "--transcript").stdout
    assert cli.json("explain", record(1).id, "--transcript")["transcript"] is None


def test_nothing_from_outside_reaches_the_terminal_raw(cli: Cli, data: Path) -> None:
    evil = "\x1b]0;owned\x07\r\u202e\n"
    logged(
        data,
        record(
            0,
            **dict.fromkeys(
                ("model", "key_name", "channel", "response_model", "error", "code"), evil
            ),
            tried=tuple(
                type(one)(channel_id=1, channel=evil, model=evil, error=evil, code=evil)
                for one in record(0).tried
            ),
            skipped=tuple(
                type(one)(channel_id=1, channel=evil, reason=evil) for one in record(0).skipped
            ),
            notes=tuple(type(one)(evil, one.action, evil) for one in record(0).notes),
            transcript=Transcript(request=evil.encode(), answer=evil.encode()),
        ),
    )
    for words in (["requests"], ["explain", "0", "--transcript"]):
        said = cli(*words).stdout
        assert r"\x1b]0;owned\x07" in said
        assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_an_id_may_be_cut_short_while_it_is_clear(cli: Cli, data: Path) -> None:
    logged(data, *(record(number) for number in range(8)))
    assert cli.json("explain", record(3).id[:13].upper())["id"] == record(3).id
    said = cli("explain", record(3).id[:10], code=1).output
    assert "Several" in said
    assert record(7).id in said
    assert record(0).id not in said
    assert said.rstrip().endswith("...")


def test_an_unknown_id_tells_what_may_be_wrong(cli: Cli, data: Path) -> None:
    def said(given: str) -> str:
        return cli("explain", given, code=1).output

    logged(data)
    assert "request_log_limit 0" in said(record(0).id)
    logged(data, record(0), record(1))
    assert f"Did you mean {record(1).id}?" in said(record(1).id.replace("7000", "7008"))
    assert "x-request-id" in said("chatcmpl-123")
    assert "x-request-id" in said("\udcff")
    assert "reaches back to 2023-11-14T22:13:20Z" in said(
        f"{first_id(BEGAN - 3600)}-7aaa-9bbb-cccccccccccc"
    )
    assert "still running" in said(f"{first_id(time.time())}-7aaa-9bbb-cccccccccccc")
    assert "another gateway" in said(f"{first_id(BEGAN + 3600)}-7aaa-9bbb-cccccccccccc")


class Writer:
    """The process of ``tests.support.log_writer``."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def __enter__(self) -> Writer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.log_writer", str(self._data)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, number: int) -> None:
        """Wait until so many are noted."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if int(line) >= number:
                return
        raise AssertionError("the writer ended")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def rows(data: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(data / "dragoman.db")) as database:
        return database.execute("SELECT id FROM requests ORDER BY number").fetchall()


def test_reading_beside_a_writer_and_after_its_sudden_end(data: Path, cli: Cli) -> None:
    with Writer(data) as writer:
        writer.until(300)
        assert soon(lambda: len(rows(data)) >= 300, seconds=20)
        seen = 300
        for _ in range(2):
            listed = process("requests", "--json", "--limit", "1000000")
            assert listed.returncode == 0, listed.stderr
            found = json.loads(listed.stdout)
            assert len(found) >= seen
            seen = len(found)
        explained = process("explain", found[0]["id"], "--json")
        assert json.loads(explained.stdout) == found[0]
        written = len(rows(data))
        writer.kill()
    # What was there is there, and what is there is whole and has no gaps.
    kept = cli.json("requests", "--limit", "1000000")
    assert len(kept) >= written
    assert [one["id"] for one in reversed(kept)] == [record(n).id for n in range(len(kept))]
    assert kept[0]["tried"][1]["status"] == 200
    with contextlib.closing(sqlite3.connect(data / "dragoman.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.fixture
def following(data: Path) -> Iterator[subprocess.Popen[str]]:
    logged(data, record(5), record(7, model="other"), record(6))
    child = subprocess.Popen(
        [sys.executable, "-m", "dragoman", *("requests", "--follow", "--model", "gpt-4o")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    yield child
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_following(data: Path, following: subprocess.Popen[str]) -> None:
    assert following.stdout is not None

    def line() -> list[str]:
        assert following.stdout is not None
        return re.split(r" {2,}", following.stdout.readline())

    assert line()[:2] == ["TIME", "ID"]
    assert line()[1] == record(5).id[:18]
    assert line()[1] == record(6).id[:18]
    # A request that began before those and took longer; and one that is not wanted.
    logged(data, record(2), record(8, model="other"), record(9))
    assert line()[1] == record(2).id[:18]
    assert line()[1] == record(9).id[:18]
    following.send_signal(signal.SIGINT)
    assert following.wait(10) == 0
    assert following.stdout.read() == ""
