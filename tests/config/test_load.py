"""What a configuration file may say, and how it is told what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.canonical.secret import Secret
from dragoman.config.load import read_file
from dragoman.config.problems import ConfigurationRefused
from dragoman.config.schema import CHANNEL, SETTINGS, TOKEN, ChannelEntry, Settings, Token
from tests.config.support import CANARY, CATALOG, TOKEN_KEY, bent, parse, problems, sample


@pytest.mark.row("S2-69", "S2-70", "S2-71")
def test_the_documented_sample_means_what_it_says() -> None:
    configuration = parse(sample())
    assert configuration.settings == Settings()
    (channel,) = configuration.channels
    assert channel == ChannelEntry(
        id=1,
        name="OpenAI",
        type="openai",
        base_url="https://api.openai.com/v1",
        api_key=Secret("sk-..."),
        models=("gpt-4o", "gpt-4o-mini"),
        timeout=60.0,
        max_adaptive_concurrency=100,
    )
    assert configuration.tokens == (Token(id=1, name="My Token", key=Secret(TOKEN_KEY)),)


def test_what_is_left_out_has_the_documented_default() -> None:
    configuration = parse({"channels": [{"name": "a", "type": "ollama"}]})
    assert configuration.settings == parse({}).settings == Settings()
    (channel,) = configuration.channels
    assert channel == ChannelEntry(id=1, name="a", type="ollama")
    assert (channel.min_concurrency, channel.max_adaptive_concurrency) == (1, 10)
    assert (channel.response_time_low, channel.response_time_high) == (1.0, 5.0)
    assert (channel.error_rate_threshold, channel.increase_step) == (0.1, 2)
    assert (channel.decrease_factor, channel.stats_window_size) == (0.8, 100)
    assert (channel.cooldown_seconds, channel.max_concurrency) == (5.0, None)


@pytest.mark.row("S2-37")
@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("gpt-4o, gpt-4o-mini,,o3 ", ("gpt-4o", "gpt-4o-mini", "o3")),
        ("", ()),
        ([], ()),
        (["b", "a", "b"], ("b", "a")),
        (["meta-llama/Llama-3:free, fast"], ("meta-llama/Llama-3:free, fast",)),
    ],
)
def test_models_are_a_list_or_text_with_commas(models: Any, expected: tuple[str, ...]) -> None:
    assert parse(bent("channels.0.models", models)).channels[0].models == expected


def test_small_kindnesses() -> None:
    assert parse(bent("channels.0.base_url", "http://x:1/v1/")).channels[0].base_url == (
        "http://x:1/v1"
    )
    assert parse(bent("channels.0.max_concurrency", 0)).channels[0].max_concurrency is None
    assert parse(bent("settings.log_level", "WARNING")).settings.log_level == "warning"
    assert parse(bent("tokens.0.allowed_channels", [1, "OpenAI"])).tokens[0].allowed_channels == (
        "1",
        "OpenAI",
    )
    expires = parse(bent("tokens.0.expires_at", "2027-01-31")).tokens[0].expires_at
    assert expires == 1801353600.0
    assert parse(b"\xef\xbb\xbf{}").channels == ()


def test_a_proxy_without_a_switch_is_used() -> None:
    document = bent("channels.0.proxy_url", "socks5://u:p@proxy:1080")
    assert parse(document).channels[0].proxy_enabled is False
    del document["channels"][0]["proxy_enabled"]
    assert parse(document).channels[0].proxy_enabled is True


def test_ids_left_out_are_the_next_free_ones() -> None:
    entries = [{"name": n, "type": "ollama"} for n in "abc"]
    entries[1]["id"] = 7
    assert [c.id for c in parse({"channels": entries}).channels] == [8, 7, 9]


BIG = 10**400
BAD_VALUES: list[tuple[str, Any, str]] = [
    ("settings.port", 0, "from 1 to 65535, not 0"),
    ("settings.port", 70000, "not 70000"),
    ("settings.port", "3000", "not text"),
    ("settings.port", True, "not true"),
    ("settings.port", 3000.5, "not 3000.5"),
    ("settings.port", None, "not null"),
    ("settings.port", BIG, "not finite"),
    ("settings.limits", {"concurrent_requests": 1_000_001}, "from 1 to 1000000, not 1000001"),
    ("settings.host", "", "host name"),
    ("settings.host", "http://x", "host name"),
    ("settings.host", 1, "host name"),
    ("settings.require_auth", "False", "true or false, not text"),
    ("settings.require_auth", 0, "true or false, not 0"),
    ("settings.enable_fallback", None, "not null"),
    ("settings.enable_cors", "yes", "true or false"),
    ("settings.high_availability_mode", [], "not a list"),
    ("settings.auto_start", {}, "not an object"),
    ("settings.log_level", "loud", "one of debug"),
    ("settings.default_timeout", 0, "above 0"),
    ("settings.default_timeout", -1, "above 0"),
    ("settings.cors_origins", "*", "must be a list"),
    ("settings.strategy", "random", "one of round_robin"),
    ("settings.strategies", ["gpt-*"], "must be an object"),
    ("settings.session_affinity", 1, "true or false"),
    ("settings.queue_limit", -1, "from 0"),
    ("settings.queue_seconds", "10", "not text"),
    ("settings.probe_seconds", -1, "from 0"),
    ("settings.model_list_seconds", None, "not null"),
    ("settings.request_log_limit", 1.5, "whole"),
    ("settings.request_log_days", 0, "above 0"),
    ("settings.idempotency_hours", -1, "0"),
    ("settings.log_prompts", "no", "true or false"),
    ("settings.allow_private_urls", "10.0.0.0/8", "must be a list"),
    ("settings.fetch_through_proxies", 1, "true or false"),
    ("settings.metrics", "everyone", "one of admin"),
    ("settings.gateway_usage", "yes", "true or false"),
    ("settings.unpriced", "free", "one of auto"),
    ("settings.unpriced_price", {"input": 1}, "is missing"),
    ("settings.hf_models", {"org/m": {"magic": {"model": "m"}}}, "Unsupported task type"),
    ("channels.0.id", 0, "from 1"),
    ("channels.0.id", "1", "not text"),
    ("channels.0.name", " ", "empty"),
    ("channels.0.name", "12", "id"),
    ("channels.0.name", "a\nb", "control"),
    ("channels.0.name", "x" * 201, "longer"),
    ("channels.0.type", "opneai", "did you mean 'openai'?"),
    ("channels.0.base_url", "ftp://x", "http:// or https://"),
    ("channels.0.base_url", "api.openai.com/v1", "must begin with"),
    ("channels.0.base_url", "https://", "no valid host"),
    ("channels.0.base_url", "https://u:p@x/v1", "user or password"),
    ("channels.0.base_url", "https://x/v1?a=b", "query"),
    ("channels.0.base_url", "https://x:99999/v1", "not a valid URL"),
    ("channels.0.base_url", "https://x y/v1", "spaces"),
    ("channels.0.base_url", "https://[::1/v1", "not a valid URL"),
    ("channels.0.base_url", 7, "must be a URL"),
    ("channels.0.api_key", "sk-a\nb", "control"),
    ("channels.0.api_key", "sk-ü", "ASCII"),
    ("channels.0.api_key", "***", "--with-secrets"),
    ("channels.0.api_key", 5, "text"),
    ("channels.0.api_keys", "sk-a", "list"),
    ("channels.0.models", 5, "list"),
    ("channels.0.enabled", 1, "true or false"),
    ("channels.0.priority", -1, "from 0"),
    ("channels.0.priority", 1.5, "whole"),
    ("channels.0.timeout", 0, "above 0"),
    ("channels.0.timeout", -3, "above 0"),
    ("channels.0.timeout", "60", "not text"),
    ("channels.0.timeout", True, "not true"),
    ("channels.0.max_retries", -1, "from 0"),
    ("channels.0.proxy_enabled", "True", "true or false"),
    ("channels.0.proxy_url", "ftp://p:1", "socks5"),
    ("channels.0.proxy_url", "***", "placeholder"),
    ("channels.0.max_concurrency", -1, "from 1"),
    ("channels.0.max_concurrency", False, "not false"),
    ("channels.0.min_concurrency", 0, "from 1"),
    ("channels.0.min_concurrency", 101, "max_adaptive_concurrency"),
    ("channels.0.max_adaptive_concurrency", 0, "from 1"),
    ("channels.0.response_time_low", 0, "above 0"),
    ("channels.0.response_time_low", 9, "response_time_high"),
    ("channels.0.response_time_high", -1, "above 0"),
    ("channels.0.error_rate_threshold", 1.1, "from 0 to 1"),
    ("channels.0.error_rate_threshold", -0.1, "from 0 to 1"),
    ("channels.0.increase_step", 0, "from 1"),
    ("channels.0.decrease_factor", 1, "below 1"),
    ("channels.0.decrease_factor", 0, "above 0"),
    ("channels.0.stats_window_size", 0, "from 1"),
    ("channels.0.cooldown_seconds", -1, "from 0"),
    ("channels.0.protocol", "openai_chta", "did you mean 'openai_chat'?"),
    ("channels.0.protocols", ["openai_chat"], "must be an object"),
    ("channels.0.aliases", [], "must be an object"),
    ("channels.0.headers", {"x-a": 1}, ""),
    ("channels.0.weight", 0, "from 1"),
    ("channels.0.tags", 3, "list"),
    ("channels.0.strict", "no", "true or false"),
    ("channels.0.drops", "seed", "list"),
    ("channels.0.quirks", [], "must be an object"),
    ("channels.0.quirks", {"a": "\ud800"}, "surrogate"),
    ("channels.0.prices", {"gpt-4o": 3}, "must be an object"),
    ("channels.0.oauth", {"token_url": "http://auth.example/token"}, "https://"),
    ("tokens.0.id", -4, "from 1"),
    ("tokens.0.name", "", "empty"),
    ("tokens.0.key", "short", "shorter than 8"),
    ("tokens.0.key", "sk-gw-...", "placeholder"),
    ("tokens.0.key", "changeme", "everybody knows"),
    ("tokens.0.key", "***", "--with-secrets"),
    ("tokens.0.enabled", "yes", "true or false"),
    ("tokens.0.allowed_channels", "OpenAI", "list"),
    ("tokens.0.allowed_models", 1, "list"),
    ("tokens.0.strict", 1, "true or false"),
    ("tokens.0.expires_at", "soon", "2027-01-31"),
    ("tokens.0.admin", "yes", "true or false"),
    ("tokens.0.user", 3, "text"),
    ("tokens.0.user", "4711", "digits"),
    ("tokens.0.limits", {"requests_per_minute": -1}, "not -1"),
    ("tokens.0.limits", {"requests_per_day": 0.5}, "whole number from 1 to 1000000000000, not 0.5"),
    ("tokens.0.limits", {"tokens_per_hour": None}, "not null"),
    ("tokens.0.limits", {"tokens_per_hour": BIG}, "not finite"),
    ("tokens.0.limits", {"requests_per_minuet": 1}, "did you mean 'requests_per_minute'?"),
    ("tokens.0.limits", 60, "object"),
    ("tokens.0.budget", {"day": -0.01}, "must not be negative"),
    ("tokens.0.budget", {"month": BIG}, "more than any account can hold"),
    ("tokens.0.budget", {"month": "1e400"}, "more than any account can hold"),
    ("tokens.0.budget", {"total": None}, "amount in US dollars such as 12.50, not null"),
    ("tokens.0.budget", {"total": True}, "amount in US dollars such as 12.50, not true"),
    ("tokens.0.budget", {"total": "five"}, "not an amount of money"),
    ("tokens.0.budget", {"year": 5}, "known are day, month, total, week"),
    ("tokens.0.metadata", "x", "object"),
    ("tokens.0.metadata", {"x": BIG}, "finite"),
    ("tokens.0.metadata", {"x": "y" * 20_000}, "longer than 16384"),
]


@pytest.mark.parametrize(("path", "value", "words"), BAD_VALUES)
def test_each_bad_value_is_named_with_its_path(path: str, value: Any, words: str) -> None:
    found = problems(bent(path, value))
    (place, message), *others = found.items()
    assert not others
    # A wrong pair is reported at one of its two fields; a wrong item at the item.
    assert place.startswith(path) or "above" in message
    assert words in message


def test_every_field_of_the_schema_has_a_bad_value_above() -> None:
    tried = {path.replace(".0", "") for path, _, _ in BAD_VALUES}
    fields = {"settings": SETTINGS, "channels": CHANNEL, "tokens": TOKEN}
    every = {f"{section}.{name}" for section, names in fields.items() for name in names}
    assert every == tried


def test_items_are_named_by_their_place() -> None:
    document = bent("settings.cors_origins", ["https://ok", "nonsense", "https://x/path"])
    document["channels"][0]["headers"] = {"bad name": "a", "content-length": "3", "x": "a\nb"}
    document["channels"][0]["drops"] = ["seed", "temprature"]
    document["channels"][0]["quirks"] = {"a": {"b": [1, float("nan")]}}
    found = problems(document)
    assert "did you mean 'temperature'?" in found["channels.0.drops.1"]
    assert set(found) == {
        "settings.cors_origins.1",
        "settings.cors_origins.2",
        "channels.0.headers.bad name",
        "channels.0.headers.content-length",
        "channels.0.headers.x",
        "channels.0.drops.1",
        "channels.0.quirks.a.b.1",
    }


def test_everything_wrong_is_said_at_once() -> None:
    document = sample()
    document["settings"] |= {"prot": 1, "port": "x", "require_auth": "yes"}
    document["channels"].append({"typ": "openai"})
    document["channels"].append({"id": 1, "name": "openai", "type": "nonsense"})
    document["tokens"].append({**document["tokens"][0], "allowed_channels": ["OpenIA", 9]})
    document["chanels"] = []
    found = problems(document)
    assert "did you mean 'port'?" in found["settings.prot"]
    assert "did you mean 'channels'?" in found["chanels"]
    assert "did you mean 'type'?" in found["channels.1.typ"]
    assert found["channels.1.name"] == found["channels.1.type"] == "is missing"
    assert found["channels.2.id"] == "is the same as in channels.0"
    assert found["channels.2.name"] == "is the same as in channels.0"
    assert found["tokens.1.key"] == "is the same as in tokens.0"
    assert found["tokens.1.name"] == "is the same as in tokens.0"
    assert "did you mean 'openai'?" in found["tokens.1.allowed_channels.0"]
    assert {"settings.port", "settings.require_auth", "channels.2.type"} <= set(found)
    assert {"tokens.1.id", "tokens.1.allowed_channels.1"} <= set(found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"settings": {"port": 3000,}}', "line 1, column 28"),
        (b"[]", "must be a JSON object"),
        (b"3", "must be a JSON object"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"settings": {"port": 1, "port": 2}}', "stands 2 times"),
        (b'{"settings": {"default_timeout": 1e400}}', "not finite"),
        (b'{"settings": {"default_timeout": NaN}}', "not finite"),
        (b'{"settings": {"default_timeout": -Infinity}}', "not finite"),
        (b'{"settings": {"port": ' + b"9" * 5000 + b"}}", "not finite"),
        (b'{"settings": 1, "channels": {}, "tokens": ""}', "must be a list"),
    ],
)
def test_text_that_is_no_configuration(content: bytes, words: str) -> None:
    assert any(words in message for message in problems(content).values())


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(ConfigurationRefused, match="cannot be read") as caught:
            read_file(path, CATALOG)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("channels.0.api_key", f"sk-{CANARY}\x00"),
        ("channels.0.proxy_url", f"ftp://user:{CANARY}@proxy"),
        ("channels.0.base_url", f"https://user:{CANARY}@host/v1"),
        ("channels.0.headers", {"authorization": f"Bearer {CANARY}\n"}),
        ("channels.0.priority", CANARY),
        ("channels.0.timeout", [CANARY]),
        ("settings.log_level", CANARY),
        ("tokens.0.key", f"{CANARY} \x01"),
        ("tokens.0.enabled", CANARY),
    ],
)
def test_no_message_repeats_a_secret(path: str, value: Any) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        parse(bent(path, value))
    assert CANARY not in str(caught.value) + repr(caught.value)


def test_a_configuration_does_not_print_its_secrets() -> None:
    document = bent("channels.0.api_key", CANARY)
    document["channels"][0] |= {
        "proxy_url": f"http://u:{CANARY}@p:1",
        "headers": {"x-key": CANARY},
    }
    document["tokens"][0]["key"] = CANARY
    configuration = parse(document)
    assert CANARY not in repr(configuration)
    assert CANARY in json.dumps(document)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("http://nas/", "not a URL"),
        ("10.0.0.1/8", "is not a network"),
        ("127.1", "in the usual form"),
        ("nas:99999", "no valid port"),
        ("fe80::1%eth0", "zone"),
        (" ", "empty"),
    ],
)
def test_what_may_be_fetched_from_is_a_host_or_a_network(entry: str, words: str) -> None:
    found = problems(bent("settings.allow_private_urls", ["nas:80", entry]))
    assert list(found) == ["settings.allow_private_urls.1"]
    assert words in found["settings.allow_private_urls.1"]
