"""The documented ``config.json`` with every field at another value than usual: each is in force, and
each comes back as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.config.export import export
from dragoman.config.load import read
from dragoman.config.schema import Settings
from dragoman.runtime import Runtime
from dragoman.runtime.administration import Administrator
from tests.config.support import CATALOG, SAMPLE
from tests.runtime.support import ALICE, Home

KEY = "sk-gw-" + "0ther" * 9
OTHER: dict[str, Any] = {
    "settings": {
        "host": "127.0.0.1",
        "port": 4711,
        "require_auth": False,
        "enable_fallback": False,
        "enable_cors": False,
        "high_availability_mode": True,
        "auto_start": True,
    },
    "channels": [
        {
            "id": 7,
            "name": "Other",
            "type": "custom",
            "base_url": "https://other.example/v1",
            "api_key": "sk-other",
            "models": ["a", "b"],
            "enabled": False,
            "priority": 9,
            "timeout": 7.0,
            "max_retries": 5,
            "proxy_enabled": True,
            "proxy_url": "socks5://u:p@proxy:1080",
            "max_concurrency": 12,
            "min_concurrency": 2,
            "max_adaptive_concurrency": 44,
            "response_time_low": 0.5,
            "response_time_high": 9.0,
            "error_rate_threshold": 0.3,
            "increase_step": 4,
            "decrease_factor": 0.6,
            "stats_window_size": 55,
            "cooldown_seconds": 2.5,
            "protocol": "openai_chat",  # ours: which protocol a custom channel speaks
        }
    ],
    "tokens": [
        {
            "id": 3,
            "name": "Other Token",
            "key": KEY,
            "enabled": False,
            "allowed_channels": ["Other"],
            "allowed_models": ["a"],
        }
    ],
}
# What a channel has under another name, or as another type, than the file.
_ELSEWHERE = {"type", "base_url", "api_key", "models", "proxy_enabled", "proxy_url", "protocol"}


def test_every_documented_field_has_another_value_here() -> None:
    assert OTHER["settings"].keys() == SAMPLE["settings"].keys()
    for section in ("channels", "tokens"):
        assert OTHER[section][0].keys() - {"protocol"} == SAMPLE[section][0].keys()
        same = [n for n, v in SAMPLE[section][0].items() if OTHER[section][0][n] == v]
        assert not same
    assert not [n for n, v in SAMPLE["settings"].items() if OTHER["settings"][n] == v]


@pytest.mark.row("S2-69", "S2-70", "S2-71")
def test_every_documented_field_is_in_force(file: Home) -> None:
    file.write(OTHER)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        settings = runtime.state.settings
        assert settings == Settings(**OTHER["settings"])
        (written,) = OTHER["channels"]
        (channel,) = runtime.state.channels
        for name, value in written.items():
            if name not in _ELSEWHERE:
                assert getattr(channel, name) == value, name
        assert channel.provider == "custom"
        (endpoint,) = channel.endpoints
        assert (endpoint.protocol, endpoint.base_url) == ("openai_chat", written["base_url"])
        assert [one.reveal() for one in channel.credentials] == [written["api_key"]]
        assert channel.models == ("a", "b")
        assert channel.proxy_url is not None
        assert channel.proxy_url.reveal() == written["proxy_url"]
        (key,) = runtime.assembly.keys
        assert (key.id, key.name, key.enabled) == ("file-3", "Other Token", False)
        await admin.change_key("file-3", {"enabled": True}, ALICE)
        principal = runtime.state.keyring.authenticate(KEY, 1.0)
        assert principal.may_use_channel(7, "Other")
        assert not principal.may_use_channel(1, "OpenAI")
        assert principal.may_use_model("a")
        assert not principal.may_use_model("b")

    file.run(work)


@pytest.mark.row("S2-69", "S2-70", "S2-71")
@pytest.mark.parametrize("document", [SAMPLE, OTHER], ids=["sample", "other"])
def test_every_documented_field_comes_back(home: Home, document: dict[str, Any]) -> None:
    """From a file as it was; from the database with its own ids, and keys as digests."""
    if home.kind == "file":
        home.write(document)

    async def work(runtime: Runtime, admin: Administrator) -> None:
        if home.kind == "database":
            content = json.dumps(document).encode()
            configuration = read(content, CATALOG, source="config.json")
            await admin.import_configuration(configuration, "config.json", ALICE)
        configuration, _ = runtime.as_configuration()
        found = json.loads(export(configuration, with_secrets=True))
        assert list(found) == list(document)
        for name, value in document["settings"].items():
            assert found["settings"][name] == value
        (channel,), (token,) = found["channels"], found["tokens"]
        expected_channel, expected_token = document["channels"][0], document["tokens"][0]
        if home.kind == "database":
            expected_channel = {**expected_channel, "id": 1}
            expected_token = {**expected_token, "id": 1, "key": "***"}
        assert channel == expected_channel
        assert token == expected_token
        assert [n for n in channel if n in expected_channel] == list(expected_channel), "order"

    home.run(work)
