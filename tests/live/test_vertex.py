"""Vertex AI's credentials end to end: a gateway set up by environment variables alone, and a Google
behind it that checks every signature."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

from tests.live.administered import admin
from tests.live.vertex_site import API_KEY, EXPRESS_KEY, MODEL, Site, accounts, no_secret, serving
from tests.support.gateway import Gateway
from tests.support.google import Google
from tests.support.standin.script import GREETING


@pytest.fixture(scope="module")
def server() -> Iterator[Google]:
    """Google with two accounts and an express key."""
    with Google() as google:
        google.express_keys.add(EXPRESS_KEY)
        google.account("one", 1)
        google.account("two", 2)
        yield google


@pytest.fixture
def google(server: Google) -> Google:
    """The same with nothing recorded yet and nothing wrong."""
    server.clear()
    return server


@pytest.fixture(scope="module")
def _both(server: Google) -> Iterator[Site]:
    one, two = (account.json(server.token_uri) for account in accounts(server))
    environ = {
        "VERTEX_EXPRESS_API_KEY": EXPRESS_KEY,
        "GOOGLE_CREDENTIALS_JSON": f"{one},{two}",
        "ROUNDROBIN": "true",
    }
    with serving(server, environ) as site:
        yield site


@pytest.fixture
def both(google: Google, _both: Site) -> Site:
    """An express key, and two accounts in turn."""
    return _both


@pytest.fixture(scope="module")
def _folder(server: Google, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("credentials")
    for name, account in zip("ab", accounts(server), strict=True):
        (folder / f"{name}.json").write_text(account.json(server.token_uri), encoding="utf-8")
    (folder / "0-broken.json").write_text('{"type": "service_account", "private_key": "canary-x')
    (folder / "notes.txt").write_text("not a credential")
    environ = {"CREDENTIALS_DIR": str(folder), "VERTEX_SAFETY_SETTINGS": "block_none"}
    with serving(server, environ) as site:
        yield site


@pytest.fixture
def folder(google: Google, _folder: Site) -> Site:
    """Two accounts in a directory, the first that is well."""
    return _folder


# --- Credentials -----------------------------------------------------------------------------------


@pytest.mark.row("S1-7", "S1-12", "S1-14")
def test_the_express_key_goes_first_and_needs_no_project(both: Site) -> None:
    assert both.who_answers(5) == {EXPRESS_KEY: 5}
    assert both.last.path == f"/v1/publishers/google/models/{MODEL}:generateContent"
    assert both.last.headers["x-goog-api-key"] == EXPRESS_KEY
    assert both.google.tokens.exchanges == []


@pytest.mark.row("S1-14", "S1-15", "S1-19")
def test_what_an_express_key_cannot_do_goes_to_a_service_account(both: Site) -> None:
    assert both.say("gemini-3.1-flash-exp").choices[0].message.content == GREETING
    assert both.last.who in ("one", "two")
    place = f"/v1/projects/{both.last.project}/locations/global"
    assert (
        both.last.path == f"{place}/publishers/google/models/gemini-3.1-flash-exp:generateContent"
    )


@pytest.mark.row("S1-15")
def test_a_refused_express_key_gives_way_to_the_accounts(both: Site) -> None:
    both.google.failing[EXPRESS_KEY] = 429
    assert both.say("gemini-2.5-pro").choices[0].message.content == GREETING
    assert both.last.who in ("one", "two")


@pytest.mark.row("S1-39")
def test_prefixes_choose_the_credential(both: Site) -> None:
    for model in ("[EXPRESS] gemini-2.5-flash-lite", "[express]gemini-2.5-flash-lite"):
        assert both.who_answers(2, model) == {EXPRESS_KEY: 2}
        assert both.last.model == "gemini-2.5-flash-lite"
    paid = both.who_answers(4, "[PAY]gemini-2.5-flash-lite")
    assert paid == {"one": 2, "two": 2}
    assert both.last.model == "gemini-2.5-flash-lite"


@pytest.mark.row("S1-8", "S1-9", "S1-16", "S1-18")
def test_service_accounts_take_turns_with_roundrobin(both: Site) -> None:
    assert both.who_answers(6, "[PAY]gemini-2.5-flash") == {"one": 3, "two": 3}
    assert {call.project for call in both.google.calls} == {"one-project", "two-project"}


@pytest.mark.row("S1-10", "S1-13", "S1-17")
def test_accounts_from_a_directory_are_used_first_that_is_well_first(folder: Site) -> None:
    assert folder.who_answers(5) == {"one": 5}


def test_a_broken_file_in_the_directory_is_left_aside_and_named(folder: Site) -> None:
    logs = folder.gateway.logs()
    assert "0-broken.json was left aside" in logs
    assert "canary-x" not in logs


@pytest.mark.row("S1-9", "S1-11", "S1-18", "S1-19")
def test_accounts_without_commas_go_before_the_directory_and_project_and_location_override(
    google: Google, tmp_path: Path
) -> None:
    one, two = accounts(google)
    one.projects = (*one.projects, "the-other-project")
    (tmp_path / "two.json").write_text(two.json(google.token_uri), encoding="utf-8")
    environ = {
        # As docker-compose may leave it: the line breaks of the key are real ones.
        "GOOGLE_CREDENTIALS_JSON": one.json(google.token_uri).replace("\\n", "\n")
        + "\n"
        + two.json("http://127.0.0.1:9/never"),
        "CREDENTIALS_DIR": str(tmp_path),
        "GCP_PROJECT_ID": "the-other-project",
        "GCP_LOCATION": "europe-west4",
    }
    with serving(google, environ) as site:
        assert site.who_answers(3) == {"one": 3}
        assert (site.last.project, site.last.location) == ("the-other-project", "europe-west4")


@pytest.mark.row("S1-37")
def test_many_requests_share_one_exchange(both: Site) -> None:
    account = both.google.account("fresh", 3)
    google = both.google
    google.token_hold = threading.Event()
    environ = {"GOOGLE_CREDENTIALS_JSON": account.json(google.token_uri)}
    with serving(google, environ) as site, ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(site.say) for _ in range(20)]
        google.token_hold.set()
        assert {one.result().choices[0].message.content for one in answers} == {GREETING}
        assert google.tokens.exchanges == ["fresh"]
        assert len({call.headers["authorization"] for call in google.calls}) == 1

        google.tokens.forget()  # revoked before its time
        assert site.say().choices[0].message.content == GREETING
        assert google.tokens.exchanges == ["fresh", "fresh"]
    assert google.refused_assertions == []


def test_a_revoked_account_is_benched_with_the_reason_and_the_other_used(google: Google) -> None:
    gone, well = google.account("gone", 1), google.account("well", 2)
    gone.revoked = True
    texts = [account.json(google.token_uri) for account in (gone, well)]
    with serving(google, {"GOOGLE_CREDENTIALS_JSON": " ".join(texts)}) as site:
        assert site.who_answers(4) == {"well": 4}
        assert len(google.refused_assertions) == 1, "once refused, it is left alone"
        assert "credential 1 is refused by the provider" in site.gateway.logs()
        assert "the account is deleted or disabled, its key revoked" in site.gateway.logs()

        well.revoked = True
        google.tokens.forget()
        with pytest.raises(openai.InternalServerError, match="service account") as refused:
            site.say()
        assert refused.value.status_code == 502
        assert no_secret(str(refused.value), gone, well)


def test_a_clock_that_is_wrong_is_told(google: Google) -> None:
    """An assertion from another time is refused by Google's own rules."""
    account = google.account("late", 1)
    with serving(google, {"GOOGLE_CREDENTIALS_JSON": account.json(google.token_uri)}) as site:
        google.tokens.audience = "http://somewhere.else/token"
        try:
            with pytest.raises(openai.InternalServerError, match="a clock is wrong"):
                site.say()
        finally:
            google.tokens.audience = google.token_uri
        assert google.refused_assertions[-1][0] == "invalid_grant"


def test_broken_json_stops_the_start_names_the_entry_and_prints_no_key(google: Google) -> None:
    one, two = accounts(google)
    half = two.json(google.token_uri)[:-1].replace('"client_id"', "client_id")
    environ = {
        "API_KEY": API_KEY,
        "GOOGLE_CREDENTIALS_JSON": f"{one.json(google.token_uri)},{half}}}",
    }
    with pytest.raises(RuntimeError) as refused, Gateway(None, environ=environ):
        pass
    said = str(refused.value)
    assert "GOOGLE_CREDENTIALS_JSON: entry 2 begins like JSON, but is not valid" in said
    assert "entry 1" not in said
    assert no_secret(said, one, two)


def test_a_private_key_appears_nowhere(both: Site) -> None:
    all_accounts = accounts(both.google)
    both.say("[PAY]gemini-2.5-flash")
    both.google.failing |= {"one": 500, "two": 403, EXPRESS_KEY: 400}
    for model in ("[PAY]gemini-2.5-flash", "[EXPRESS]gemini-2.5-flash", "gemini-9-canary"):
        with contextlib.suppress(openai.APIError):
            both.say(model)
    seen = both.gateway.logs()
    for path in ("/channels", "/settings", "/requests", "/status", "/audit"):
        seen += admin(both.gateway, "GET", path).body.decode()
    assert '"vertex-express"' in seen, "the documents were read"
    assert no_secret(seen, *all_accounts)
    assert EXPRESS_KEY not in seen
    sent = json.dumps([[call.headers, call.body] for call in both.google.calls])
    assert no_secret(sent, *all_accounts), "no key leaves the gateway"


def test_trying_a_channel_counts_tokens_and_sends_no_key(both: Site) -> None:
    for channel in admin(both.gateway, "GET", "/channels").json["channels"]:
        result = admin(both.gateway, "POST", f"/channels/{channel['id']}/test", {}).json
        assert result["ok"], result
    methods = Counter(call.method for call in both.google.calls)
    assert methods == {"countTokens": 3}
    assert {call.who for call in both.google.calls} == {EXPRESS_KEY, "one", "two"}
