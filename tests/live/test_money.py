"""Limits and money through the real gateway: what clients are told, and what they are charged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from tests.live.administered import admin
from tests.live.money import MODEL, NANO_PER_TOKEN, Shop, shop
from tests.live.raw import Reply, ask, path_of, request_body
from tests.live.routes import settles
from tests.support.flexible_upstream import OK, Hold
from tests.support.flexible_upstream import Reply as Upstream
from tests.support.load import Told, ask_once

CHAT = "/v1/chat/completions"
PROTOCOLS = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")


@pytest.fixture(scope="module")
def store() -> Iterator[Shop]:
    """One shop for the tests of this module; each has users of its own."""
    with shop() as one:
        yield one


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return request.node.name[:80]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def chat(one: Shop, key: str, **fields: Any) -> Reply:
    body = {**request_body("openai_chat", MODEL), "max_tokens": 50, **fields}
    return ask(one.gateway, "POST", CHAT, body, bearer(key))


def events(reply: Reply) -> list[dict[str, Any]]:
    """The JSON events of a stream."""
    lines = [line.removeprefix(b"data: ") for line in reply.body.split(b"\n")]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@pytest.mark.row("S3-23")
def test_credit_is_deducted_by_the_tokens_that_the_answer_reports(store: Shop, name: str) -> None:
    user = store.user(name, usd="1")
    reply = chat(store, store.key(name, name))
    tokens = reply.json["usage"]["prompt_tokens"] + reply.json["usage"]["completion_tokens"]
    assert reply.headers["dragoman-cost-nano-usd"] == str(tokens * NANO_PER_TOKEN)
    assert store.balance(user) == 10**9 - tokens * NANO_PER_TOKEN


@pytest.mark.row("S3-25")
def test_out_of_credit_is_402_with_each_protocols_own_code(store: Shop, name: str) -> None:
    store.user(name, usd="0.000001")
    key = store.key(name, name)
    for protocol in PROTOCOLS:
        path = path_of(protocol, MODEL)
        reply = ask(store.gateway, "POST", path, request_body(protocol, MODEL), bearer(key))
        assert reply.status == 402, reply.body
        message, rest = reply.error
        assert "credit" in message.lower()
        if protocol.startswith("openai"):
            assert "insufficient_quota" in rest
        assert "retry-after" not in reply.headers


def test_sdks_do_not_retry_when_the_money_is_out(store: Shop, name: str) -> None:
    store.user(name, usd="0.000001")
    key = store.key(name, name)
    before = len(store.door.seen)
    client = openai.OpenAI(api_key=key, base_url=f"{store.gateway.url}/v1", max_retries=5)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}])
    assert caught.value.status_code == 402
    claude = anthropic.Anthropic(api_key=key, base_url=store.gateway.url, max_retries=5)
    with pytest.raises(anthropic.APIStatusError) as refused:
        claude.messages.create(
            model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "x"}]
        )
    assert refused.value.status_code == 402
    assert len(store.door.seen) == before


def test_200_at_once_on_an_account_that_can_pay_for_ten(store: Shop, name: str) -> None:
    # Nothing is released before all have been admitted or refused, so each of the ten holds the
    # most that it may cost.
    key = store.key(name, "default")
    probe = chat(store, key)
    assert probe.status == 200
    hold = Hold()
    store.door.reply = Upstream(hold=hold)
    user = store.user(name, usd="1")
    key = store.key(f"{name} paying", name)

    async def one_hold() -> int:
        """What a request holds: seen while it waits for its upstream."""
        async with aiohttp.ClientSession() as session:
            told = Told()
            asking = asyncio.ensure_future(
                ask_once(session, store.gateway.url, key, told, model=MODEL, stream=False)
            )
            held = 0
            while not held:
                await asyncio.sleep(0.01)
                shown = await asyncio.to_thread(admin, store.gateway, "GET", f"/users/{user}")
                held = shown.json["held_nano_usd"]
            hold.release()
            await asking
            return held

    held = asyncio.run(one_hold())
    gate = Hold()
    store.door.reply = Upstream(hold=gate)
    poor = store.user(f"{name} poor", usd=str(Decimal(10 * held + held - 1) / 10**9))
    key = store.key(f"{name} poor", f"{name} poor")

    async def crowd() -> Told:
        told = Told()
        connector = aiohttp.TCPConnector(limit=200)
        async with aiohttp.ClientSession(connector=connector) as session:
            asking = [
                asyncio.ensure_future(
                    ask_once(session, store.gateway.url, key, told, model=MODEL, stream=False)
                )
                for _ in range(200)
            ]
            while told.statuses.get(402, 0) < 190:
                await asyncio.sleep(0.01)
            gate.release()
            await asyncio.gather(*asking)
        return told

    told = asyncio.run(crowd())
    store.door.reply = OK
    assert told.statuses == {200: 10, 402: 190}
    spent = sum(told.served.values()) * NANO_PER_TOKEN
    assert store.balance(poor) == 11 * held - 1 - spent


@pytest.mark.row("S3-21")
@pytest.mark.row("S3-22")
@pytest.mark.row("S4-41")
@pytest.mark.row("S4-44")
@pytest.mark.row("S4-45")
def test_a_keys_rate_limit_is_429_with_when_to_retry(store: Shop, name: str) -> None:
    key = store.key(name, "default", limits={"requests_per_minute": 2})
    left = [chat(store, key).headers["x-ratelimit-remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = chat(store, key)
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert int(refused.headers["x-ratelimit-reset"]) > 1_700_000_000
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    message, rest = refused.error
    assert "2 requests per minute" in message
    assert "rate_limit" in rest
    assert chat(store, store.key(f"{name} other", "default")).status == 200


@pytest.mark.row("S4-42")
def test_a_users_limit_is_for_all_of_their_keys_together(store: Shop, name: str) -> None:
    store.user(name, limits={"requests_per_hour": 3})
    keys = [store.key(f"{name} {number}", name) for number in range(4)]
    assert [chat(store, key).status for key in keys] == [200, 200, 200, 429]


@pytest.mark.row("S4-43")
def test_the_gateways_limit_is_for_everybody() -> None:
    with shop({"limits": {"requests_per_day": 2}}) as one:
        keys = []
        for number in range(3):
            one.user(f"user {number}")
            keys.append(one.key(f"key {number}", f"user {number}"))
        assert [chat(one, key).status for key in keys] == [200, 200, 429]
        one.gateway.stop()  # a daily limit does not begin anew with a restart
        one.gateway.start_again()
        assert chat(one, keys[0]).status == 429


def test_anthropics_clients_read_their_own_headers(store: Shop, name: str) -> None:
    limits = {"requests_per_minute": 5, "tokens_per_minute": 100_000}
    key = store.key(name, "default", limits=limits)
    claude = anthropic.Anthropic(api_key=key, base_url=store.gateway.url)
    raw = claude.messages.with_raw_response.create(
        model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "x"}]
    )
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "4"
    assert int(raw.headers["anthropic-ratelimit-tokens-remaining"]) > 99_000
    assert raw.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")


def test_tokens_are_limited_by_what_answers_used(store: Shop, name: str) -> None:
    key = store.key(name, "default", limits={"tokens_per_hour": 1_000})
    reply = chat(store, key)
    after = chat(store, key)
    used = reply.json["usage"]["total_tokens"] + 50 + 30  # the second is still an estimate
    assert 1_000 - 2 * used <= int(after.headers["x-ratelimit-remaining-tokens"]) < 1_000
    too_large = chat(store, key, messages=[{"role": "user", "content": "word " * 5_000}])
    assert too_large.status == 429
    assert too_large.headers["x-should-retry"] == "false"


def test_requests_at_once_are_limited(store: Shop, name: str) -> None:
    key = store.key(name, "default", limits={"concurrent_requests": 1})
    hold = Hold()
    store.door.reply = Upstream(hold=hold)

    async def work() -> list[int]:
        told = Told()
        async with aiohttp.ClientSession() as session:
            url = store.gateway.url
            first = asyncio.ensure_future(
                ask_once(session, url, key, told, model=MODEL, stream=True)
            )
            while told.statuses.get(429) is None:
                await asyncio.sleep(0.01)
                if store.door.in_flight:
                    await ask_once(session, url, key, told, model=MODEL, stream=False)
            hold.release()
            await first
            store.door.reply = OK
            await ask_once(session, url, key, told, model=MODEL, stream=False)
        return sorted(told.statuses.items())

    assert asyncio.run(work()) == [(200, 2), (429, 1)]


def test_a_budget_refuses_what_it_cannot_pay_for_sure(store: Shop, name: str) -> None:
    key = store.key(name, "default", budget={"month": "0.000001"})
    refused = chat(store, key)
    assert refused.status == 402
    assert "budget" in refused.error[0]


@pytest.mark.row("S3-24")
def test_a_trial_ends_with_its_tokens(store: Shop, name: str) -> None:
    user = store.user(name)
    made = admin(store.gateway, "POST", f"/users/{user}/trial", {"tokens": 100, "days": 3})
    assert made.status == 200, made.body
    key = store.key(name, name)
    replies = []
    while (reply := chat(store, key)).status == 200:
        replies.append(reply)
    assert reply.status == 429
    assert int(reply.headers["x-trial-remaining-tokens"]) < 100
    assert replies
    assert store.balance(user) == 0


@pytest.mark.row("S3-27")
@pytest.mark.row("S3-28")
@pytest.mark.row("S3-29")
def test_clients_that_name_hugging_face_are_told_their_charges() -> None:
    with shop(channel={"type": "huggingface"}) as one:
        key = one.key("hf", "default")
        whole = chat(one, key, provider="huggingface").json
        told = whole["gateway_usage"]
        tokens = whole["usage"]["total_tokens"]
        assert told["tokens_charged"] == tokens
        assert told["cost_nano_usd"] == tokens * NANO_PER_TOKEN
        assert Decimal(str(told["cost_usd"])) == Decimal(tokens * NANO_PER_TOKEN) / 10**9
        assert 0 < told["request_ms"] < 20_000

        streamed = events(chat(one, key, provider="hug", stream=True))
        assert streamed[-1]["gateway_usage"]["tokens_charged"] == tokens
        assert all("gateway_usage" not in event for event in streamed[:-1])
        assert "gateway_usage" not in chat(one, key).json


def test_a_setting_tells_everybody_in_every_protocol() -> None:
    with shop({"gateway_usage": True}) as one:
        key = one.key("all", "default")
        for protocol in PROTOCOLS:
            path = path_of(protocol, MODEL)
            body = request_body(protocol, MODEL)
            whole = ask(one.gateway, "POST", path, body, bearer(key)).json
            assert whole["gateway_usage"]["cost_nano_usd"] > 0
            if protocol == "gemini_generate":
                path = path.replace(":generateContent", ":streamGenerateContent")
                array = ask(one.gateway, "POST", path, body, bearer(key)).json
                assert array[-1]["gateway_usage"]["cost_nano_usd"] > 0
                path += "?alt=sse"
            else:
                body["stream"] = True
            streamed = events(ask(one.gateway, "POST", path, body, bearer(key)))
            assert streamed[-1]["gateway_usage"]["cost_nano_usd"] > 0
        claude = anthropic.Anthropic(api_key=key, base_url=one.gateway.url)
        with claude.messages.stream(
            model=MODEL, max_tokens=50, messages=[{"role": "user", "content": "x"}]
        ) as stream:
            assert "".join(stream.text_stream)
        client = openai.OpenAI(api_key=key, base_url=f"{one.gateway.url}/v1")
        chunks = list(
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True
            )
        )
        assert chunks[-1].model_extra is not None
        assert chunks[-1].model_extra["gateway_usage"]["tokens_charged"] > 0


def test_a_client_that_leaves_pays_for_what_was_produced(store: Shop, name: str) -> None:
    user = store.user(name, usd="1")
    key = store.key(name, name)
    hold = Hold()
    store.door.reply = Upstream(hold=hold, hold_after=3)

    async def leave() -> str:
        async with aiohttp.ClientSession() as session:
            body = {**request_body("openai_chat", MODEL), "stream": True, "max_tokens": 50}
            url = f"{store.gateway.url}{CHAT}"
            async with session.post(url, json=body, headers=bearer(key)) as reply:
                await reply.content.readuntil(b"content")
                request_id: str = reply.headers["x-request-id"]
                return request_id

    request_id = asyncio.run(leave())
    settles(lambda: admin(store.gateway, "GET", f"/ledger/{request_id}").status == 200)
    hold.release()
    store.door.reply = OK
    (entry,) = admin(store.gateway, "GET", f"/ledger/{request_id}").json["entries"]
    assert entry["outcome"] == "left"
    assert entry["usage"]["estimated"] is True
    assert entry["usage"]["output"] > 0
    assert store.balance(user) == 10**9 - entry["cost_nano_usd"]
    assert admin(store.gateway, "GET", f"/users/{user}").json["held_nano_usd"] == 0


def test_the_ledger_says_what_the_client_was_told(
    store: Shop, name: str, record_property: Callable[[str, object], None]
) -> None:
    key = store.key(name, "default")
    reply = chat(store, key)
    request_id = reply.headers["x-request-id"]
    settles(lambda: admin(store.gateway, "GET", f"/ledger/{request_id}").status == 200)
    (entry,) = admin(store.gateway, "GET", f"/ledger/{request_id}").json["entries"]
    usage = reply.json["usage"]
    assert entry["usage"]["input"] == usage["prompt_tokens"]
    assert entry["cost_nano_usd"] == int(reply.headers["dragoman-cost-nano-usd"])
    assert entry["price_source"] == "operator"
    record_property("entry", entry["id"])
    logged = admin(store.gateway, "GET", f"/requests/{request_id}").json
    assert logged["cost_nano_usd"] == entry["cost_nano_usd"]
