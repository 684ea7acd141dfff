"""``dragoman serve``, for real: a process, a socket, a database."""

from __future__ import annotations

import json
import re
import shlex
import socket
from pathlib import Path

import pytest

from tests.cli.support import Cli, Gateway, process, soon
from tests.config.support import CANARY, bent

_KEY = re.compile(r"sk-gw-[A-Za-z0-9]{48}")


def shown_key(gateway: Gateway) -> str:
    found = set(_KEY.findall(gateway.banner))
    assert len(found) == 1
    return found.pop()


def run_curl_line(gateway: Gateway) -> tuple[int, str]:
    """Do what the line to be pasted does."""
    (line,) = (row for row in gateway.banner.splitlines() if row.strip().startswith("curl "))
    words = shlex.split(line)
    key = next(word for word in words if word.startswith("Authorization: Bearer "))
    path = "/" + words[1].split("/", 3)[3]
    return gateway.ask(path, key.split()[-1], words[words.index("-d") + 1].encode())


@pytest.mark.row("S0-42")
def test_the_demonstration_line_answers_at_every_start(home: Path) -> None:
    keys = set()
    for _ in range(2):
        with Gateway("--demo") as gateway:
            status, body = run_curl_line(gateway)
            assert status == 200
            assert json.loads(body)["choices"][0]["message"]["content"] == "Hello!"
            assert "trying" in gateway.banner.lower()
            keys.add(shown_key(gateway))
            assert gateway.stop() == 0
    assert len(keys) == 2


def test_the_first_start_shows_a_key_once(home: Path, cli: Cli) -> None:
    with Gateway() as gateway:
        key = shown_key(gateway)
        assert "never shown again" in gateway.banner
        assert "No channel is configured yet" in gateway.banner + gateway._until("start again")
        assert gateway.ask("/v1/models", key)[0] == 200
        assert gateway.ask("/v1/models", key[:-1] + "x")[0] == 401
        assert gateway.ask("/v1/models")[0] == 401
        gateway.stop()
    with Gateway() as gateway:
        assert not _KEY.findall(gateway.banner)
        assert "YOUR_KEY" in gateway.banner
        assert gateway.ask("/v1/models", key)[0] == 200


@pytest.mark.row("S2-64", "S2-72")
def test_a_running_gateway_notices_what_the_command_line_does(home: Path, cli: Cli) -> None:
    with Gateway() as gateway:
        key = cli("keys", "create", "laptop").stdout.strip()
        assert soon(lambda: gateway.ask("/v1/models", key)[0] == 200)
        cli("channels", "add", "--type", "ollama", "--model", "llama-9")
        assert soon(lambda: "llama-9" in gateway.ask("/v1/models", key)[1])
        cli("keys", "revoke", "laptop")
        assert soon(lambda: gateway.ask("/v1/models", key)[0] == 401)


@pytest.mark.row("S1-4", "S2-65", "S2-69")
def test_the_operators_own_key_and_a_file(home: Path) -> None:
    Path("config.json").write_text(json.dumps(bent("channels.0.models", ["gpt-4o"])))
    with Gateway("--config", "config.json", API_KEY="my-own-key-4711") as gateway:
        assert gateway.ask("/v1/models", "my-own-key-4711")[0] == 200
        assert gateway.ask("/v1/models", "my-own-key-4712")[0] == 401
        assert "Bearer $API_KEY" in gateway.banner
        assert "my-own-key" not in gateway.banner
        assert "OpenAI (config.json)" in gateway.banner
        assert "2 usable: 1 from the file config.json, 1 from the environment" in gateway.banner
        assert '"model": "gpt-4o"' in gateway.banner
    with Gateway(DRAGOMAN_REQUIRE_AUTH="False") as gateway:
        assert gateway.ask("/v1/models")[0] == 200
        assert "Authorization" not in gateway.banner


def test_the_dashboard_is_named_and_admin_keys_count_apart(home: Path, cli: Cli) -> None:
    with Gateway() as gateway:
        url = f"http://127.0.0.1:{gateway.port}/admin"
        assert (
            f"Dashboard {url}  (no admin key yet; make one: dragoman keys create" in gateway.banner
        )
        gateway.stop()
    admin_key = cli("keys", "create", "boss", "--admin").stdout.strip()
    with Gateway(DRAGOMAN_ADMIN_KEY="sk-gw-admin-of-the-environment-1") as gateway:
        assert "Keys      1 usable: 1 from the database\n" in gateway.banner
        assert "/admin  (2 admin keys)\n" in gateway.banner
        assert admin_key not in gateway.banner
        assert gateway.ask("/admin")[0] == 200


def test_a_taken_port_costs_no_key(home: Path, cli: Cli) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        done = process("serve", "--host", "127.0.0.1", PORT=str(holder.getsockname()[1]))
    assert done.returncode == 1
    assert "cannot be used" in done.stderr
    assert "--port" in done.stderr
    assert cli.json("keys", "list") == []


def test_nothing_it_says_holds_a_secret(home: Path) -> None:
    document = bent("channels.0.api_key", CANARY)
    document["channels"][0] |= {"headers": {"x-a": CANARY}, "proxy_url": f"http://{CANARY}@p:1"}
    Path("config.json").write_text(json.dumps(document))
    words = ("--config", "config.json", "--log-level", "debug")
    with Gateway(*words, API_KEY=CANARY, GROQ_API_KEY=CANARY) as gateway:
        gateway.ask("/v1/models", CANARY)
        gateway.ask("/v1/models", CANARY + "x")
        assert gateway.stop() == 0
        said = gateway.banner + gateway.errors.read_text()
    assert "channel OpenAI from config.json" in said
    assert CANARY not in said
