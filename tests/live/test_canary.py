"""A canary in every secret field, looked for wherever a secret must not be.

Everything that the gateway says is gathered: answers of every kind, logs at debug level, metrics, the
request log, the audit, what commands print, and every byte of its data directory. Only a new key's own
answer may hold a secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import traceback
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragoman.canonical.oauth import OAuth
from dragoman.canonical.secret import Secret
from dragoman.config.channels import read_channel, resolve
from dragoman.config.environment import Environment
from dragoman.config.schema import ChannelEntry, Token
from dragoman.providers.catalog import load_catalog
from dragoman.providers.vertex_account import ServiceAccount
from dragoman.runtime.options import Options
from dragoman.store.store import StoredChannel
from tests.live.raw import PATHS, Reply, ask, path_of, request_body
from tests.support.canaries import Canaries
from tests.support.echoing import Echoing
from tests.support.gateway import Gateway, free_port
from tests.support.google import Google
from tests.support.upstream import StandIn

SHOWN_ONCE = frozenset({"Token.key"})
PROMPT = frozenset({"prompt"})

PLANTED = {
    "ChannelEntry.api_key",
    "ChannelEntry.api_keys",
    "ChannelEntry.headers",
    "ChannelEntry.proxy_url",
    "OAuth.client_secret",
    "Token.key",
    "Environment.proxy",
    "Environment.key",
    "Environment.admin_key",
    "Environment.metrics_token",
    "Options.database_url",
}
"""Every field of the configuration that holds a secret."""


def secret_fields(struct: type[msgspec.Struct]) -> Iterator[str]:
    """The fields of a struct whose types hold a Secret somewhere."""

    def holds(kind: Any) -> bool:
        return kind is Secret or any(map(holds, typing.get_args(kind)))

    for name, kind in typing.get_type_hints(struct).items():
        if holds(kind):
            yield f"{struct.__name__}.{name}"


def test_every_secret_field_has_its_canary() -> None:
    """A new field that holds a secret needs a canary below."""
    structs = (ChannelEntry, OAuth, Token, Environment, Options)
    assert {name for one in structs for name in secret_fields(one)} == PLANTED


@dataclass
class Scene:
    """A gateway in which every secret is planted, and what was gathered from it, by where."""

    gateway: Gateway
    canaries: Canaries
    environ: Mapping[str, str]
    keys: dict[str, str]
    gathered: dict[str, str] = field(default_factory=dict)

    def gather(self, where: str, what: bytes | str) -> None:
        text = what.decode("latin-1") if isinstance(what, bytes) else what
        self.gathered[where] = self.gathered.get(where, "") + text

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        key: str | None = "virtual",
        **headers: str,
    ) -> Reply:
        """A request, whose whole answer is gathered."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        if key is not None:
            given["authorization"] = f"Bearer {self.keys[key]}"
        reply = ask(self.gateway, method, path, body, given)
        self.gather(f"{method} {path}", f"{reply.status} {reply.headers}\n")
        self.gather(f"{method} {path}", reply.body)
        return reply

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        return self.ask(method, f"/admin/api{path}", body, "admin")

    def run(self, *words: str) -> str:
        """A command beside the running gateway; what it says is gathered."""
        done = subprocess.run(
            [sys.executable, "-m", "dragoman", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.gateway.folder,
            env={"PATH": os.environ["PATH"], **self.environ},
        )
        self.gather(f"dragoman {' '.join(words)}", done.stdout + done.stderr)
        return done.stdout


def channels(echo: str, standin: str, google: Google, canaries: Canaries) -> list[dict[str, Any]]:
    """One channel for every kind of secret."""
    plant = canaries.plant
    custom = {"type": "custom", "protocol": "openai_chat", "max_retries": 0}
    account = json.loads(google.account("canary", 0).json(google.token_uri))
    canaries.watch("vertex private key", account["private_key"].splitlines()[5][:24])
    models = [
        "garbage",
        "stream",
        *(f"status-{n}" for n in (400, 401, 402, 403, 404, 429, 500, 503)),
    ]
    return [
        custom
        | {
            "name": "echo",
            "base_url": f"{echo}/v1",
            "models": models,
            "api_key": plant("ChannelEntry.api_key"),
            "api_keys": [plant("ChannelEntry.api_keys")],
            "headers": {"x-own-secret": plant("ChannelEntry.headers")},
        },
        custom
        | {
            "name": "proxied",
            "base_url": f"{standin}/v1",
            "models": ["proxied"],
            "api_key": plant("ChannelEntry.api_key"),
            "proxy_url": f"http://user:{plant('ChannelEntry.proxy_url', 'pw-')[:23]}@127.0.0.1:{free_port()}",
        },
        custom
        | {
            "name": "oauth",
            "base_url": f"{echo}/v1",
            "models": ["oauth"],
            "api_key": plant("refresh token"),
            "oauth": {
                "token_url": f"{echo}/token",
                "client_id": "client",
                "client_secret": plant("OAuth.client_secret"),
            },
        },
        {
            "name": "vertex",
            "type": "vertex",
            "api_key": json.dumps(account),
            "models": ["gemini-2.5-flash"],
        },
    ]


@pytest.fixture(scope="module")
def scene(upstream_server: StandIn) -> Iterator[Scene]:
    """Everything has happened that could give a secret away."""
    canaries = Canaries()
    plant = canaries.plant
    environ = {
        "DRAGOMAN_ADMIN_KEY": plant("Environment.admin_key"),
        "API_KEY": plant("Environment.key"),
        "DRAGOMAN_METRICS_TOKEN": plant("Environment.metrics_token"),
        "DRAGOMAN_SECRET_KEY": plant("secret key"),
        "DRAGOMAN_LOG_LEVEL": "debug",
        "DRAGOMAN_LOG_PROMPTS": "true",
    }
    with (
        Echoing() as echo,
        Google() as google,
        Gateway(None, environ=environ) as gateway,
    ):
        keys = {
            "admin": environ["DRAGOMAN_ADMIN_KEY"],
            "own": environ["API_KEY"],
            "metrics": environ["DRAGOMAN_METRICS_TOKEN"],
            "virtual": plant("Token.key", "sk-gw-"),
            "wrong": plant("a wrong key", "sk-gw-"),
        }
        data = {"DRAGOMAN_DATA_DIR": str(gateway.folder / "data")}
        made = Scene(gateway, canaries, {**environ, **data}, keys)
        _configure(made, channels(echo.url, upstream_server.url, google, canaries))
        _ask_everything(made)
        _administer(made)
        _print_everything(made)
        assert any(plant("ChannelEntry.api_key") in text for text in echo.quoted), "it did quote"
        assert any(plant("OAuth.client_secret") in text for text in echo.quoted) or any(
            "token" in text for text in echo.quoted
        )
        gateway.stop()
        made.gather("logs", gateway.logs())
        yield made


def _configure(scene: Scene, wanted: list[dict[str, Any]]) -> None:
    for one in wanted:
        reply = scene.admin("POST", "/channels", one)
        assert reply.status == 201, reply.body
    reply = ask(
        scene.gateway,
        "POST",
        "/admin/api/keys",
        {"name": "virtual", "key": scene.keys["virtual"]},
        {"authorization": f"Bearer {scene.keys['admin']}"},
    )
    assert reply.status == 201, reply.body
    # What is refused is quoted in refusals by its name, never by its value.
    bad = scene.canaries.plant("refused")
    scene.admin("POST", "/channels", {"name": "bad", "type": "custom", "api_key": [bad]})
    scene.admin("POST", "/channels", {"name": "bad", "type": "custom", "headers": {"x": [bad]}})
    scene.admin(
        "POST",
        "/channels",
        {"name": "bad", "type": "openai", "proxy_url": f"nonsense://u:{bad[:23]}@h"},
    )
    scene.admin("POST", "/channels", {"name": "bad", "type": "openai", "api_key": f"{bad}\n"})
    scene.admin("POST", "/keys", {"name": "bad", "key": {"is": bad}})
    scene.admin("PATCH", "/channels/1", {"oauth": {"client_secret": [bad]}})
    scene.admin("POST", "/session", {"key": bad})


def _ask_everything(scene: Scene) -> None:
    prompt = scene.canaries.plant("prompt")
    own = {"x_hf_authorization": f"Bearer {scene.canaries.plant('caller token', 'hf_')}"}
    models = ["garbage", "stream", "proxied", "oauth", "gemini-2.5-flash", "nobody-has-this"]
    models += [f"status-{status}" for status in (400, 401, 402, 403, 404, 429, 500, 503)]
    for protocol in PATHS:
        # What upstreams say is read by one codec: one client protocol is asked for everything.
        for model in models if protocol == "openai_chat" else ("stream", "status-400", "oauth"):
            body = request_body(protocol, model)
            body["system" if protocol == "anthropic_messages" else "prompt_cache_key"] = prompt
            scene.ask("POST", path_of(protocol, model), body, **own)
            scene.ask("POST", path_of(protocol, model), {**body, "stream": True})
            scene.admin("POST", "/channels/1/reset")
            scene.admin("POST", "/channels/3/reset")
    for path in ("/v1/embeddings", "/v1/messages/count_tokens", "/v1/responses/input_tokens"):
        for model in models:
            scene.ask("POST", path, {"model": model, "input": prompt, "messages": []})
    wrong = scene.keys["wrong"]
    for path in ("/v1/models", "/v1beta/models", "/api/tags", "/nowhere", "/v1/chat/completions"):
        scene.ask("GET", path)
        scene.ask("GET", path, key="wrong")
        scene.ask("POST", f"{path}?key={wrong}", b"{", key=None)
        scene.ask("GET", path, key=None, x_api_key=wrong, cookie=f"session={wrong}")
    keyed = request_body("openai_chat", "status-400")
    for _ in range(2):
        scene.ask("POST", PATHS["openai_chat"], keyed, "own", idempotency_key="once")


def _administer(scene: Scene) -> None:
    for path in ("/health", "/ready", "/status", "/", "/metrics"):
        for key in ("metrics", "virtual", "admin", None):
            scene.ask("GET", path, key=key)
    document = scene.admin("GET", "/openapi.json").json
    newest = scene.admin("GET", "/requests").json["requests"]
    for path, verbs in document["paths"].items():
        if "get" in verbs and not path.endswith("{request_id}"):
            for number in ("1", "3"):
                filled = path.replace("{", "\0").split("\0")
                plain = filled[0] + "".join(number + part.partition("}")[2] for part in filled[1:])
                scene.ask("GET", plain, key="admin")
                scene.ask("GET", plain, key="wrong")
    for one in newest[:20]:  # where alone the prompt may be
        reply = ask(
            scene.gateway,
            "GET",
            f"/admin/api/requests/{one['id']}",
            None,
            {"authorization": f"Bearer {scene.keys['admin']}"},
        )
        scene.gather("transcripts", reply.body)
    for number in range(1, 5):
        scene.admin("POST", f"/channels/{number}/test", {})
    scene.admin("PATCH", "/channels/1", {"api_key": scene.canaries.plant("second api key")})
    scene.admin("PATCH", "/settings", {"log_level": "debug"})


def _print_everything(scene: Scene) -> None:
    scene.run("--help")
    for words in (
        ("channels", "list"),
        ("channels", "list", "--json"),
        *(("channels", "show", name) for name in ("echo", "proxied", "oauth", "vertex")),
        *(("channels", "show", name, "--json") for name in ("echo", "proxied", "oauth", "vertex")),
        ("keys", "list", "--json"),
        ("config", "export"),
        ("config", "get"),
        ("audit", "--json"),
        ("requests", "--json"),
        ("models",),
        ("doctor",),
        ("secrets", "check"),
        ("channels", "test", "oauth"),
    ):
        scene.run(*words)


def leaks(scene: Scene, but: Mapping[str, frozenset[str]] = {}) -> dict[str, set[str]]:
    """Where which canaries were found."""
    found = {
        where: scene.canaries.found(text, but=but.get(where, frozenset()))
        for where, text in scene.gathered.items()
    }
    return {where: names for where, names in found.items() if names}


def test_nothing_that_the_gateway_says_holds_a_secret(scene: Scene) -> None:
    assert len(scene.gathered) > 60
    assert leaks(scene, {"transcripts": PROMPT}) == {}


def test_nothing_on_the_disk_holds_a_secret(scene: Scene) -> None:
    folder: Path = scene.gateway.folder / "data"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "dragoman.db" for path in files)
    found = {
        str(path.relative_to(folder)): scene.canaries.found(path.read_bytes()) for path in files
    }
    assert {name: names for name, names in found.items() if names} == {}
    with contextlib.closing(sqlite3.connect(folder / "dragoman.db")) as database:
        dump = "\n".join(database.iterdump())
    assert "echo" in dump
    assert scene.canaries.found(dump) == set()


def test_a_database_of_ones_own_is_named_without_its_password(tmp_path: Path) -> None:
    canaries = Canaries()
    password = canaries.plant("Options.database_url", "pw-")[:19]
    url = f"postgresql://user:{password}@127.0.0.1:{free_port()}/nothing"
    for words in (("serve", "--database-url", url), ("doctor",), ("secrets", "check")):
        done = subprocess.run(
            [sys.executable, "-m", "dragoman", *words, "--data-dir", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "DRAGOMAN_DATABASE_URL": url},
        )
        assert done.returncode != 0, done.stdout
        assert canaries.found(done.stdout + done.stderr) == set()


def test_a_shared_proxy_and_a_providers_variable_are_not_shown() -> None:
    canaries = Canaries()
    password = canaries.plant("Environment.proxy", "pw-")[:19]
    environ = {
        "USE_PROXY": "true",
        "PROXY_URL": f"http://user:{password}@127.0.0.1:{free_port()}",
        "OPENAI_API_KEY": canaries.plant("a provider's variable"),
        "API_KEY": canaries.plant("Environment.key"),
        "DRAGOMAN_LOG_LEVEL": "debug",
    }
    with Gateway(None, environ=environ) as gateway:
        data = {"DRAGOMAN_DATA_DIR": str(gateway.folder / "data")}
        scene = Scene(gateway, canaries, {**environ, **data}, {"virtual": environ["API_KEY"]})
        assert scene.ask("POST", PATHS["openai_chat"], request_body("openai_chat", "gpt-4o")).status
        for words in (
            ("doctor",),
            ("channels", "list"),
            ("channels", "test", "openai"),
            ("models",),
        ):
            scene.run(*words)
        scene.gather("logs", gateway.logs())
        assert leaks(scene) == {}


def test_what_carries_a_secret_does_not_show_it_in_a_traceback() -> None:
    canaries = Canaries()
    plant = canaries.plant

    def secret(name: str) -> Secret:
        return Secret(plant(name))

    entry = read_channel(
        {
            "name": "one",
            "type": "openai",
            "api_key": plant("api_key"),
            "api_keys": [plant("api_keys")],
            "headers": {"x-secret": plant("headers")},
            "proxy_url": f"http://user:{plant('proxy_url')[:26]}@127.0.0.1:1",
            "oauth": {"token_url": "https://x.example/token", "client_secret": plant("oauth")},
        }
    )
    carriers: list[object] = [
        entry,
        resolve(entry, load_catalog(None)),
        Token(id=1, name="one", key=secret("token")),
        Environment(
            proxy=secret("proxy"),
            key=secret("key"),
            admin_key=secret("admin"),
            metrics_token=secret("metrics"),
        ),
        Options(environ={"OPENAI_API_KEY": plant("environ")}, database_url=secret("database")),
        StoredChannel(id=1, name="one", document={}, secrets={"api_key": plant("stored")}),
        ServiceAccount(
            **{
                name: secret(name) if name == "private_key" else name
                for name in ServiceAccount.__struct_fields__
            }
        ),
    ]
    for carrier in carriers:
        for text in (repr(carrier), str(carrier), f"{carrier}", repr([carrier])):
            assert canaries.found(text) == set(), type(carrier)
        with contextlib.suppress(TypeError):  # most refuse
            assert canaries.found(msgspec.json.encode(carrier)) <= {"stored"}, type(carrier)
        assert canaries.found(_traceback(carrier)) == set(), type(carrier)


def _traceback(carrier: object) -> str:
    """What a failure with the carrier at hand says, its variables included."""
    held = [carrier]
    try:
        raise ValueError(held)
    except ValueError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
