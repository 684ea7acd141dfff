"""Changes that are written into the configuration file."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from dragoman.runtime import Runtime, disk
from dragoman.runtime.administration import Administrator
from dragoman.server.admin.contract import Storage
from tests.config.support import SAMPLE, TOKEN_KEY, bent, sample
from tests.runtime.support import ALICE, Home, entries, names

BY_HAND = """{
  "settings": {"port": 3000, "host": "::1"},
  "channels": [
    {"name": "first", "type": "ollama", "timeout": 60.0, "models": "a, b"},
    {
      "type": "openai", "name": "second",   "api_key": "sk-two"
    }
  ]
}
"""


def test_only_what_was_changed_looks_different(file: Home) -> None:
    file.config.write_text(BY_HAND)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.change_channel(1, {"timeout": 5}, ALICE)
        assert file.config.read_text() == BY_HAND.replace("60.0", "5")
        await admin.change_settings({"port": None}, ALICE)
        await admin.change_channel(2, {"api_key": "sk-new", "models": ["x"]}, ALICE)
        await admin.remove_channel(1, ALICE)
        assert file.config.read_text() == BY_HAND.replace('"port": 3000, ', "").replace(
            '    {"name": "first", "type": "ollama", "timeout": 60.0, "models": "a, b"},\n', ""
        ).replace('"sk-two"', '"sk-new",   "models": ["x"],   "id": 2')

    file.run(work)


@pytest.mark.row("S2-70")
def test_a_new_channel_is_written_in_the_known_schema_behind_the_others(file: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.add_channel({"name": "local", "type": "ollama"}, ALICE)
        first, second = file.read()["channels"]
        assert first == SAMPLE["channels"][0]
        assert list(second) == [name for name in first if name != "timeout"]
        assert (second["id"], second["name"]) == (2, "local")
        await admin.add_channel({"name": "more", "type": "ollama", "weight": 2}, ALICE)
        assert [channel["id"] for channel in file.read()["channels"]] == [1, 2, 3]
        assert file.read()["channels"][2]["weight"] == 2
        assert file.read()["settings"] == SAMPLE["settings"]
        assert file.read()["tokens"] == SAMPLE["tokens"]

    file.run(work)


def test_ids_stay_when_an_entry_comes_or_goes(file: Home) -> None:
    kinds = [{"name": name, "type": "ollama"} for name in ("a", "b", "c")]
    tokens = [{"name": name, "key": f"sk-gw-0123-{name}"} for name in ("x", "y", "z")]
    file.write({"channels": kinds, "tokens": tokens})

    async def work(runtime: Runtime, admin: Administrator) -> None:
        def ids() -> dict[str, int]:
            return {channel.name: channel.id for channel in runtime.state.channels}

        before = ids()
        made = await admin.add_channel({"name": "d", "type": "ollama"}, ALICE)
        assert ids() == {**before, "d": made["id"]}
        await admin.remove_channel(before["a"], ALICE)
        assert ids() == {"b": before["b"], "c": before["c"], "d": made["id"]}
        numbers = {key.name: key.id for key in runtime.keys}
        await admin.revoke_key(numbers.pop("x"), ALICE)
        assert {key.name: key.id for key in runtime.keys} == numbers

    file.run(work)


def test_an_empty_file_is_filled(file: Home) -> None:
    file.config.write_text("{}")

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.change_settings({"queue_limit": 5}, ALICE)
        await admin.add_channel({"name": "local", "type": "ollama"}, ALICE)
        assert names(runtime) == ["local"]

    file.run(work)
    assert list(file.read()) == ["settings", "channels"]


def test_the_version_before_is_kept_beside_with_the_same_permissions(file: Home) -> None:
    before = file.config.read_bytes()
    file.config.chmod(0o640)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.change_channel(1, {"priority": 5}, ALICE)
        between = file.config.read_bytes()
        backup = file.config.with_name("config.json.bak")
        assert backup.read_bytes() == before
        await admin.change_channel(1, {"priority": 6}, ALICE)
        assert backup.read_bytes() == between
        for path in (file.config, backup):
            assert stat.S_IMODE(path.stat().st_mode) == 0o640

    file.run(work)
    left = {path.name for path in file.config.parent.iterdir()}
    assert left == {"config.json", "config.json.bak", "data"}


def test_a_link_stays_a_link(file: Home) -> None:
    real = file.config.with_name("real.json")
    file.config.rename(real)
    file.config.symlink_to(real)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.change_channel(1, {"priority": 5}, ALICE)
        assert runtime.state.channels[0].priority == 5

    file.run(work)
    assert file.config.is_symlink()
    assert json.loads(real.read_text())["channels"][0]["priority"] == 5
    assert real.with_name("real.json.bak").exists()


def test_an_edit_by_hand_since_the_last_look_is_kept(file: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        file.write(bent("channels.0.models", ["by-hand"]))
        await admin.change_channel(1, {"priority": 5}, ALICE)
        (channel,) = file.read()["channels"]
        assert (channel["models"], channel["priority"]) == (["by-hand"], 5)
        assert runtime.state.channels[0].models == ("by-hand",)

    file.run(work)


def test_an_edit_by_hand_in_the_very_moment_is_kept(
    file: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        write = runtime.store.write

        async def interrupted(step: Any) -> Any:
            done = await write(step)  # between the audit's entry and the new file
            file.write(bent("channels.0.models", ["by-hand"]))
            return done

        monkeypatch.setattr(runtime.store, "write", interrupted)
        await admin.change_channel(1, {"priority": 5}, ALICE)
        (channel,) = file.read()["channels"]
        assert (channel["models"], channel["priority"]) == (["by-hand"], 5)
        assert len(await entries(admin)) == 1

    file.run(work)


def test_a_file_that_was_spoilt_by_hand_is_left_alone(file: Home) -> None:
    async def work(runtime: Runtime, admin: Administrator) -> None:
        for spoilt in (b"{", json.dumps(bent("channels.0.timeout", -1)).encode()):
            file.config.write_bytes(spoilt)
            with pytest.raises(Storage, match="mend the file") as caught:
                await admin.change_channel(1, {"priority": 5}, ALICE)
            assert "config.json has a problem" in str(caught.value)
            assert file.config.read_bytes() == spoilt
            assert runtime.state.channels[0].priority == 1
        file.config.unlink()
        with pytest.raises(Storage, match="No such file"):
            await admin.change_channel(1, {"priority": 5}, ALICE)
        assert await entries(admin) == []

    file.run(work)


def test_a_file_that_is_not_to_be_written_is_not(file: Home) -> None:
    before = file.config.read_bytes()
    file.config.chmod(0o444)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        with pytest.raises(Storage, match=r"config\.json cannot be changed: it is not writable"):
            await admin.change_settings({"queue_limit": 5}, ALICE)
        assert await entries(admin) == []

    file.run(work)
    assert file.config.read_bytes() == before
    assert not file.config.with_name("config.json.bak").exists()


def test_changes_of_two_processes_do_not_lose_each_other(file: Home) -> None:
    async def main() -> None:
        async with file.opened() as (_, one), file.opened() as (_, two):
            made = [
                admin.add_channel({"name": f"{place}-{number}", "type": "ollama"}, ALICE)
                for number in range(4)
                for place, admin in (("one", one), ("two", two))
            ]
            await asyncio.gather(*made)
            assert len(await entries(one)) == 8
        found = [channel["name"] for channel in file.read()["channels"]]
        assert len(found) == 9
        assert set(found) == {"OpenAI", *(f"{p}-{n}" for p in ("one", "two") for n in range(4))}

    asyncio.run(main())


def test_a_lock_that_is_held_too_long_is_told(file: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.runtime.file._LOCK_SECONDS", 0.05)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        descriptor = disk.lock(runtime.data_dir / "config.lock", 1)
        with pytest.raises(Storage, match="another process"):
            await admin.change_channel(1, {"priority": 5}, ALICE)
        os.close(descriptor)
        await admin.change_channel(1, {"priority": 5}, ALICE)

    file.run(work)


def test_what_fails_behind_the_entry_leaves_a_second_one_and_nothing_else(
    file: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(bent("tokens.0.allowed_channels", ["OpenAI"]))
    before = file.config.read_bytes()
    swap = disk.swap

    def full(staged: Path, path: Path) -> None:
        if path == file.config:
            raise OSError(28, "No space left on device")
        swap(staged, path)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        text, _ = await admin.add_key({"name": "a", "allowed_channels": ["OpenAI"]}, ALICE)
        monkeypatch.setattr(disk, "swap", full)
        with pytest.raises(Storage, match="No space left"):
            await admin.change_channel(1, {"name": "New"}, ALICE)
        monkeypatch.setattr(disk, "swap", swap)
        assert file.config.read_bytes() == before
        await runtime.reload()
        assert runtime.state.keyring.authenticate(text, 1.0).allowed_channels == ("OpenAI",)
        actions = [entry["action"] for entry in await entries(admin)]
        assert actions == ["key.add", "channel.change", "channel.change.failed"]
        assert not [path for path in file.config.parent.iterdir() if path.name.startswith(".")]

    file.run(work)


def test_a_file_from_windows_stays_one(file: Home) -> None:
    text = json.dumps(sample(), indent=2).replace("\n", "\r\n")
    file.config.write_bytes(b"\xef\xbb\xbf" + text.encode())

    async def work(runtime: Runtime, admin: Administrator) -> None:
        await admin.change_channel(1, {"priority": 5, "tags": ["é"]}, ALICE)
        await admin.add_channel({"name": "local", "type": "ollama"}, ALICE)
        assert names(runtime) == ["OpenAI", "local"]

    file.run(work)
    content = file.config.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\n") == content.count(b"\r\n") > 50
    assert "é".encode() in content
    assert TOKEN_KEY.encode() in content
