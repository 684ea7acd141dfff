"""Every source together, kept open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dragoman.canonical.errors import Unauthorized
from dragoman.config.problems import ConfigurationRefused
from dragoman.config.schema import ChannelEntry
from dragoman.config.stored import stored_channel
from dragoman.runtime import GatewayState, Options, Runtime
from dragoman.store.errors import SecretKeyError, StoreError
from dragoman.store.store import Transaction
from tests.config.support import CANARY, TOKEN_KEY, bent, sample

NOW = 2_000_000_000.0


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "work").mkdir()
    return Options(data_dir=tmp_path / "data", directory=tmp_path / "work")


def run(options: Options, work: Callable[[Runtime], Awaitable[None]], **changes: Any) -> None:
    async def main() -> None:
        runtime = await Runtime.open(msgspec.structs.replace(options, **changes))
        try:
            await work(runtime)
        finally:
            await runtime.close()

    asyncio.run(main())


def write_config(options: Options, document: Any) -> Path:
    path = options.directory / "config.json"
    path.write_text(json.dumps(document))
    return path


def names(runtime: Runtime) -> dict[str, str]:
    return {one.entry.name: one.source for one in runtime.assembly.channels}


def test_a_first_start_makes_a_private_home_and_one_key(options: Options) -> None:
    async def first(runtime: Runtime) -> None:
        text = await runtime.first_key()
        assert text is not None
        assert runtime.state.keyring.authenticate(text, NOW).name == "default"
        assert await runtime.first_key() is None

    async def second(runtime: Runtime) -> None:
        assert await runtime.first_key() is None
        assert len(runtime.state.keyring) == 1

    run(options, first)
    run(options, second)
    assert options.data_dir is not None
    assert stat.S_IMODE(options.data_dir.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "changes",
    [
        {"environ": {"API_KEY": "my-own-key-4711"}},
        {"environ": {"DRAGOMAN_REQUIRE_AUTH": "False"}},
        {"demo": True},
    ],
)
def test_no_first_key_where_none_is_needed(options: Options, changes: dict[str, Any]) -> None:
    async def work(runtime: Runtime) -> None:
        assert await runtime.first_key() is None
        assert await runtime.store.keys() == []

    run(options, work, **changes)


def test_the_demonstration_has_its_own_channel_and_key(options: Options) -> None:
    async def work(runtime: Runtime) -> None:
        assert runtime.demo_key is not None
        (channel,) = runtime.state.channels
        assert channel.serves("echo")
        assert not channel.serves("gpt-4o")
        principal = runtime.state.keyring.authenticate(runtime.demo_key, NOW)
        assert principal.may_use_channel(channel.id, channel.name)
        assert not principal.may_use_channel(1, "openai")
        assert await runtime.store.keys() == []

    run(options, work, demo=True)


@pytest.mark.row("S2-69")
def test_flags_over_environment_over_dotenv_over_file_over_defaults(options: Options) -> None:
    path = write_config(options, {"settings": {"port": 1, "host": "file", "default_timeout": 9}})
    (options.directory / ".env").write_text("PORT=2\nLISTEN=dotenv\nDRAGOMAN_LOG_LEVEL=debug\n")

    async def work(runtime: Runtime) -> None:
        settings = runtime.state.settings
        assert settings.default_timeout == 9.0
        assert settings.log_level == "debug"
        assert settings.host == "environment"
        assert settings.port == 4
        assert settings.enable_cors is True

    run(
        options,
        work,
        config=path,
        environ={"LISTEN": "environment", "PORT": "3"},
        port=4,
    )


def test_the_environment_can_name_file_and_directory(options: Options, tmp_path: Path) -> None:
    path = write_config(options, sample())

    async def work(runtime: Runtime) -> None:
        assert names(runtime) == {"OpenAI": str(path)}
        assert runtime.data_dir == tmp_path / "elsewhere"

    environ = {"DRAGOMAN_CONFIG": str(path), "DRAGOMAN_DATA_DIR": str(tmp_path / "elsewhere")}
    run(options, work, data_dir=None, environ=environ)


@pytest.mark.row("S2-62", "S2-64")
def test_a_file_brings_channels_and_tokens(options: Options) -> None:
    document = bent("tokens.0.allowed_channels", [1])
    document["tokens"].append({"name": "off", "key": "0ff-key-0815", "enabled": False})
    path = write_config(options, document)

    async def work(runtime: Runtime) -> None:
        principal = runtime.state.keyring.authenticate(TOKEN_KEY, NOW)
        assert principal.may_use_channel(1, "anything")
        assert not principal.may_use_channel(2, "anything")
        with pytest.raises(Unauthorized, match="disabled"):
            runtime.state.keyring.authenticate("0ff-key-0815", NOW)
        assert names(runtime) == {"OpenAI": str(path)}

    # Beside a file, providers' variables make no channels.
    run(options, work, config=path, environ={"ANTHROPIC_API_KEY": "sk-ant"})


def test_environment_and_database_stand_side_by_side(options: Options) -> None:
    async def add(runtime: Runtime) -> None:
        def work(step: Transaction) -> None:
            for name in ("openai", "second"):
                entry = ChannelEntry(id=0, name=name, type="ollama")
                step.add_channel(stored_channel(entry), 1.0)

        await runtime.store.write(work)

    async def work(runtime: Runtime) -> None:
        assert names(runtime) == {
            "openai": "database",
            "second": "database",
            "openai-env": "environment (OPENAI_API_KEY)",
            "groq": "environment (GROQ_API_KEY)",
        }
        ids = [channel.id for channel in runtime.state.channels]
        assert len(set(ids)) == 4

    run(options, add)
    run(options, work, environ={"OPENAI_API_KEY": "sk-o", "GROQ_API_KEY": "gsk"})


def test_channels_in_the_database_are_mentioned_beside_a_file(options: Options) -> None:
    async def add(runtime: Runtime) -> None:
        entry = ChannelEntry(id=0, name="a", type="ollama")
        await runtime.store.write(lambda step: step.add_channel(stored_channel(entry), 1.0))

    async def work(runtime: Runtime) -> None:
        assert any("1 channels in the database" in w for w in runtime.assembly.warnings)

    run(options, add)
    run(options, work, config=write_config(options, sample()))


def test_what_a_person_should_know_is_warned_of(options: Options) -> None:
    path = write_config(
        options,
        {"settings": {"require_auth": False}, "channels": [{"name": "a", "type": "anthropic"}]},
    )

    async def work(runtime: Runtime) -> None:
        text = " ".join(runtime.assembly.warnings)
        assert "require_auth is off" in text
        assert "'a' has no api_key" in text
        assert "https://" in text

    async def quiet(runtime: Runtime) -> None:
        assert not any("require_auth" in w for w in runtime.assembly.warnings)

    run(options, work, config=path)
    run(options, quiet, config=path, host="127.0.0.1")


def test_a_variable_meant_for_clients_makes_no_channel(options: Options) -> None:
    async def work(runtime: Runtime) -> None:
        assert runtime.state.channels == ()
        assert any("own address" in warning for warning in runtime.assembly.warnings)

    run(options, work, environ={"OPENAI_BASE_URL": "http://localhost:4711/v1", "PORT": "4711"})


def test_the_shared_proxy_reaches_every_channel_without_its_own(options: Options) -> None:
    document = sample()
    document["channels"].append({"name": "own", "type": "ollama", "proxy_url": "http://own:1"})

    async def work(runtime: Runtime) -> None:
        proxies = [c.proxy_url.reveal() for c in runtime.state.channels if c.proxy_url]
        assert proxies == ["socks5://u:p@shared:1", "http://own:1"]

    environ = {"USE_PROXY": "True", "PROXY_URL": "socks5://u:p@shared:1"}
    run(options, work, config=write_config(options, document), environ=environ)


@contextlib.asynccontextmanager
async def watching(runtime: Runtime) -> Any:
    """The states that a watcher reports, in a queue."""
    states: asyncio.Queue[GatewayState] = asyncio.Queue()

    async def changed(state: GatewayState) -> None:
        await states.put(state)

    watcher = asyncio.ensure_future(runtime.watch(changed, every=0.02))
    try:
        yield states
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


def test_changes_by_another_process_arrive(options: Options) -> None:
    async def work(runtime: Runtime) -> None:
        command = await Runtime.open(options)
        async with watching(runtime) as states:
            text, key = await command.create_key("laptop")
            state = await asyncio.wait_for(states.get(), 5)
            assert state.keyring.authenticate(text, NOW).name == "laptop"
            await command.store.write(lambda step: step.revoke_key(key.id, NOW))
            state = await asyncio.wait_for(states.get(), 5)
            with pytest.raises(Unauthorized, match="revoked"):
                state.keyring.authenticate(text, NOW)
            entry = ChannelEntry(id=0, name="new", type="ollama")
            await command.store.write(lambda step: step.add_channel(stored_channel(entry), 1.0))
            state = await asyncio.wait_for(states.get(), 5)
            assert [channel.name for channel in state.channels] == ["new"]
        await command.close()

    run(options, work)


def test_a_changed_file_arrives_and_a_spoilt_one_is_said_once(
    options: Options, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_config(options, sample())

    async def work(runtime: Runtime) -> None:
        async with watching(runtime) as states:
            with caplog.at_level(logging.ERROR, "dragoman"):
                path.write_text("{")
                await asyncio.sleep(0.3)
            assert states.empty()
            assert runtime.state.channels[0].name == "OpenAI"
            assert len(caplog.records) == 1
            assert "not valid JSON" in caplog.text
            write_config(options, bent("channels.0.name", "Renamed"))
            state = await asyncio.wait_for(states.get(), 5)
            assert state.channels[0].name == "Renamed"

    run(options, work, config=path)


def test_use_of_a_key_is_written_down(options: Options) -> None:
    async def use(runtime: Runtime) -> None:
        _, key = await runtime.create_key("laptop")
        runtime.note_use(key.id, 123.0)
        runtime.note_use("environment", 124.0)

    async def read(runtime: Runtime) -> None:
        (key,) = await runtime.store.keys()
        assert key.last_used_at == 123.0

    run(options, use)
    run(options, read)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": Path("/nowhere/config.json")}, "cannot be read"),
        ({"environ": {"PORT": "x"}}, "PORT"),
        ({"port": 0}, "--port"),
        ({"host": "a b"}, "--host"),
        ({"log_level": "loud"}, "--log-level"),
    ],
)
def test_a_start_is_refused_in_words(options: Options, changes: Any, words: str) -> None:
    with pytest.raises(ConfigurationRefused, match=words):
        asyncio.run(Runtime.open(msgspec.structs.replace(options, **changes)))


def test_another_or_a_missing_secret_key_stops_the_start(options: Options) -> None:
    async def nothing(_: Runtime) -> None:
        """Opening is enough."""

    run(options, nothing)
    assert options.data_dir is not None
    with pytest.raises(SecretKeyError, match="another secret key"):
        run(options, nothing, environ={"DRAGOMAN_SECRET_KEY": "a long enough passphrase"})
    (options.data_dir / "secret.key").unlink()
    with pytest.raises(SecretKeyError, match="missing"):
        run(options, nothing)


def test_a_data_directory_that_cannot_be_is_refused(options: Options, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--data-dir"):
        asyncio.run(
            Runtime.open(msgspec.structs.replace(options, data_dir=tmp_path / "file" / "x"))
        )


def test_nothing_that_is_printed_holds_a_secret(
    options: Options, caplog: pytest.LogCaptureFixture
) -> None:
    document = bent("channels.0.api_key", CANARY)
    document["channels"][0] |= {"headers": {"x-a": CANARY}, "proxy_url": f"http://{CANARY}@p:1"}
    document["tokens"][0]["key"] = CANARY
    environ = {"API_KEY": CANARY, "GROQ_API_KEY": CANARY}

    async def work(runtime: Runtime) -> None:
        with caplog.at_level(logging.DEBUG):
            runtime.log_sources()
        assert "channel OpenAI from" in caplog.text
        assert CANARY not in caplog.text
        assert CANARY not in repr(runtime.assembly)
        assert CANARY not in repr(runtime._options)

    run(options, work, config=write_config(options, document), environ=environ)
