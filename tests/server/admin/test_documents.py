"""The manual cannot drift: its models and the configuration's own checks say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from dragoman.canonical.secret import Secret
from dragoman.canonical.usage import Usage
from dragoman.config import checks
from dragoman.config.checks import Check
from dragoman.config.problems import Refusal
from dragoman.config.schema import (
    CHANNEL,
    NEEDS_RESTART,
    SETTINGS,
    STRATEGIES,
    TOKEN,
    ChannelEntry,
    Settings,
)
from dragoman.config.users import CREDIT, TRIAL, USER, read_trial
from dragoman.governance.record import (
    RequestRecord,
    SkippedCandidate,
    Transcript,
    TriedCandidate,
)
from dragoman.routing.state import Bench, CredentialState, LaneState
from dragoman.server.admin.documents import channel, key, records, settings, user
from tests.server.admin.site import Site

OF_THE_FILE_ALONE = {"id"}
CHANNEL_FIELDS = {name: check for name, check in CHANNEL.items() if name not in OF_THE_FILE_ALONE}
KEY_FIELDS = {name: check for name, check in TOKEN.items() if name not in OF_THE_FILE_ALONE}

PAIRS: list[tuple[type[BaseModel], Mapping[str, Check]]] = [
    (channel.ChannelNew, CHANNEL_FIELDS),
    (key.KeyNew, KEY_FIELDS),
    (settings.SettingValues, SETTINGS),
    (user.UserNew, {**USER, "trial": checks.nullable(lambda value: read_trial(value, 0.0))}),
    (user.TrialNew, TRIAL),
    (user.CreditNew, CREDIT),
]
SAMPLES: list[Any] = [
    None, True, False, 0, 1, 2, -1, 0.5, 1.0, 1.5, -0.5, 99, 100, 101, 999, 1_000, 1_001, 3_600,
    3_601, 36_500, 36_501, 65_535, 65_536, 86_400, 86_400.5, 86_401, 1_000_000, 1_000_001,
    100_000_000, 100_000_001, 31_536_000, 31_536_001, 2**53, 2**53 + 1,
    "", "x", "true", "1", "a, b", "debug", "INFO",
    "2027-01-31", "2027-01-31T00:00:00Z", "https://llm.example.com/v1", "socks5://p.example:1",
    "openai_chat", "seed", *STRATEGIES, [], ["x"], [1], [None], ["https://a.example"], ["seed"],
    {}, {"x": "y"}, {"x": ""}, {"x": None}, {"x": 1}, {"gpt-*": "lowest_price"},
    {"openai_chat": "https://a.example"}, {"m": {"input": 1, "output": 0.5}}, {"m": {"input": -1}},
    {"m": {"input": 1_000_001}}, {"requests_per_minute": 5}, {"requests_per_minute": 0.5},
    {"requests_per_minute": None}, {"tokens_per_day": 0}, {"day": 5}, {"day": "5"}, {"day": -5},
    {"day": None}, {"days": 1, "usd": None}, "5", 2**62, 2**62 + 1, -(2**62) - 1, 10**12 + 1, "a@b", "topup",
    {"m": {"other": 1}}, {"m": {}}, {"x": [{"y": 1}]},
]  # fmt: skip
EXACT = (bool, int, float)


def accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def passes(check: Check, value: Any) -> bool:
    try:
        check(value)
    except Refusal:
        return False
    return True


@pytest.mark.parametrize(("model", "checks"), PAIRS)
def test_the_same_fields(model: type[BaseModel], checks: Mapping[str, Check]) -> None:
    assert set(model.model_fields) == set(checks)


@pytest.mark.parametrize(
    ("model", "name", "check"),
    [(model, name, check) for model, checks in PAIRS for name, check in checks.items()],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_the_same_values(model: type[BaseModel], name: str, check: Check) -> None:
    info = model.model_fields[name]
    kind = info.rebuild_annotation()
    # A TypedDict has a configuration of its own.
    config: ConfigDict | None = None if is_typeddict(kind) else {"strict": True}
    adapter: TypeAdapter[Any] = TypeAdapter(kind, config=config)
    kinds = _kinds(adapter)
    for value in SAMPLES:
        if passes(check, value):
            if isinstance(value, str) and value != value.lower() and "enum" in str(kinds):
                continue  # a word in any case is a courtesy that the manual does not promise
            assert accepts(adapter, value), f"the manual refuses {value!r}"
        elif accepts(adapter, value):
            # What a text says (a URL, a known name) is more than the manual can tell.
            assert _is_text(value), f"the manual allows {value!r}"


def _kinds(adapter: TypeAdapter[Any]) -> Any:
    return adapter.json_schema()


def _is_text(value: Any) -> bool:
    match value:
        case str():
            return True
        case list():
            return all(isinstance(one, str | int) for one in value)
        case dict():
            return all(_is_text(one) or one is None for one in value.values())
    return False


def _plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value, enc_hook=lambda one: one.reveal()))


@pytest.mark.parametrize(
    ("model", "made"),
    [
        (channel.ChannelNew, ChannelEntry(id=1, name="x", type="openai")),
        (settings.SettingValues, Settings()),
    ],
)
def test_the_same_defaults(model: type[BaseModel], made: msgspec.Struct) -> None:
    for name, info in model.model_fields.items():
        if not info.is_required():
            assert info.default == _plain(getattr(made, name)), name
    for secret in ("api_key", "proxy_url"):
        assert not isinstance(getattr(made, secret, None), Secret)


@pytest.mark.parametrize(
    ("shown", "of", "more"),
    [
        (records.Request, RequestRecord, set()),
        (records.Tried, TriedCandidate, set()),
        (records.Skipped, SkippedCandidate, set()),
        (records.Transcript, Transcript, set()),
        (records.Tokens, Usage, set()),
        (channel.Bench, Bench, set()),
        (channel.CredentialState, CredentialState, set()),
        (channel.ChannelState, LaneState, {"healthy"}),
    ],
)
def test_what_is_shown_is_what_is_known(
    shown: type[BaseModel], of: type[msgspec.Struct], more: set[str]
) -> None:
    known_elsewhere = {"channel_id", "name", "enabled", "priority"} if of is LaneState else set()
    assert set(shown.model_fields) == set(of.__struct_fields__) - known_elsewhere | more


def test_a_change_has_the_fields_of_what_is_changed() -> None:
    assert set(channel.ChannelChange.model_fields) == set(channel.ChannelNew.model_fields)
    assert set(settings.SettingsChange.model_fields) == set(settings.SettingValues.model_fields)
    assert set(user.UserChange.model_fields) == set(user.UserNew.model_fields) - {"trial"}
    assert set(key.KeyChange.model_fields) == set(key.KeyNew.model_fields) - {"key"}


def test_every_field_is_described(site: Site) -> None:
    document = site.ask("GET", "/openapi.json").json
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, one in schema["properties"].items():
            assert one.get("description"), f"{name}.{field}"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            for parameter in operation.get("parameters", ()):
                assert parameter.get("description"), (method, path, parameter["name"])


def test_every_field_that_may_be_left_out_tells_its_default(site: Site) -> None:
    schemas = site.ask("GET", "/openapi.json").json["components"]["schemas"]
    for name in ("ChannelNew", "KeyNew", "SettingValues", "Price", "Trial"):
        schema = schemas[name]
        for field, one in schema["properties"].items():
            if field not in schema.get("required", ()):
                nullable = {"type": "null"} in one.get("anyOf", ())
                like_another = "Default: as" in one["description"]
                assert "default" in one or nullable or like_another, f"{name}.{field}"


def test_what_waits_for_a_restart_says_so() -> None:
    for name, info in settings.SettingValues.model_fields.items():
        assert ("restart" in (info.description or "")) is (name in NEEDS_RESTART), name


def test_no_default_that_a_generated_client_would_send(site: Site) -> None:
    schemas = site.ask("GET", "/openapi.json").json["components"]["schemas"]
    for name in ("ChannelChange", "KeyChange", "SettingsChange"):
        for field, one in schemas[name]["properties"].items():
            assert one.get("default") is None, f"{name}.{field}"
        assert "required" not in schemas[name]
