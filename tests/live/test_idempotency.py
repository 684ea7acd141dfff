"""Requests with an Idempotency-Key, over real sockets and by real SDKs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest

from tests.live.raw import BEARER, Reply, ask, path_of, request_body
from tests.live.routes import Group, Site, serving, settles
from tests.support.flexible_upstream import OK, TEXT, Hold
from tests.support.flexible_upstream import Reply as Upstream
from tests.support.gateway import TOKEN, Gateway, token_for
from tests.support.upstream import StandIn

KEYED = Group("keyed", only={"max_retries": 0})


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A gateway in front of an upstream whose answers can be held."""
    with serving([KEYED]) as running:
        yield running


@pytest.fixture
def door(site: Site) -> Any:
    """The only channel's upstream, as new."""
    found = site.door(KEYED, "only")
    found.seen.clear()
    found.reply = OK
    return found


def keyed(key: str, token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "idempotency-key": key}


def send(
    gateway: Gateway, key: str, model: str = "keyed", *, token: str = TOKEN, **more: Any
) -> Reply:
    """A chat request with the key."""
    body = request_body("openai_chat", model, **more)
    return ask(gateway, "POST", "/v1/chat/completions", body, keyed(key, token))


def fresh() -> str:
    return str(uuid.uuid4())


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.json["error"]["code"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_answer_and_is_served_once(
    site: Site, door: Any, stream: bool
) -> None:
    key = fresh()
    first = send(site.gateway, key, stream=stream)
    assert first.status == 200
    assert "idempotent-replayed" not in first.headers
    for _ in range(2):
        again = send(site.gateway, key, stream=stream)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["idempotent-replayed"] == "true"
        for name in ("x-request-id", "inference-id", "content-type"):
            assert again.headers[name] == first.headers[name]
    assert len(door.seen) == 1


def test_another_body_is_refused(site: Site, door: Any) -> None:
    key = fresh()
    assert send(site.gateway, key).status == 200
    assert code(send(site.gateway, key, temperature=0.5)) == (422, "idempotency_key_reused")
    assert len(door.seen) == 1


def test_a_request_in_flight_is_not_begun_again(site: Site, door: Any) -> None:
    key, hold = fresh(), Hold()
    door.reply = Upstream(hold=hold)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, site.gateway, key)
        assert settles(lambda: len(door.seen) == 1)
        second = send(site.gateway, key)
        assert code(second) == (409, "idempotency_key_in_use")
        assert int(second.headers["retry-after"]) >= 1
        assert "x-should-retry" not in second.headers
        assert code(send(site.gateway, key, n=1)) == (422, "idempotency_key_reused")
        hold.release()
        assert first.result().status == 200
    assert send(site.gateway, key).body == first.result().body
    assert len(door.seen) == 1


def test_two_hundred_at_once_are_served_once(site: Site, door: Any) -> None:
    key = fresh()
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda _: send(site.gateway, key), range(200)))
    assert {reply.status for reply in replies} <= {200, 409}
    assert len({reply.body for reply in replies if reply.status == 200}) == 1
    assert len(door.seen) == 1


def test_a_key_is_its_owners(gateway: Gateway, upstream: StandIn) -> None:
    key, model = fresh(), "openai_chat/text"
    for token in (TOKEN, token_for("openai_chat")):
        reply = send(gateway, key, model, token=token)
        assert reply.status == 200
        assert "idempotent-replayed" not in reply.headers
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_left_finds_the_whole_answer(site: Site, door: Any, stream: bool) -> None:
    """It sent a key to come back: the answer is finished, and paid for once."""
    key, hold = fresh(), Hold()
    door.reply = Upstream(hold=hold, hold_after=1 if stream else None)
    body = request_body("openai_chat", "keyed", stream=stream)
    connection = http.client.HTTPConnection("127.0.0.1", site.gateway.port, timeout=20)
    headers = {"content-type": "application/json", **keyed(key)}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    assert settles(lambda: len(door.seen) == 1)
    if stream:
        connection.getresponse().read(1)
    connection.close()
    # Longer than it takes to notice a client that left: it is not taken for one.
    assert not door.seen[0].left.wait(1.0)
    hold.release()
    assert settles(lambda: send(site.gateway, key, stream=stream).status == 200)
    again = send(site.gateway, key, stream=stream)
    assert again.headers["idempotent-replayed"] == "true"
    text = again.body.decode()
    if stream:
        pieces = [json.loads(line[6:]) for line in text.splitlines() if line[:7] == "data: {"]
        text = "".join(
            p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"]
        )
    assert TEXT in text
    assert len(door.seen) == 1


@pytest.mark.parametrize(("status", "shown"), [(500, 502), (429, 429), (503, 503)])
def test_an_error_that_may_be_tried_again_can_be(
    site: Site, door: Any, status: int, shown: int
) -> None:
    key = fresh()
    door.reply = Upstream(status=status)
    assert send(site.gateway, key).status == shown
    door.reply = OK
    # The channel may be resting for a moment after its failure.
    assert settles(lambda: send(site.gateway, key).status == 200)
    assert send(site.gateway, key).headers["idempotent-replayed"] == "true"


def test_an_upstreams_final_word_is_kept(site: Site, door: Any) -> None:
    key = fresh()
    door.reply = Upstream(status=400)
    first = send(site.gateway, key)
    assert first.status == 400
    door.reply = OK
    again = send(site.gateway, key)
    assert (again.status, again.body) == (400, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert len(door.seen) == 1


def test_refusals_are_not_kept(site: Site, door: Any) -> None:
    key = fresh()
    assert send(site.gateway, key, "no-such-model").status == 404
    assert send(site.gateway, key, token="sk-gw-wrong-0123456789").status == 401
    assert send(site.gateway, key).status == 200


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "x" * 256])
def test_a_key_that_is_none_is_refused(site: Site, door: Any, key: str) -> None:
    reply = send(site.gateway, key)
    assert reply.status == 400
    assert reply.json["error"]["param"] == "Idempotency-Key"
    assert not door.seen


def test_a_key_given_twice_is_refused(site: Site, door: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.gateway.port, timeout=20)
    body = json.dumps(request_body("openai_chat", "keyed")).encode()
    connection.putrequest("POST", "/v1/chat/completions")
    for name, text in {**BEARER, "content-length": str(len(body))}.items():
        connection.putheader(name, text)
    connection.putheader("Idempotency-Key", "one")
    connection.putheader("Idempotency-Key", "two")
    connection.endheaders(body)
    assert Reply(connection.getresponse()).status == 400
    assert not door.seen


def test_the_longest_key_is_taken(site: Site, door: Any) -> None:
    assert send(site.gateway, fresh().ljust(255, "~")).status == 200


def test_answers_outlive_a_restart_and_are_sealed(site: Site, door: Any) -> None:
    key = fresh()
    first = send(site.gateway, key)
    site.gateway.restart()
    again = send(site.gateway, key)
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert len(door.seen) == 1
    for file in (site.gateway.folder / "data").glob("dragoman.db*"):
        assert TEXT.encode() not in file.read_bytes()


def test_a_key_whose_process_died_is_free(site: Site, door: Any) -> None:
    """Nothing was charged, so there is nothing to be charged twice."""
    key, hold = fresh(), Hold()
    door.reply = Upstream(hold=hold)
    asking = threading.Thread(target=lambda: _quietly(site, key))
    asking.start()
    assert settles(lambda: len(door.seen) == 1)
    os.kill(site.gateway.pid, signal.SIGKILL)
    asking.join(10)
    hold.release()
    door.reply = OK
    site.gateway.restart()
    reply = send(site.gateway, key)
    assert reply.status == 200
    assert "idempotent-replayed" not in reply.headers


def test_a_lost_answer_that_was_charged_is_not_charged_twice(site: Site, door: Any) -> None:
    """As a kill -9 leaves it: the ledger has the request, and nobody has its answer."""
    key = fresh()
    first = send(site.gateway, key)
    site.gateway.stop()
    database = sqlite3.connect(site.gateway.folder / "data" / "dragoman.db")
    with database:
        database.execute("UPDATE idempotency SET state = 'open', size = 0, sealed = NULL")
    database.close()
    site.gateway.restart()
    for _ in range(2):
        lost = send(site.gateway, key)
        assert code(lost) == (409, "idempotent_answer_lost")
        assert lost.headers["x-should-retry"] == "false"
        assert first.headers["x-request-id"] in lost.json["error"]["message"]
    assert len(door.seen) == 1


def _quietly(site: Site, key: str) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        send(site.gateway, key)


def test_a_database_that_is_away_promises_nothing(site: Site, door: Any) -> None:
    database = sqlite3.connect(site.gateway.folder / "data" / "dragoman.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        refused = send(site.gateway, fresh())
        assert refused.status == 503
        assert "Idempotency-Key" in refused.json["error"]["message"]
        assert not door.seen
        plain = ask(
            site.gateway, "POST", "/v1/chat/completions", request_body("openai_chat", "keyed")
        )
        assert plain.status == 200, "nobody else waits for the database"
    finally:
        database.rollback()
        database.close()


def test_embeddings_too(gateway: Gateway, upstream: StandIn) -> None:
    body = {"model": "openai_chat/text", "input": "hi"}
    key = fresh()
    replies = [ask(gateway, "POST", "/v1/embeddings", body, keyed(key)) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert len(upstream.requests) == 1
    counted = {"model": "anthropic_messages/text", "messages": [{"role": "user", "content": "x"}]}
    for _ in range(2):  # a count costs nothing, and is not kept
        reply = ask(gateway, "POST", "/v1/messages/count_tokens", counted, keyed(key))
        assert "idempotent-replayed" not in reply.headers


@pytest.mark.parametrize("protocol", ["anthropic_messages", "gemini_generate", "ollama_chat"])
def test_every_protocol_says_it_in_its_own_words(gateway: Gateway, protocol: str) -> None:
    model = f"{protocol}/text"
    path, key = path_of(protocol, model), fresh()
    first = ask(gateway, "POST", path, request_body(protocol, model), keyed(key))
    assert first.status == 200
    other = request_body(protocol, model)
    other["user" if protocol != "gemini_generate" else "labels"] = {}
    refused = ask(gateway, "POST", path, other, keyed(key))
    assert refused.status == 422
    assert "Idempotency-Key" in refused.error[0]


def test_sdks_get_the_same_message_again(gateway: Gateway, upstream: StandIn) -> None:
    key = {"Idempotency-Key": fresh()}
    chat = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0)
    said = [
        chat.chat.completions.create(
            model="openai_chat/text",
            messages=[{"role": "user", "content": "Say hello."}],
            extra_headers=key,
        )
        for _ in range(2)
    ]
    assert said[0] == said[1]
    assert len(upstream.requests) == 1
    another = {"Idempotency-Key": fresh()}
    messages = anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN, max_retries=0)
    streams = []
    for _ in range(2):
        with messages.messages.stream(
            model="anthropic_messages/text",
            max_tokens=50,
            messages=[{"role": "user", "content": "Say hello."}],
            extra_headers=another,
        ) as stream:
            streams.append(stream.get_final_message())
    assert streams[0] == streams[1]
    assert len(upstream.requests) == 2
    with pytest.raises(openai.UnprocessableEntityError):
        chat.chat.completions.create(
            model="openai_chat/text",
            messages=[{"role": "user", "content": "Something else."}],
            extra_headers=key,
        )
