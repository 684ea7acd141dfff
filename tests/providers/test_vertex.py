"""Vertex AI's opener without a socket: addresses, credentials, tokens, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from dragoman.canonical.errors import (
    GatewayError,
    InvalidRequest,
    UpstreamBroken,
    UpstreamMisconfigured,
    UpstreamModelMissing,
    UpstreamRateLimited,
    UpstreamRefusedCredential,
)
from dragoman.canonical.secret import Secret
from dragoman.providers.catalog import load_catalog
from dragoman.providers.opening import Draft, Lock, Memory, Opened, Purpose
from dragoman.providers.vertex import open_vertex
from dragoman.providers.vertex_account import AccountError, read_account
from dragoman.providers.vertex_variants import ENDINGS
from dragoman.wire.http import HttpReply, HttpRequest
from tests.support.google_accounts import Account, Refused, Tokens

NOW = 1_800_000_000.0
BASE = "https://aiplatform.googleapis.com"
TOKEN_URI = "https://oauth2.googleapis.com/token"
EXPRESS = Secret("AQ.express-key-0123456789")
ACCOUNT = Account("one", 1)
ROW = load_catalog()["vertex"]


def secret(account: Account = ACCOUNT, **changes: Any) -> Secret:
    fields = {**account.document(TOKEN_URI), **changes}
    return Secret(json.dumps({name: value for name, value in fields.items() if value is not None}))


def draft(
    credential: Secret | None,
    *,
    model: str = "gemini-2.5-flash",
    verb: str = "generateContent",
    protocol: str = "gemini_generate",
    purpose: Purpose = "generate",
    base_url: str = BASE,
    body: Mapping[str, Any] | None = None,
    now: float = NOW,
    **quirks: Any,
) -> Draft:
    path = "chat/completions" if protocol == "openai_chat" else f"models/{model}:{verb}"
    key = credential.reveal() if credential else ""
    return Draft(
        request=HttpRequest(
            method="POST",
            url=f"{base_url}/v1beta/{path}",
            headers={"content-type": "application/json", "x-goog-api-key": key},
            body=json.dumps(body or {}).encode(),
        ),
        purpose=purpose,
        protocol=protocol,
        provider="vertex",
        base_url=base_url,
        model=model,
        stream=verb.startswith("stream"),
        credential=credential,
        quirks={**ROW.quirks, **quirks},
        now=now,
    )


GRANTED = HttpReply(
    status=200, body=b'{"access_token":"ya29.t","expires_in":3599,"token_type":"Bearer"}'
)


def drive(
    opening: Draft, *replies: HttpReply, memory: Memory | None = None
) -> tuple[Opened, list[HttpRequest]]:
    """(what is to be sent, the requests on the way to it), with ``replies`` to those."""
    steps, waiting, sent = open_vertex(opening, memory or Memory()), list(replies), []
    reply: HttpReply | None = None
    while True:
        try:
            step = next(steps) if reply is None else steps.send(reply)
        except StopIteration as end:
            assert not waiting, "more replies than requests"
            return end.value, sent
        if isinstance(step, Lock):
            reply = HttpReply(status=0)
        else:
            assert isinstance(step, HttpRequest)
            sent.append(step)
            reply = waiting.pop(0)


# --- Addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "verb", ["generateContent", "streamGenerateContent?alt=sse", "countTokens"]
)
def test_an_express_key_needs_no_project(verb: str) -> None:
    opened, sent = drive(draft(EXPRESS, verb=verb))
    assert opened.request.url == f"{BASE}/v1/publishers/google/models/gemini-2.5-flash:{verb}"
    assert opened.request.headers["x-goog-api-key"] == EXPRESS.reveal()
    assert sent == []


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us-central1", "us-central1-aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_the_location_chooses_the_host(location: str | None, host: str) -> None:
    opened, _ = drive(draft(secret(), location=location), GRANTED)
    path = f"projects/one-project/locations/{location or 'global'}/publishers/google/models"
    assert opened.request.url == f"https://{host}/v1/{path}/gemini-2.5-flash:generateContent"
    assert opened.request.headers == {
        "content-type": "application/json",
        "authorization": "Bearer ya29.t",
    }


def test_direct_mode_has_an_address_of_its_own() -> None:
    given = draft(secret(), model="gemini-2.5-flash-openai", protocol="openai_chat", project="p-2")
    opened, _ = drive(given, GRANTED)
    assert opened.request.url == (
        f"{BASE}/v1/projects/p-2/locations/global/endpoints/openapi/chat/completions"
    )


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("https://proxy.example/vertex/", "https://proxy.example/vertex/v1"),
        ("https://proxy.example/v1beta1", "https://proxy.example/v1beta1"),
    ],
)
def test_an_address_of_ones_own_stands_whatever_the_location(base_url: str, root: str) -> None:
    opened, _ = drive(draft(secret(), base_url=base_url, location="us-east1"), GRANTED)
    place = "projects/one-project/locations/us-east1/publishers/google/models"
    assert opened.request.url == f"{root}/{place}/gemini-2.5-flash:generateContent"


def test_the_version_can_be_chosen() -> None:
    opened, _ = drive(draft(EXPRESS, api_version="v1beta1"))
    assert opened.request.url.startswith(f"{BASE}/v1beta1/publishers/")


@pytest.mark.parametrize(
    ("model", "resource"),
    [
        ("meta/llama-4", "publishers/meta/models/llama-4"),
        ("publishers/google/models/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro"),
        ("endpoints/123", "endpoints/123"),
        ("gemini-1/../../x", "publishers/gemini-1%2F..%2F../models/x"),
        ("gemini x?y=#z", "publishers/google/models/gemini%20x%3Fy%3D%23z"),
    ],
)
def test_models_by_other_paths(model: str, resource: str) -> None:
    opened, _ = drive(draft(secret(), model=model), GRANTED)
    place = "projects/one-project/locations/global"
    assert opened.request.url == f"{BASE}/v1/{place}/{resource}:generateContent"


@pytest.mark.parametrize(
    "quirks",
    [
        {"location": "evil.example/"},
        {"location": 5},
        {"project": "a/b"},
        {"api_version": "../v1"},
        {"safety_settings": "BLOCK_SOME"},
        {"safety_settings": [{"category": "x"}]},
    ],
)
def test_quirks_that_make_no_sense_are_told_before_anything_is_sent(quirks: Any) -> None:
    with pytest.raises(UpstreamMisconfigured):
        drive(draft(secret(), **quirks))


def test_an_account_without_a_project_needs_one_from_the_channel() -> None:
    with pytest.raises(UpstreamMisconfigured, match="GCP_PROJECT_ID"):
        drive(draft(secret(project_id=None)))
    opened, _ = drive(draft(secret(project_id=None), project="p-2"), GRANTED)
    assert "/projects/p-2/" in opened.request.url


def test_trying_out_counts_the_tokens_of_a_known_model() -> None:
    opened, _ = drive(draft(EXPRESS, purpose="models", model=""))
    model = ROW.quirks["check_model"]
    assert opened.request.url == f"{BASE}/v1/publishers/google/models/{model}:countTokens"
    assert json.loads(opened.request.body)["contents"]


# --- What an express key cannot do -----------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"model": "gemini-2.5-flash-openai", "protocol": "openai_chat"},
        {"model": "text-embedding-005", "verb": "predict", "purpose": "embed"},
    ],
)
def test_another_credential_is_tried_for_what_an_express_key_cannot_do(options: Any) -> None:
    with pytest.raises(UpstreamRefusedCredential, match="needs a service account") as refused:
        drive(draft(EXPRESS, **options))
    assert refused.value.upstream_status == 403, "the key is not benched for everything"


def test_no_credential_at_all() -> None:
    with pytest.raises(UpstreamRefusedCredential, match="neither"):
        drive(draft(None))


# --- Tokens ----------------------------------------------------------------------------------------


def test_the_assertion_is_one_that_google_accepts() -> None:
    google = Tokens(TOKEN_URI)
    google.add(ACCOUNT)
    _, (request,) = drive(draft(secret(), now=time.time()), GRANTED)
    assert request.url == TOKEN_URI
    granted = google.exchange(request.headers["content-type"], request.body)
    assert google.whose(f"Bearer {granted['access_token']}") is ACCOUNT
    late = draft(secret(), now=time.time() - 3700)
    _, (request,) = drive(late, GRANTED)
    with pytest.raises(Refused, match="reasonable"):
        google.exchange(request.headers["content-type"], request.body)
    other = secret(Account("one", 2))  # signed with a key that is not this account's
    _, (request,) = drive(draft(other, now=time.time()), GRANTED)
    with pytest.raises(Refused, match="Signature"):
        google.exchange(request.headers["content-type"], request.body)
    assert "assertion" in parse_qs(request.body.decode())


def test_a_token_is_kept_and_renewed_five_minutes_early() -> None:
    memory = Memory()
    drive(draft(secret()), GRANTED, memory=memory)
    for seconds in (1, 3298):
        opened, sent = drive(draft(secret(), now=NOW + seconds), memory=memory)
        assert opened.request.headers["authorization"] == "Bearer ya29.t"
        assert sent == []
    _, sent = drive(draft(secret(), now=NOW + 3300), GRANTED, memory=memory)
    assert len(sent) == 1
    _, sent = drive(draft(secret(Account("two", 2))), GRANTED, memory=memory)
    assert len(sent) == 1, "each account has its own"


def test_who_waited_for_the_lock_takes_the_token_that_came_meanwhile() -> None:
    memory = Memory()
    second = open_vertex(draft(secret()), memory)
    assert isinstance(next(second), Lock)
    drive(draft(secret()), GRANTED, memory=memory)
    with pytest.raises(StopIteration) as end:
        second.send(HttpReply(status=0))
    assert end.value.value.request.headers["authorization"] == "Bearer ya29.t"


def test_a_refusal_is_not_asked_for_again_at_once() -> None:
    memory = Memory()
    reply = HttpReply(status=400, body=b'{"error":"invalid_grant","error_description":"x"}')
    with pytest.raises(UpstreamRefusedCredential, match="a clock is wrong") as first:
        drive(draft(secret()), reply, memory=memory)
    assert first.value.upstream_status == 401, "the credential is benched"
    with pytest.raises(UpstreamRefusedCredential, match="a clock is wrong"):
        drive(draft(secret(), now=NOW + 9), memory=memory)
    opened, _ = drive(draft(secret(), now=NOW + 11), GRANTED, memory=memory)
    assert opened.request.headers["authorization"] == "Bearer ya29.t"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (HttpReply(status=400, body=b"<html>"), UpstreamRefusedCredential),
        (HttpReply(status=403, body=b'{"error":{"code":403}}'), UpstreamRefusedCredential),
        (HttpReply(status=429), UpstreamRateLimited),
        (HttpReply(status=503), GatewayError),
        (HttpReply(status=200, body=b"[]"), UpstreamBroken),
        (HttpReply(status=200, body=b'{"access_token":"a\\nb"}'), UpstreamBroken),
        (HttpReply(status=200, body=b'{"access_token":"a","expires_in":-1}'), UpstreamBroken),
        (HttpReply(status=200, body=b'{"access_token":"a","expires_in":true}'), UpstreamBroken),
    ],
)
def test_answers_of_the_token_endpoint_that_are_no_token(
    reply: HttpReply, error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        drive(draft(secret()), reply)


def test_a_token_refused_before_its_time_is_fetched_anew_once() -> None:
    memory = Memory()
    drive(draft(secret()), GRANTED, memory=memory)
    opened, _ = drive(draft(secret()), memory=memory)
    assert opened.failed is not None
    refused = UpstreamRefusedCredential("no", upstream_status=401)
    recourse = opened.failed(refused)
    assert recourse.error is refused
    assert recourse.again is not None
    assert isinstance(next(recourse.again), Lock), "the old one is forgotten"
    fresh, _ = drive(draft(secret()), GRANTED, memory=Memory())
    assert fresh.failed is not None
    assert fresh.failed(refused).again is None, "a new one that is refused will be again"
    for status in (403, 429):
        error = UpstreamRefusedCredential("no", upstream_status=status)
        assert opened.failed(error).again is None


# --- Broken accounts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"type": "service_account",', "is not valid JSON"),
        ("[1]", "is no JSON object"),
        ('{"type": "authorized_user"}', "but authorized_user"),
        ('{"type": "sk-canary!"}', "is no service account: "),
        ('{"type": "service_account"}', "has no 'client_email'"),
        ('{"type": "service_account", "client_email": 5}', "has a bad 'client_email'"),
    ],
)
def test_what_is_no_service_account(text: str, why: str) -> None:
    with pytest.raises(AccountError, match=why) as error:
        read_account(Secret(text))
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://oauth2.googleapis.com/token",
        "http://127.0.0.1.evil.example/token",
        "ftp://oauth2.googleapis.com",
        "https://",
        "https://user@host/token",
        "//host/token",
        "https://host:x/",
    ],
)
def test_an_assertion_never_travels_in_the_clear(uri: str) -> None:
    with pytest.raises(AccountError, match="token_uri"):
        read_account(secret(token_uri=uri))


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/t", "http://[::1]/t", "http://localhost/t"])
def test_this_machine_may_be_asked_in_the_clear(uri: str) -> None:
    assert read_account(secret(token_uri=uri)).token_uri == uri


def test_a_private_key_that_is_none_is_told_without_showing_it() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"
    with pytest.raises(UpstreamRefusedCredential, match="no RSA key in PEM form") as refused:
        drive(draft(secret(private_key=pem)))
    assert "Y2FuYXJ5" not in str(refused.value)


# --- Endings ---------------------------------------------------------------------------------------


def test_the_row_and_the_opener_know_the_same_endings() -> None:
    assert ROW.naming is not None
    assert ROW.naming.endings.keys() == ENDINGS.keys()
    direct = {ending for ending, change in ENDINGS.items() if change is None}
    assert {
        one for one, protocol in ROW.naming.protocols.items() if protocol == "openai_chat"
    } == direct


@pytest.mark.parametrize("model", [*ROW.models])
def test_every_variant_that_is_listed_works(model: str) -> None:
    assert ROW.naming is not None
    for name in ROW.naming.listed([model]):
        protocol = ROW.naming.protocol(name)
        body = {"model": name, "contents": [], "messages": []}
        opened, _ = drive(draft(secret(), model=name, protocol=protocol, body=body), GRANTED)
        assert (f"/{model}:" in opened.request.url) is (protocol == "gemini_generate")


def test_a_body_that_nothing_changes_stays_as_it_came() -> None:
    given = draft(EXPRESS)
    given.request.body = b'{ "contents" : [ ] }'
    opened, _ = drive(given)
    assert opened.request.body == b'{ "contents" : [ ] }'
    assert opened.notes == []


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("gemini-2.5-flash-auto", UpstreamModelMissing),
        ("gemini-2.5-flash-ENCRYPT", UpstreamModelMissing),
        ("gemini-2.0-flash-max", InvalidRequest),
        ("gemini-3-pro-image-nothinking", InvalidRequest),
        ("gemini-2.5-flash-4k", InvalidRequest),
        ("gemini-2.5-flash-openai", UpstreamModelMissing),
    ],
)
def test_endings_that_do_not_suit(model: str, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        drive(draft(EXPRESS, model=model))


def test_native_endings_are_refused_where_openais_protocol_is_spoken() -> None:
    with pytest.raises(InvalidRequest, match="native protocol"):
        drive(draft(secret(), model="gemini-2.5-flash-max", protocol="openai_chat"))


def test_direct_mode_for_a_model_of_which_nothing_is_known() -> None:
    body = {"messages": [], "reasoning_effort": "low"}
    given = draft(
        secret(),
        model="llama-openai",
        protocol="openai_chat",
        body=body,
        **{"openai_chat.think_tag": ""},
    )
    opened, _ = drive(given, GRANTED)
    assert json.loads(opened.request.body) == {**body, "model": "google/llama"}


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"thinking_budget": 0, "include_thoughts": False}),
        ("gemini-2.5-pro", "none", {"thinking_budget": 128, "include_thoughts": True}),
        ("gemini-2.5-flash", "medium", {"thinking_budget": 8192, "include_thoughts": True}),
        ("gemini-2.5-pro", "xhigh", {"thinking_budget": 24576, "include_thoughts": True}),
        ("gemini-3.1-pro-preview", "none", {"thinking_level": "low", "include_thoughts": True}),
        ("gemini-3.5-flash", "minimal", {"thinking_level": "minimal", "include_thoughts": True}),
        ("gemini-3.5-flash", "xhigh", {"thinking_level": "high", "include_thoughts": True}),
    ],
)
def test_efforts_in_direct_mode(model: str, effort: str, thinking: dict[str, Any]) -> None:
    body = {"messages": [], "reasoning_effort": effort}
    given = draft(secret(), model=f"{model}-openai", protocol="openai_chat", body=body)
    opened, _ = drive(given, GRANTED)
    sent = json.loads(opened.request.body)
    assert sent["extra_body"]["google"]["thinking_config"] == thinking
    assert "reasoning_effort" not in sent
