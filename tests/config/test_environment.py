"""What the environment says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dragoman.config import environment
from dragoman.config.environment import Environment, points_to_itself, read, with_dotenv
from dragoman.config.problems import Refusal
from dragoman.config.schema import SETTINGS, ChannelEntry, Settings
from dragoman.governance.users import Limits
from tests.config.support import CANARY, CATALOG

OWN_KEY = "my-own-key-4711"


def refused(**variables: str) -> dict[str, str]:
    with pytest.raises(Refusal) as caught:
        read(variables, CATALOG)
    return {problem.path: problem.message for problem in caught.value.problems}


def channels(**variables: str) -> dict[str, ChannelEntry]:
    found = read(variables, CATALOG).channels
    return {one.entry.name: one.entry for one in found}


def test_an_empty_environment_says_nothing() -> None:
    assert read({}, CATALOG) == Environment()
    assert read({"PORT": " ", "OPENAI_API_KEY": "", "API_KEY": ""}, CATALOG) == Environment()


@pytest.mark.row("S0-38", "S1-30")
def test_listen_and_port_are_honoured_and_ours_win() -> None:
    assert read({"LISTEN": "127.0.0.1", "PORT": "7860"}, CATALOG).settings == {
        "host": "127.0.0.1",
        "port": 7860,
    }
    both = {"LISTEN": "a", "PORT": "1", "DRAGOMAN_HOST": "b", "DRAGOMAN_PORT": "2"}
    assert read(both, CATALOG).settings == {"host": "b", "port": 2}


def test_every_setting_has_a_variable() -> None:
    texts = {"default_timeout": "7.5", "cors_origins": "https://a.b, http://c:1"}
    texts |= {"host": "::1", "port": "81", "log_level": "DEBUG", "strategy": "Least_Busy"}
    texts |= {"strategies": "gpt-*=least_busy, claude-*=lowest_latency", "queue_limit": "5"}
    texts |= {"queue_seconds": "1.5", "probe_seconds": "60", "request_log_limit": "0"}
    texts |= {
        "request_log_days": "7",
        "idempotency_hours": "0",
        "log_prompts": "True",
        "model_list_seconds": "60",
    }
    texts |= {"allow_private_urls": "nas.local:8080, 10.0.0.0/8"}
    texts |= {"metrics": "Open"}
    texts |= {"unpriced": "Estimate", "unpriced_price": "input=0.15, output=1.20"}
    texts |= {"hf_models": '{"org/model": {"embedding": {"model": "m"}}}'}
    texts |= {"limits": "requests_per_minute=60, concurrent_requests=5"}
    variables = {f"DRAGOMAN_{name.upper()}": texts.get(name, "False") for name in SETTINGS}
    found = msgspec.structs.replace(Settings(), **read(variables, CATALOG).settings)
    assert found == Settings(
        host="::1",
        port=81,
        require_auth=False,
        enable_fallback=False,
        enable_cors=False,
        high_availability_mode=False,
        auto_start=False,
        log_level="debug",
        default_timeout=7.5,
        cors_origins=("https://a.b", "http://c:1"),
        strategy="least_busy",
        strategies={"gpt-*": "least_busy", "claude-*": "lowest_latency"},
        session_affinity=False,
        queue_limit=5,
        limits=Limits(requests_per_minute=60, concurrent_requests=5),
        queue_seconds=1.5,
        probe_seconds=60.0,
        model_list_seconds=60.0,
        request_log_limit=0,
        request_log_days=7.0,
        idempotency_hours=0.0,
        log_prompts=True,
        allow_private_urls=("nas.local:8080", "10.0.0.0/8"),
        metrics="open",
        unpriced="estimate",
        unpriced_price={"input": "0.15", "output": "1.20"},
        hf_models={"org/model": {"embedding": {"model": "m"}}},
    )
    assert environment.unknown_variables(variables) == []


def test_where_each_setting_comes_from_is_kept() -> None:
    found = read({"PORT": "1", "DRAGOMAN_HOST": "b", "LISTEN": "a"}, CATALOG)
    assert found.variables == {"host": "DRAGOMAN_HOST", "port": "PORT"}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("gpt-*", "", "PATTERN=VALUE"),
        ("gpt-*=best", ".gpt-*", "must be one of"),
        ("=least_busy", "", "must not be empty"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(text: str, place: str, words: str) -> None:
    ((path, message),) = refused(DRAGOMAN_STRATEGIES=text).items()
    assert path == f"DRAGOMAN_STRATEGIES{place}"
    assert words in message


@pytest.mark.row("S0-40")
@pytest.mark.parametrize("text", ["False", "false", "FALSE", "0", "no", "off", ""])
def test_false_means_off(text: str) -> None:
    assert read({"USE_PROXY": text, "PROXY_URL": "http://p:1"}, CATALOG).proxy is None
    if text:
        found = read({"DRAGOMAN_REQUIRE_AUTH": text}, CATALOG).settings
        assert found == {"require_auth": False}


@pytest.mark.row("S0-40")
@pytest.mark.parametrize(
    "url", ["http://p:1", "https://p:1", "socks5://u:p@p:1", "socks5h://u:p@p:1"]
)
@pytest.mark.parametrize("text", ["True", "true", "1", "yes", "on"])
def test_true_means_on(text: str, url: str) -> None:
    proxy = read({"USE_PROXY": text, "PROXY_URL": url}, CATALOG).proxy
    assert proxy is not None
    assert proxy.reveal() == url


def test_everything_wrong_is_said_at_once() -> None:
    found = refused(
        PORT="80a",
        DRAGOMAN_REQUIRE_AUTH="maybe",
        DRAGOMAN_DEFAULT_TIMEOUT="nan",
        DRAGOMAN_CORS_ORIGINS="https://ok,nope",
        API_KEY="123456",
        USE_PROXY="True",
        OPENAI_API_KEY="sk-a b\x7f",
        OLLAMA_HOST="http://u:p@x",
    )
    assert set(found) == {
        "PORT",
        "DRAGOMAN_REQUIRE_AUTH",
        "DRAGOMAN_DEFAULT_TIMEOUT",
        "DRAGOMAN_CORS_ORIGINS.1",
        "API_KEY",
        "PROXY_URL",
        "OPENAI_API_KEY",
        "OLLAMA_HOST",
    }
    assert "true or false" in found["DRAGOMAN_REQUIRE_AUTH"]
    assert "USE_PROXY is true" in found["PROXY_URL"]


def test_no_message_repeats_a_secret() -> None:
    found = refused(
        OPENAI_API_KEY=f"{CANARY}\x00",
        PROXY_URL=f"ftp://{CANARY}",
        USE_PROXY="1",
        API_KEY=f"\t{CANARY}\x01",
    )
    assert len(found) == 3
    assert CANARY not in str(found)
    assert CANARY not in repr(read({"OPENAI_API_KEY": CANARY, "API_KEY": CANARY}, CATALOG))


@pytest.mark.row("S1-4", "S1-5")
@pytest.mark.parametrize(
    "key", ["123456", "sk-1234", "changeme", "your_secure_api_key_here", "tiny"]
)
def test_a_key_that_everybody_knows_is_refused(key: str) -> None:
    assert set(refused(API_KEY=key)) == {"API_KEY"}


@pytest.mark.parametrize("name", ["API_KEY", "DRAGOMAN_ADMIN_KEY"])
def test_an_own_key_is_taken_if_it_is_good_enough(name: str) -> None:
    found = read({name: OWN_KEY}, CATALOG)
    key, other = (found.key, found.admin_key) if name == "API_KEY" else (found.admin_key, found.key)
    assert key is not None
    assert key.reveal() == OWN_KEY
    assert other is None
    assert set(refused(**{name: "changeme"})) == {name}


def test_one_key_is_not_for_clients_and_for_admins() -> None:
    assert "API_KEY" in refused(API_KEY=OWN_KEY, DRAGOMAN_ADMIN_KEY=OWN_KEY)["DRAGOMAN_ADMIN_KEY"]
    weak = {"API_KEY": "tiny", "DRAGOMAN_ADMIN_KEY": "tiny"}
    assert all("shorter" in message for message in refused(**weak).values())
    assert environment.unknown_variables({"DRAGOMAN_ADMIN_KEY": OWN_KEY}) == []


@pytest.mark.row("S3-2")
def test_providers_keys_make_channels() -> None:
    found = channels(
        OPENAI_API_KEY="sk-o",
        ANTHROPIC_API_KEY="sk-ant",
        GOOGLE_API_KEY="AIza",
        HUG_API_KEY="hf_x",
        DEEPSEEK_API_KEY="sk-d",
    )
    assert sorted(found) == ["anthropic", "deepseek", "gemini", "huggingface", "openai"]
    assert {name: entry.type for name, entry in found.items()} == {name: name for name in found}
    key = found["huggingface"].api_key
    assert key is not None
    assert key.reveal() == "hf_x"
    assert len({entry.id for entry in found.values()}) == 5
    assert min(entry.id for entry in found.values()) >= environment.FIRST_ID


def test_the_first_of_a_providers_variables_wins() -> None:
    found = channels(GEMINI_API_KEY="first", GOOGLE_API_KEY="second")
    key = found["gemini"].api_key
    assert key is not None
    assert key.reveal() == "first"
    assert read({"GEMINI_API_KEY": "a"}, CATALOG).channels[0].variables == ("GEMINI_API_KEY",)


def test_a_variable_that_two_providers_claim_goes_to_the_first_only() -> None:
    rows = dict(CATALOG)
    rows["later"] = msgspec.structs.replace(CATALOG["openai"], id="later")
    found = read({"OPENAI_API_KEY": "sk-o"}, rows).channels
    assert [one.entry.name for one in found] == ["openai"]


def test_a_base_url_alone_is_a_channel() -> None:
    found = channels(OPENAI_BASE_URL="http://localhost:9000/v1/", ANTHROPIC_BASE_URL="https://a.b")
    assert found["openai"].base_url == "http://localhost:9000/v1"
    assert found["openai"].api_key is None
    assert found["anthropic"].base_url == "https://a.b"
    both = read({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x"}, CATALOG).channels[0]
    assert both.variables == ("OPENAI_API_KEY", "OPENAI_BASE_URL")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://gpu:11434", "http://gpu:11434"),
        ("https://gpu/ollama/", "https://gpu/ollama"),
        ("gpu:8000", "http://gpu:8000"),
        ("gpu", "http://gpu:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_ollama_host_takes_what_ollama_takes(text: str, url: str) -> None:
    assert channels(OLLAMA_HOST=text)["ollama"].base_url == url


@pytest.mark.parametrize("text", ["gpu:port", "a b", ":", "[::1"])
def test_nonsense_as_a_host_is_refused(text: str) -> None:
    assert set(refused(OLLAMA_HOST=text)) == {"OLLAMA_HOST"}


def test_a_gateways_own_key_makes_no_channel() -> None:
    found = read({"OPENAI_API_KEY": "sk-gw-" + "a1" * 24}, CATALOG)
    assert found.channels == ()
    assert "OPENAI_API_KEY" in found.notices[0]


@pytest.mark.parametrize(
    ("url", "host", "itself"),
    [
        ("http://localhost:3000/v1", "0.0.0.0", True),
        ("http://127.0.0.1:3000", "127.0.0.1", True),
        ("http://gateway.lan:3000", "gateway.lan", True),
        ("http://localhost:3001/v1", "0.0.0.0", False),
        ("https://localhost/v1", "0.0.0.0", False),
        ("http://other:3000/v1", "0.0.0.0", False),
        ("", "0.0.0.0", False),
    ],
)
def test_the_gateways_own_address_is_recognised(url: str, host: str, itself: bool) -> None:
    entry = ChannelEntry(id=1, name="openai", type="openai", base_url=url)
    assert points_to_itself(entry, Settings(host=host)) is itself


@pytest.mark.row("S1-31")
def test_dotenv_is_read_below_the_real_environment(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# comment\nexport PORT=1\nAPI_KEY='quoted key'\nHUG_API_KEY=${HOME}x\nEMPTY=\nBARE\n"
    )
    found = with_dotenv({"PORT": "2", "HOME": "/root"}, tmp_path)
    assert found == {
        "PORT": "2",
        "API_KEY": "quoted key",
        "HUG_API_KEY": "${HOME}x",
        "EMPTY": "",
        "HOME": "/root",
    }
    assert with_dotenv({"A": "b"}, tmp_path / "nowhere") == {"A": "b"}


def test_a_dotenv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"API_KEY=\xff\xfe")
    with pytest.raises(Refusal) as caught:
        with_dotenv({}, tmp_path)
    assert caught.value.problems[0].path == ".env"


def test_unknown_variables_of_ours_are_named_with_the_nearest() -> None:
    found = environment.unknown_variables({"DRAGOMAN_PROT": "1", "PATH": "x", "DRAGOMAN_PORT": "2"})
    assert found == [("DRAGOMAN_PROT", "is not a known variable; did you mean 'DRAGOMAN_PORT'?")]


def test_recognised_variables_are_listed_by_name() -> None:
    present = {"PORT": "1", "HF_TOKEN": CANARY, "OLLAMA_HOST": "x", "PATH": "y", "API_KEY": ""}
    assert environment.recognised_variables(present, CATALOG) == ["HF_TOKEN", "OLLAMA_HOST", "PORT"]


@pytest.mark.parametrize("name", ["API_KEY", "DRAGOMAN_ADMIN_KEY"])
def test_the_metrics_token_is_no_key(name: str) -> None:
    """Whoever scrapes would otherwise hold a key, or every key would open the page."""
    said = refused(DRAGOMAN_METRICS_TOKEN=OWN_KEY, **{name: OWN_KEY})
    assert name in said["DRAGOMAN_METRICS_TOKEN"]
    assert environment.unknown_variables({"DRAGOMAN_METRICS_TOKEN": OWN_KEY}) == []


def test_the_metrics_token_is_taken_if_it_is_good_enough() -> None:
    found = read({"DRAGOMAN_METRICS_TOKEN": OWN_KEY}, CATALOG)
    assert found.metrics_token is not None
    assert found.metrics_token.reveal() == OWN_KEY
    assert (found.key, found.admin_key) == (None, None)
    assert set(refused(DRAGOMAN_METRICS_TOKEN="changeme")) == {"DRAGOMAN_METRICS_TOKEN"}
