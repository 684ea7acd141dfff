"""Vertex AI's variables: credentials in every form, which channels come of them, and what is refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dragoman.config import environment, vertex
from dragoman.config.channels import read_channel, resolve
from dragoman.config.environment import FIRST_ID
from dragoman.config.problems import Refusal
from dragoman.config.schema import ChannelEntry
from dragoman.providers.catalog import load_catalog
from dragoman.providers.vertex_account import read_account
from tests.support.google_accounts import Account

CATALOG = load_catalog()
TOKEN_URI = "https://oauth2.googleapis.com/token"
ONE, TWO = Account("one", 1), Account("two", 2)
JSON_ONE, JSON_TWO = (account.json(TOKEN_URI) for account in (ONE, TWO))


def read(**environ: str) -> dict[str, ChannelEntry]:
    found = environment.read(environ, CATALOG).channels
    return {one.entry.name: one.entry for one in found}


def refused(**environ: str) -> str:
    with pytest.raises(Refusal) as refusal:
        environment.read(environ, CATALOG)
    said = "\n".join(str(problem) for problem in refusal.value.problems)
    assert "PRIVATE KEY" not in said
    return said


def emails(entry: ChannelEntry) -> list[str]:
    assert entry.api_key is not None
    return [read_account(one).email for one in (entry.api_key, *entry.api_keys)]


@pytest.mark.row("S1-8", "S1-9")
@pytest.mark.parametrize(
    "text",
    [
        f"{JSON_ONE},{JSON_TWO}",
        f"{JSON_ONE}{JSON_TWO}",
        f" {JSON_ONE}\n,\n{JSON_TWO} ,",
        f"[{JSON_ONE}, {JSON_TWO}]",
        f"{JSON_ONE},{JSON_TWO}".replace("\\n", "\n"),
        f"{json.dumps(json.loads(JSON_ONE))}\r\n{JSON_TWO}{JSON_ONE}",
    ],
)
def test_several_accounts_with_and_without_commas(text: str) -> None:
    entry = read(GOOGLE_CREDENTIALS_JSON=text)["vertex"]
    assert emails(entry) == [ONE.email, TWO.email]
    assert entry.api_key is not None
    assert entry.api_key.reveal().isprintable(), "it may be kept, and exported"
    assert json.loads(entry.api_key.reveal())["private_key"] == ONE.private_key


@pytest.mark.row("S1-10")
def test_accounts_from_a_directory_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(JSON_TWO)
    (tmp_path / "a.JSON").write_text(JSON_ONE, encoding="utf-8-sig")
    (tmp_path / "c.txt").write_text("{")
    assert emails(read(CREDENTIALS_DIR=str(tmp_path))["vertex"]) == [ONE.email, TWO.email]


@pytest.mark.row("S1-10")
def test_the_usual_directory_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert vertex.DEFAULT_DIRECTORY == "/app/credentials"
    monkeypatch.setattr(vertex, "DEFAULT_DIRECTORY", str(tmp_path / "none"))
    nothing = environment.read({}, CATALOG)
    assert (nothing.channels, nothing.notices) == ((), ())
    monkeypatch.setattr(vertex, "DEFAULT_DIRECTORY", str(tmp_path))
    (tmp_path / "a.json").write_text(JSON_ONE)
    assert emails(read()["vertex"]) == [ONE.email]


def test_one_that_is_named_and_missing_is_told(tmp_path: Path) -> None:
    found = environment.read({"CREDENTIALS_DIR": str(tmp_path / "none")}, CATALOG)
    assert found.channels == ()
    assert "does not exist" in found.notices[0]


def test_files_that_are_no_accounts_are_left_aside_and_named(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('{"type": "authorized_user", "refresh_token": "canary"}')
    (tmp_path / "2.json").write_text('{"private_key": "canary')
    (tmp_path / "3.json").write_bytes(b"\xff\xfe")
    (tmp_path / "4.json").write_text("{" + " " * 70_000 + "}")
    (tmp_path / "5.json").mkdir()
    (tmp_path / "6.json").write_text(JSON_ONE)
    found = environment.read({"CREDENTIALS_DIR": str(tmp_path)}, CATALOG)
    assert emails(found.channels[0].entry) == [ONE.email]
    assert [notice.split()[0] for notice in found.notices] == [
        str(tmp_path / f"{number}.json") for number in range(1, 6)
    ]
    assert "canary" not in " ".join(found.notices)
    assert "but authorized_user" in found.notices[0]


@pytest.mark.row("S1-11")
def test_the_text_goes_before_the_directory(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text(JSON_TWO)
    given = read(GOOGLE_CREDENTIALS_JSON=JSON_ONE, CREDENTIALS_DIR=str(tmp_path))
    assert emails(given["vertex"]) == [ONE.email]


@pytest.mark.row("S1-7", "S1-14")
def test_express_keys_are_a_channel_of_their_own_that_goes_first() -> None:
    given = read(VERTEX_EXPRESS_API_KEY=" AQ.one, AQ.two,", GOOGLE_CREDENTIALS_JSON=JSON_ONE)
    express, account = given["vertex-express"], given["vertex"]
    assert express.api_key is not None
    assert [express.api_key.reveal(), *(one.reveal() for one in express.api_keys)] == [
        "AQ.one",
        "AQ.two",
    ]
    assert express.priority < account.priority
    assert [express.id, account.id] == [FIRST_ID, FIRST_ID + 1]
    assert read(GOOGLE_CREDENTIALS_JSON=JSON_ONE)["vertex"].priority == express.priority


def test_the_channels_stand_beside_those_of_other_providers() -> None:
    given = read(OPENAI_API_KEY="sk-1", VERTEX_EXPRESS_API_KEY="AQ.one", GEMINI_API_KEY="AI")
    assert [*given] == ["openai", "gemini", "vertex-express"]
    assert len({entry.id for entry in given.values()}) == 3


@pytest.mark.row("S1-16", "S1-17")
@pytest.mark.parametrize(
    ("value", "in_turn"), [(None, False), ("false", False), ("False", False), ("true", True)]
)
def test_roundrobin(value: str | None, in_turn: bool) -> None:
    environ = {"GOOGLE_CREDENTIALS_JSON": JSON_ONE + JSON_TWO}
    entry = read(**environ, **({} if value is None else {"ROUNDROBIN": value}))["vertex"]
    assert entry.quirks.get("credentials_in_turn", True) is in_turn


def test_the_other_variables_become_the_channels_quirks() -> None:
    entry = read(
        GOOGLE_CREDENTIALS_JSON=JSON_ONE,
        GCP_PROJECT_ID="my-project",
        GCP_LOCATION="us-central1",
        FAKE_STREAMING="true",
        VERTEX_SAFETY_SETTINGS="off",
        VERTEX_BASE_URL="https://vertex.example/",
    )["vertex"]
    assert entry.quirks == {
        "credentials_in_turn": False,
        "project": "my-project",
        "location": "us-central1",
        "unstreamed": True,
        "unstreamed_ping_seconds": 1.0,
        "safety_settings": "OFF",
    }
    channel = resolve(entry, CATALOG)
    assert {endpoint.base_url for endpoint in channel.endpoints} == {"https://vertex.example"}
    assert len(channel.endpoints) == 2


@pytest.mark.row("S1-25")
@pytest.mark.parametrize(("text", "seconds"), [("0.5", 0.5), ("3", 3.0), ("0", 0.0), ("-1", 0.0)])
def test_the_interval_of_fake_streaming(text: str, seconds: float) -> None:
    environ = {"VERTEX_EXPRESS_API_KEY": "AQ.one", "FAKE_STREAMING": "1"}
    entry = read(**environ, FAKE_STREAMING_INTERVAL=text)["vertex-express"]
    assert entry.quirks["unstreamed_ping_seconds"] == seconds


def test_everything_that_is_wrong_is_named_at_once() -> None:
    no_project = json.dumps({**ONE.document(TOKEN_URI), "project_id": ""})
    bad_key = json.dumps({**ONE.document(TOKEN_URI), "private_key": "canary-of-a-key"})
    broken = JSON_TWO.replace('"client_id"', "client_id")
    said = refused(
        GOOGLE_CREDENTIALS_JSON=f"{JSON_ONE},{broken},{no_project},{bad_key},{{}}",
        VERTEX_EXPRESS_API_KEY="AQ.ключ",
        ROUNDROBIN="perhaps",
        GCP_PROJECT_ID="",
        GCP_LOCATION="us-central1.evil.example/",
        FAKE_STREAMING="true",
        FAKE_STREAMING_INTERVAL="soon",
        VERTEX_SAFETY_SETTINGS="strict",
        VERTEX_BASE_URL="ftp://x",
    )
    assert "canary" not in said
    for line in (
        "GOOGLE_CREDENTIALS_JSON: entry 2 begins like JSON, but is not valid",
        "GOOGLE_CREDENTIALS_JSON: entry 3 has no 'project_id': set GCP_PROJECT_ID",
        "GOOGLE_CREDENTIALS_JSON: entry 4 has a 'private_key' that is no RSA key",
        "GOOGLE_CREDENTIALS_JSON: entry 5 is no service account",
        "VERTEX_EXPRESS_API_KEY: must not hold",
        "ROUNDROBIN: must be true or false",
        "GCP_LOCATION: is not such a name",
        "FAKE_STREAMING_INTERVAL: must be a number",
        "VERTEX_SAFETY_SETTINGS: must be one of off, block_none",
        "VERTEX_BASE_URL: must begin with http:// or https://",
    ):
        assert line in said
    assert "entry 1" not in said


@pytest.mark.parametrize("text", ["canary", f"{JSON_ONE} canary", JSON_ONE[:-2], '"canary"'])
def test_what_stands_beside_objects_is_an_entry_that_is_none(text: str) -> None:
    said = refused(GOOGLE_CREDENTIALS_JSON=text)
    assert "entry 2" in said or "entry 1" in said
    assert "canary" not in said


_values = st.recursive(
    st.text(max_size=8) | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=6), _values, max_size=3)


@hypothesis.given(
    st.lists(st.tuples(objects, st.sampled_from(["", ",", " ,\n", "\n"]))), st.booleans()
)
def test_objects_are_told_apart_whatever_is_in_them(
    given: list[tuple[dict[str, object], str]], pretty: bool
) -> None:
    indent = 2 if pretty else None
    text = "".join(itertools.chain(*((json.dumps(one, indent=indent), gap) for one, gap in given)))
    assert [json.loads(one) for one in vertex.split_objects(text)] == [one for one, _ in given]


@hypothesis.given(st.text(alphabet='{}[]",\\ a\n', max_size=30))
def test_any_text_is_split_without_a_fall(text: str) -> None:
    list(vertex.split_objects(text))


# --- Channels that are written by hand -------------------------------------------------------------


def test_a_channel_takes_the_json_as_its_key_line_breaks_and_all() -> None:
    raw = {
        "name": "v",
        "type": "google-vertex",
        "api_key": f"\n{JSON_ONE}\n",
        "api_keys": [JSON_TWO],
    }
    entry = read_channel(raw)
    assert emails(entry) == [ONE.email, TWO.email]
    channel = resolve(entry, CATALOG)
    assert channel.provider == "vertex"
    assert "gemini-2.5-pro-openai" in channel.usual_models
    assert channel.serves("[PAY]gemini-2.5-pro")
    assert not channel.serves("[EXPRESS] gemini-2.5-pro")
    with pytest.raises(Refusal) as refusal:
        read_channel({**raw, "api_keys": [JSON_TWO, '{"private_key": "canary", ]']})
    (problem,) = refusal.value.problems
    assert problem.path == "api_keys.1"
    assert "begins like JSON, but is not valid" in problem.message
    assert "canary" not in problem.message


def test_a_channel_with_an_express_key_offers_what_that_can_do() -> None:
    channel = resolve(read_channel({"name": "v", "type": "vertex", "api_key": "AQ.x"}), CATALOG)
    assert "gemini-2.5-pro-search" in channel.usual_models
    assert "gemini-2.5-pro-openai" not in channel.usual_models
    assert channel.serves("[EXPRESS] gemini-2.5-pro")
    for model in ("[PAY]gemini-2.5-pro", "gemini-2.5-pro-openai", "gemini-embedding-001"):
        assert not channel.serves(model)
