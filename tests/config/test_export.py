"""What is written back is what was read: to a file and to the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.config.export import export
from dragoman.config.problems import Refusal
from dragoman.config.roster import Roster
from dragoman.config.schema import STRATEGIES
from dragoman.config.stored import entry_of, from_store, stored_channel, to_store
from dragoman.governance.keys import digest
from dragoman.governance.users import Budget, Limits
from tests.config.support import CANARY, CATALOG, SAMPLE, TOKEN_KEY, parse, problems, sample

names = st.from_regex(r"[a-zA-Zé][\w /:.-]{0,20}[\wé]", fullmatch=True)
secrets = st.from_regex(r"[!-~]{12,40}", fullmatch=True).filter(lambda s: s.strip("*") != "")
urls = st.from_regex(r"https?://[a-z]{1,9}(:[1-9]\d{2})?(/[a-z0-9]{1,5}){0,2}/?", fullmatch=True)
proxies = st.from_regex(r"(http|socks5h?)://[a-z]{1,5}:[a-z]{1,5}@[a-z]{1,9}:\d{3}", fullmatch=True)
seconds = st.floats(0.01, 5000, allow_nan=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
PROTOCOLS = ["openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"]
header_names = st.from_regex(r"x-[a-z]{1,8}", fullmatch=True)

counts = st.integers(1, 10**6)
limits = st.dictionaries(st.sampled_from(Limits.__struct_fields__), counts, max_size=3)
amounts = st.integers(0, 10**6) | st.decimals(0, 10**6, places=9).map(str)
budgets = st.dictionaries(st.sampled_from(Budget.__struct_fields__), amounts, max_size=3)

settings = st.fixed_dictionaries(
    {},
    optional={
        "limits": limits,
        "host": st.sampled_from(["0.0.0.0", "::1", "gateway.local"]),
        "port": st.integers(1, 65535),
        "require_auth": st.booleans(),
        "enable_fallback": st.booleans(),
        "enable_cors": st.booleans(),
        "high_availability_mode": st.booleans(),
        "auto_start": st.booleans(),
        "log_level": st.sampled_from(["debug", "info", "warning", "error"]),
        "default_timeout": seconds,
        "cors_origins": st.lists(st.sampled_from(["*", "https://a.b", "http://x:1"]), max_size=2),
        "strategy": st.sampled_from(STRATEGIES),
        "strategies": st.dictionaries(names, st.sampled_from(STRATEGIES), max_size=2),
        "session_affinity": st.booleans(),
        "queue_limit": st.integers(0, 99),
        "queue_seconds": st.floats(0, 99),
        "probe_seconds": st.floats(0, 99),
        "model_list_seconds": st.floats(0, 99),
        "request_log_limit": st.integers(0, 99),
        "request_log_days": seconds,
        "idempotency_hours": seconds,
        "log_prompts": st.booleans(),
        "allow_private_urls": st.lists(st.sampled_from(["nas", "::1", "10.0.0.0/8"]), unique=True),
        "fetch_through_proxies": st.booleans(),
        "metrics": st.sampled_from(["admin", "open", "off"]),
    },
)
channel = st.fixed_dictionaries(
    {
        "name": names,
        "type": st.sampled_from(["openai", "anthropic", "builtin:glm", "ollama", "gemini"]),
    },
    optional={
        "id": st.integers(1, 500),
        "base_url": st.just("") | urls,
        "api_key": secrets,
        "models": st.lists(names, max_size=3),
        "enabled": st.booleans(),
        "priority": st.integers(0, 9),
        "timeout": st.none() | seconds,
        "max_retries": st.integers(0, 5),
        "proxy_url": st.just("") | proxies,
        "max_concurrency": st.none() | st.integers(0, 9),
        "min_concurrency": st.integers(1, 5),
        "max_adaptive_concurrency": st.integers(5, 99),
        "response_time_low": st.floats(0.01, 1),
        "response_time_high": st.floats(1, 9),
        "error_rate_threshold": st.floats(0, 1),
        "increase_step": st.integers(1, 5),
        "decrease_factor": st.floats(0.1, 0.9),
        "stats_window_size": st.integers(1, 500),
        "cooldown_seconds": st.floats(0, 60),
        "protocol": st.just("openai_chat"),
        "protocols": st.dictionaries(
            st.sampled_from(PROTOCOLS).filter(lambda name: name != "openai_chat"), urls, max_size=2
        ),
        "aliases": st.dictionaries(names, names, max_size=2),
        "headers": st.dictionaries(header_names, secrets, max_size=2),
        "weight": st.integers(1, 9),
        "tags": st.lists(names, max_size=2),
        "strict": st.booleans(),
        "drops": st.lists(st.sampled_from(["seed", "top_p", "reasoning"]), max_size=2),
        "quirks": st.dictionaries(names, json_values, max_size=2),
        "api_keys": st.lists(secrets, max_size=3),
        "prices": st.dictionaries(
            names,
            st.dictionaries(st.sampled_from(["input", "output"]), st.floats(0, 99)),
            max_size=2,
        ),
        "oauth": st.none()
        | st.fixed_dictionaries(
            {"token_url": urls.map(lambda url: url.replace("http://", "https://"))},
            optional={"client_id": names, "client_secret": secrets, "scope": st.just("")},
        ),
    },
)
token = st.fixed_dictionaries(
    {"name": names, "key": secrets.map(lambda text: f"sk-gw-{text}q7X9")},
    optional={
        "user": st.sampled_from(["default", "Anonymous"]),
        "limits": limits,
        "budget": budgets,
        "metadata": st.dictionaries(names, json_values, max_size=2),
        "id": st.integers(1, 500),
        "enabled": st.booleans(),
        "allowed_models": st.lists(names, max_size=2),
        "strict": st.booleans(),
        "admin": st.booleans(),
        "expires_at": st.datetimes().filter(lambda d: d.year > 1970).map(lambda d: d.isoformat()),
    },
)


def once(field: str) -> Any:
    return lambda entry: str(entry.get(field, id(entry))).casefold()


documents = st.fixed_dictionaries(
    {
        "settings": settings,
        "channels": st.lists(channel, max_size=3, unique_by=(once("name"), once("id"))),
        "tokens": st.lists(
            token, max_size=3, unique_by=(once("name"), once("id"), lambda t: t["key"])
        ),
    }
).filter(lambda document: not problems(document))


@given(documents)
def test_importing_an_export_gives_the_same(document: Any) -> None:
    configuration = parse(document)
    text = export(configuration, with_secrets=True)
    assert parse(text.encode()) == configuration
    assert export(parse(text.encode()), with_secrets=True) == text


@given(documents)
def test_the_database_gives_back_what_it_was_given(document: Any) -> None:
    configuration = parse(document)
    batch = to_store(configuration, b"pepper", 1.0, Roster())
    for entry, row in zip(configuration.channels, batch.channels, strict=True):
        assert entry_of(row) == entry
        # As JSON columns would hand it back.
        assert json.loads(json.dumps(row.document)) == row.document
    kept = {name: value for name, value in batch.settings.items() if value is not None}
    read, aside = from_store(kept, batch.channels, CATALOG)
    assert not aside
    assert read.settings == configuration.settings
    assert read.channels == configuration.channels


@given(documents)
def test_no_secret_is_in_a_plain_export_or_in_the_clear_columns(document: Any) -> None:
    for entry in document["channels"]:
        entry["api_key"] = CANARY
        entry["api_keys"] = [f"{CANARY}-2", f"{CANARY}-3"]
        entry["proxy_url"] = f"http://u:{CANARY}@p:1"
        entry["headers"] = {"x-secret": CANARY}
    for number, entry in enumerate(document["tokens"]):
        entry["key"] = f"{CANARY}-{number}"
    configuration = parse(document)
    assert CANARY not in export(configuration, with_secrets=False)
    for row in to_store(configuration, b"pepper", 1.0, Roster()).channels:
        assert CANARY not in json.dumps(row.document)
        assert CANARY in json.dumps(row.secrets)


def test_the_documented_sample_comes_back_field_for_field() -> None:
    written = json.loads(export(parse(sample()), with_secrets=True))
    for section in ("channels", "tokens"):
        assert written[section] == SAMPLE[section]
    assert {name: written["settings"][name] for name in SAMPLE["settings"]} == SAMPLE["settings"]


def test_a_plain_export_is_refused_with_a_word_on_why() -> None:
    found = problems(json.loads(export(parse(sample()), with_secrets=False)))
    assert set(found) == {"channels.0.api_key", "tokens.0.key"}
    assert all("--with-secrets" in message for message in found.values())


def test_a_row_that_this_version_cannot_use_is_left_aside() -> None:
    good, bad = parse(
        {"channels": [{"name": "a", "type": "ollama"}, {"name": "b", "type": "ollama"}]}
    ).channels
    rows = [stored_channel(good), stored_channel(bad)]
    rows[1].document["type"] = "gone"
    configuration, aside = from_store({"port": 4000, "prot": 1, "host": 5}, rows, CATALOG)
    assert [entry.name for entry in configuration.channels] == ["a"]
    assert configuration.settings.port == 4000
    assert [problem.path for problem in aside] == [
        "settings.prot",
        "settings.host",
        "channel b.type",
    ]


@pytest.mark.row("S2-62")
def test_ids_of_allowed_channels_become_names_in_the_database() -> None:
    document = sample()
    document["tokens"][0]["allowed_channels"] = [1, "OpenAI"]
    (key,) = to_store(parse(document), b"pepper", 5.0, Roster()).keys
    assert key.allowed_channels == ("OpenAI",)
    assert key.digest == digest(TOKEN_KEY, b"pepper")
    assert key.created_at == 5.0


def test_a_token_of_an_unknown_user_is_refused_with_the_nearest_name() -> None:
    document = sample()
    document["tokens"][0]["user"] = "defualt"
    with pytest.raises(Refusal) as refused:
        to_store(parse(document), b"pepper", 5.0, Roster())
    ((path, message),) = refused.value.problems
    assert path == "tokens.0.user"
    assert "did you mean 'default'?" in message
    assert "dragoman users create" in message
