"""Real Gradio apps behind a real gateway: official clients, plain and streamed, and what goes wrong."""

from __future__ import annotations

import base64
import http.client
import json
import select
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from dragoman.providers.gradio_space import open_space
from dragoman.providers.opening import Memory
from dragoman.wire.http import HttpReply, HttpRequest
from tests.protocols.gradio_support import answer_of, deltas, events_of
from tests.providers.gradio_world import draft
from tests.support.gateway import Gateway
from tests.support.gradio_server import GradioServer

# The apps take a process of 250 MB: with --dist loadgroup there is one, however many workers.
pytestmark = pytest.mark.xdist_group("gradio")

TOKEN = "sk-gw-gradio-0123456789abcdef"
BUILT_IN_MODELS = (
    *("gpt-oss-20b", "gemma-3-12b", "gemma-2-9b", "gemma-2-2b", "gemma-3-270m", "qwen2.5-3b"),
)
OPERATORS = "hf_operator_0123456789"
CALLERS = "hf_caller_0123456789"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 92).decode()
SPACES: dict[str, Any] = {
    "talk": "team/text",
    "see": "team/files",
    "tuned": {"space": "team/tuned", "flags": "01"},
    "wrong-flags": {"space": "team/tuned", "flags": "11"},
    "wrong-endpoint": {"space": "team/text", "api_name": "/chat"},
    "ponder": "team/thinker",
    "limited": "team/quota",
    "broken": "team/broken",
    "slow": "team/slow",
    "asleep": "team/asleep",
    "building": "team/building",
    "missing": "team/nothing",
    "private": "team/private",
    "paint": "team/drawing",
    "history": "team/history",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GradioServer]:
    with GradioServer(tmp_path_factory.mktemp("gradio")) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server: GradioServer) -> Iterator[Gateway]:
    spaces = {
        "name": "spaces",
        "type": "gradio",
        "api_key": OPERATORS,
        "models": [*SPACES, *BUILT_IN_MODELS],
        "quirks": {"hub": server.url, "spaces": SPACES},
        "max_concurrency": 100,
        "max_retries": 0,
        "timeout": 20,
    }
    locked = {**spaces, "name": "bad token", "api_key": "hf_bad_0123456789", "models": ["locked"]}
    locked["quirks"] = {"hub": server.url, "spaces": {"locked": "team/text"}}
    own = {
        "name": "own",
        "type": "gradio",
        "api_key": OPERATORS,
        "base_url": f"{server.url}/plain",
        "models": ["plain"],
    }
    config = {
        "settings": {"allow_private_urls": ["127.0.0.1"]},
        "channels": [spaces, locked, own],
        "tokens": [{"name": "t", "key": TOKEN}],
    }
    with Gateway(config) as running:
        yield running


@pytest.fixture(scope="module")
def keyless(server: GradioServer) -> Iterator[Gateway]:
    """A gateway without keys and tokens of its own, whose clients bring theirs."""
    spaces = {
        "name": "spaces",
        "type": "gradio",
        "models": list(SPACES),
        "quirks": {"hub": server.url, "spaces": SPACES},
        "max_retries": 0,
    }
    with Gateway({"settings": {"require_auth": False}, "channels": [spaces]}) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=TOKEN, max_retries=0)


Say = Callable[..., Any]


@pytest.fixture(scope="module")
def say(client: openai.OpenAI) -> Say:
    """Ask a model and get its message."""

    def asked(model: str, *messages: Any, **options: Any) -> Any:
        turns = [
            {"role": "user", "content": one} if isinstance(one, str) else one for one in messages
        ]
        answer = client.chat.completions.create(model=model, messages=turns, **options)  # type: ignore[call-overload]
        assert answer.choices[0].finish_reason == "stop"
        return answer.choices[0].message

    return asked


def pieces(client: openai.OpenAI, model: str, prompt: str) -> list[Any]:
    """The deltas of a streamed answer."""
    chunks = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], stream=True
    )
    return [chunk.choices[0].delta for chunk in chunks if chunk.choices]


def failure(client: openai.OpenAI, model: str, prompt: str = "Hello") -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])
    return caught.value


def post(gateway: Gateway, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """The documented curl call."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    named = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, named, answer.read()


@pytest.mark.row("S0-1", "S0-3", "S0-4")
def test_a_plain_answer(gateway: Gateway) -> None:
    body = {"model": "talk", "messages": [{"role": "user", "content": "Hello"}], "stream": False}
    status, headers, raw = post(gateway, body)
    answer = json.loads(raw)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["role"] == "assistant"
    assert answer["choices"][0]["message"]["content"] == "You said: Hello"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] > 0
    assert answer["usage"]["completion_tokens"] > 0
    assert headers["dragoman-channel"] == "spaces"


@pytest.mark.row("S0-5", "S0-12")
def test_a_streamed_answer_ends_as_it_should(gateway: Gateway) -> None:
    body = {"model": "talk", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    status, headers, raw = post(gateway, body)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    assert raw.endswith(b"data: [DONE]\n\n")
    first = json.loads(raw.partition(b"\n")[0].removeprefix(b"data: "))
    assert first["object"] == "chat.completion.chunk"


@pytest.mark.row("S0-51")
def test_the_openai_sdk_sees_the_text_grow(client: openai.OpenAI, say: Say) -> None:
    assert say("talk", "Hello there").content == "You said: Hello there"
    deltas = [delta.content for delta in pieces(client, "talk", "Hello there") if delta.content]
    assert deltas == ["You", " said:", " Hello", " there"]


def test_usage_is_estimated_and_the_log_says_so(client: openai.OpenAI, gateway: Gateway) -> None:
    with client.chat.completions.with_raw_response.create(
        model="ponder",
        messages=[{"role": "user", "content": "2+2?"}],
        stream=True,
        stream_options={"include_usage": True},
    ).parse() as chunks:
        usage = [chunk.usage for chunk in chunks if chunk.usage][-1]
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens == 6
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 3


def test_an_anthropic_client_sees_thoughts_and_text(gateway: Gateway) -> None:
    client = anthropic.Anthropic(base_url=gateway.url, api_key=TOKEN, max_retries=0)
    with client.messages.stream(
        model="ponder", max_tokens=100, messages=[{"role": "user", "content": "2+2?"}]
    ) as events:
        kinds = [event.type for event in events]
        answer = events.get_final_message()
    assert [block.type for block in answer.content] == ["thinking", "text"]
    thought, text = answer.content
    assert isinstance(thought, anthropic.types.ThinkingBlock)
    assert isinstance(text, anthropic.types.TextBlock)
    assert (thought.thinking, text.text) == ("Let me see.", "It is four.")
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0
    assert kinds.count("content_block_delta") > 4


def test_thoughts_of_messages(client: openai.OpenAI, say: Say) -> None:
    message = say("ponder", "2+2?")
    assert (message.reasoning_content, message.content) == ("Let me see.", "It is four.")
    deltas = pieces(client, "ponder", "2+2?")
    thoughts = [d.reasoning_content for d in deltas if getattr(d, "reasoning_content", None)]
    assert thoughts == ["Let", " me", " see."]
    assert [d.content for d in deltas if d.content] == ["It", " is", " four."]


def test_a_thought_and_an_answer_in_a_pair(say: Say) -> None:
    """A plain endpoint of the operator's own server, which does not stream."""
    message = say("plain", "yes")
    assert (message.reasoning_content, message.content) == ("Let me see.", "YES")


@pytest.mark.row("S0-6", "S0-7", "S0-8", "S0-9", "S0-10", "S0-13")
def test_everything_the_documented_request_says_reaches_the_app(say: Say) -> None:
    message = say(
        "tuned",
        {"role": "system", "content": "You are a helpful assistant."},
        "Hello",
        max_tokens=2000,
        temperature=0.5,
        top_p=0.9,
        extra_body={"top_k": 40, "repetition_penalty": 1.1},
    )
    assert json.loads(message.content) == [
        *("Hello", "You are a helpful assistant.", 2000, 0.5, 0.9, 40, 1.1)
    ]


def test_what_does_not_fit_is_told(gateway: Gateway) -> None:
    body = {
        "model": "tuned",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0,
        "max_tokens": 100_000,
        "seed": 7,
        "logprobs": True,
    }
    _, headers, raw = post(gateway, body)
    answer = json.loads(json.loads(raw)["choices"][0]["message"]["content"])
    assert answer[1:4] == ["Be nice.", 2048, 0.1]
    assert headers["dragoman-translation"] == "clamped=2, dropped=2"


@pytest.mark.row("S0-14")
def test_earlier_turns_reach_the_app(say: Say) -> None:
    turns = ["One?", {"role": "assistant", "content": "Two."}, "Three?"]
    said = "You said: User: One?\nAssistant: Two.\nUser: Three?\n"
    assert say("talk", *turns).content == said
    assert say("history", *turns).content == "3 turns, Three?"


def test_images_are_uploaded(say: Say) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    content = [{"type": "text", "text": "Look."}, image, image]
    seen = json.loads(say("see", {"role": "user", "content": content}).content)
    assert seen["text"] == "Look."
    assert seen["sizes"] == [100, 100]
    assert [name.rpartition(".")[2] for name in seen["names"]] == ["png", "png"]


def test_images_by_address_are_fetched_and_uploaded(say: Say, server: GradioServer) -> None:
    """By the gateway, under its guard; the app is told no address."""
    image = {"type": "image_url", "image_url": {"url": f"{server.url}/photo.png"}}
    content = [{"type": "text", "text": "Look."}, image]
    seen = json.loads(say("see", {"role": "user", "content": content}).content)
    assert (seen["sizes"], len(seen["names"])) == ([200], 1)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=pytest.mark.row(row))
        for name, row in zip(
            BUILT_IN_MODELS,
            ("S0-15", "S0-16", "S0-17", "S0-18", "S0-19", "S0-20"),
            strict=True,
        )
    ],
)
def test_the_built_in_models_answer(say: Say, model: str) -> None:
    assert "Hello" in say(model, "Hello").content


@pytest.mark.row("S0-11")
def test_the_effort_reaches_the_model_as_a_sentence(say: Say) -> None:
    message = say(
        "gpt-oss-20b", {"role": "system", "content": "Be brief"}, "Hello", reasoning_effort="medium"
    )
    assert message.reasoning_content == "Let me see."
    assert json.loads(message.content)[:2] == ["Hello", "Be brief. Reasoning: medium"]


@pytest.mark.row("S0-2")
def test_the_models_are_listed(client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert listed >= {*SPACES, *BUILT_IN_MODELS, "plain"}


@pytest.mark.row("S0-30")
def test_wrong_flags_are_answered_with_the_right_ones(client: openai.OpenAI) -> None:
    error = failure(client, "wrong-flags")
    assert error.status_code == 400
    assert "the right ones are '01'" in error.message


@pytest.mark.parametrize(
    ("model", "status", "words"),
    [
        ("wrong-endpoint", 400, "There are /text."),
        ("paint", 400, "There are /infer."),
        ("missing", 404, "no Space team/nothing"),
        pytest.param("asleep", 503, "paused", marks=pytest.mark.row("S0-49")),
        ("building", 503, "coming up"),
        ("nonesuch", 404, "does not exist"),
    ],
)
def test_what_cannot_be_asked(client: openai.OpenAI, model: str, status: int, words: str) -> None:
    error = failure(client, model)
    assert error.status_code == status
    assert words in error.message
    assert OPERATORS not in str(error.body)
    if model == "building":
        assert error.response.headers["retry-after"] == "30"


@pytest.mark.row("S0-46", "S0-50")
def test_a_quota_that_is_used_up_with_and_without_the_token(
    client: openai.OpenAI, server: GradioServer
) -> None:
    server.tokens()
    error = failure(client, "limited", "always")
    assert error.status_code == 429
    assert error.response.headers["retry-after"] == "3723"
    assert "exceeded your GPU quota" in error.message
    assert set(server.tokens()) == {OPERATORS, ""}


@pytest.mark.row("S0-33")
def test_a_quota_that_is_the_tokens_only_is_got_round_by_going_without(
    client: openai.OpenAI, say: Say, server: GradioServer
) -> None:
    server.tokens()
    assert say("limited", "Hello").content == "Nobody knows you."
    deltas = [delta.content for delta in pieces(client, "limited", "Hello") if delta.content]
    assert "".join(deltas) == "Nobody knows you."
    joins = [token for _, path, token in server.get("/seen") if path.endswith("queue/join")]
    assert joins == [OPERATORS, "", OPERATORS, ""]


@pytest.mark.row("S0-32", "S0-33")
def test_a_token_that_is_refused_is_left_out(say: Say, server: GradioServer) -> None:
    server.tokens()
    assert say("locked", "Hello").content == "You said: Hello"
    tokens = server.tokens()
    assert tokens[0] == "hf_bad_0123456789"
    assert set(tokens[1:]) == {""}


@pytest.mark.row("S0-31", "S0-52")
def test_a_callers_own_token_is_used(keyless: Gateway, server: GradioServer) -> None:
    """In the key's place, as the documented calls have it."""
    server.tokens()
    client = openai.OpenAI(base_url=f"{keyless.url}/v1", api_key=CALLERS, max_retries=0)
    ask: Any = {"model": "talk", "messages": [{"role": "user", "content": "Hello"}]}
    assert client.chat.completions.create(**ask).choices[0].message.content == "You said: Hello"
    assert set(server.tokens()) == {CALLERS}
    stranger = client.with_options(api_key="sk-somebody-elses-0123456789")
    stranger.chat.completions.create(**ask)
    assert set(server.tokens()) == {""}


def test_a_callers_own_token_beside_a_key(client: openai.OpenAI, server: GradioServer) -> None:
    server.tokens()
    client.chat.completions.create(
        model="talk",
        messages=[{"role": "user", "content": "Hello"}],
        extra_headers={"x-hf-authorization": f"Bearer {CALLERS}"},
    )
    assert set(server.tokens()) == {CALLERS}


@pytest.mark.row("S0-45")
def test_a_callers_bad_token_is_401(keyless: Gateway) -> None:
    """A private Space, for which there is nothing to be had without it."""
    client = openai.OpenAI(base_url=f"{keyless.url}/v1", api_key="hf_bad_0123456789", max_retries=0)
    error = failure(client, "private")
    assert error.status_code == 401
    assert "hf_bad" not in str(error.body)


def test_a_callers_quota_is_not_held_against_the_channel(keyless: Gateway) -> None:
    client = openai.OpenAI(base_url=f"{keyless.url}/v1", api_key=CALLERS, max_retries=0)
    error = failure(client, "limited", "always")
    assert error.status_code == 429
    assert error.response.headers["retry-after"] == "3723"
    other = client.with_options(api_key="none")
    answer = other.chat.completions.create(
        model="limited", messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content == "Nobody knows you."


def test_the_token_does_not_go_to_the_operators_own_server(say: Say, server: GradioServer) -> None:
    say("plain", "Hello")
    server.tokens()
    say("plain", "Hello")
    assert set(server.tokens()) == {""}


@pytest.mark.row("S0-48")
def test_an_app_that_breaks_says_nothing_of_itself(client: openai.OpenAI) -> None:
    error = failure(client, "broken")
    assert error.status_code == 500
    assert "secret" not in str(error.body)


def test_an_app_that_breaks_within_a_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="broken", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    got: list[str] = []
    with pytest.raises(openai.APIError, match="does not say why"):
        got.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(got) == "Half an"


def test_a_client_that_leaves_ends_the_job(client: openai.OpenAI, server: GradioServer) -> None:
    before = server.get("/slow-progress")["ended"]
    stream = client.chat.completions.create(
        model="slow", messages=[{"role": "user", "content": "Go."}], stream=True
    )
    next(iter(stream))
    stream.close()
    _until(lambda: server.get("/slow-progress")["ended"] > before)
    assert server.get("/slow-progress")["steps"] < 600


def test_a_queue_that_is_full(gateway: Gateway) -> None:
    """One job runs, one waits, and there is no room for more."""
    connections = [_send_slow(gateway) for _ in range(4)]
    try:
        answered: list[http.client.HTTPConnection] = []
        until = time.monotonic() + 20
        while len(answered) < 3:
            readable, _, _ = select.select(
                [one.sock for one in connections if one not in answered], [], [], 20
            )
            assert time.monotonic() < until
            answered += [one for one in connections if one.sock in readable]
        replies = [one.getresponse() for one in answered]
        assert sorted(reply.status for reply in replies) == [200, 503, 503]
        refused = next(reply for reply in replies if reply.status == 503)
        assert b"ueue is full" in refused.read()
        assert refused.headers["retry-after"] == "5"
    finally:
        for one in connections:
            one.close()


def test_the_simple_api_of_a_real_server(server: GradioServer) -> None:
    """For dialects of the queue that are yet to come: the server is said to speak one."""
    opening = open_space(draft("talk", base_url=f"{server.url}/text"), Memory())
    step = next(opening)
    try:
        while True:
            assert isinstance(step, HttpRequest)
            answer = _send(step)
            answer.body = answer.body.replace(b'"sse_v3"', b'"sse_v9"')
            step = opening.send(answer)
    except StopIteration as end:
        request = end.value.request
    assert "/gradio_api/call/text/" in request.url
    wire = _send(request).body
    assert answer_of(wire) == [("text", "You said: hi")]
    assert len(deltas(events_of([wire]))) == 3


def _send(request: HttpRequest) -> HttpReply:
    asked = urllib.request.Request(
        request.url, request.body or None, request.headers, method=request.method
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return HttpReply(status=answer.status, body=answer.read())


def _send_slow(gateway: Gateway) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    ask = {"model": "slow", "messages": [{"role": "user", "content": "Go."}], "stream": True}
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(ask), headers)
    return connection


def _until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)
