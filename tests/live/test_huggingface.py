"""Hugging Face through a gateway that only its environment configures: the examples of the manual as
they stand there, key and host aside, and what the router does that others do not."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_openai import OpenAI as LangChainOpenAI

from tests.live.captures import CAPTURES
from tests.live.raw import Reply, ask, request_body
from tests.support.documents import dotenv, own_providers, run
from tests.support.gateway import Gateway
from tests.support.hf_router import CREATED, TEXT, TOKEN, HFRouter, model

KEY = "sk-gw-hugging-face-0123456789"
BEARER = {"authorization": f"Bearer {KEY}"}
LLAMA = "meta-llama/Llama-2-7b-chat-hf"
LISTED_MODEL = "meta-llama/Llama-3.3-70B-Instruct"
NOT_CONFIGURED = "Hugging Face API key (HUG_API_KEY) not configured"
NAMED_IN_THE_MANUAL = [
    pytest.param(
        "meta-llama/Llama-2-7b-chat-hf", marks=pytest.mark.row("S3-9"), id="Llama-2-7b-chat-hf"
    ),
    pytest.param("meta-llama/Llama-2-13b-chat-hf", marks=pytest.mark.row("S3-9"), id="13b"),
    pytest.param("meta-llama/Llama-2-70b-chat-hf", marks=pytest.mark.row("S3-9"), id="70b"),
    pytest.param("mistralai/Mistral-7B-Instruct-v0.1", marks=pytest.mark.row("S3-10"), id="v0.1"),
    pytest.param("mistralai/Mistral-7B-Instruct-v0.2", marks=pytest.mark.row("S3-10"), id="v0.2"),
    pytest.param("google/flan-t5-xxl", marks=pytest.mark.row("S3-11"), id="flan"),
    pytest.param("EleutherAI/gpt-neox-20b", marks=pytest.mark.row("S3-11"), id="neox"),
    pytest.param("tiiuae/falcon-7b-instruct", marks=pytest.mark.row("S3-11"), id="falcon"),
]


@contextlib.contextmanager
def configured(
    variables: dict[str, str], rows: dict[str, HFRouter], **environ: str
) -> Iterator[Gateway]:
    """A gateway with that ``.env``, whose providers live at the routers' addresses."""
    gateway = Gateway(None, environ={"API_KEY": KEY, **environ})
    dotenv(gateway, "".join(f"{name}={value}\n" for name, value in variables.items()))
    own_providers(gateway, "".join(f"[{id}]\n{router.row}" for id, router in rows.items()))
    with gateway:
        yield gateway


@pytest.fixture(scope="module")
def shared_router() -> Iterator[HFRouter]:
    with HFRouter() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(shared_router: HFRouter) -> Iterator[Gateway]:
    with configured({"HUG_API_KEY": TOKEN}, {"huggingface": shared_router}) as running:
        yield running


@pytest.fixture
def router(shared_router: HFRouter) -> HFRouter:
    shared_router.requests.clear()
    return shared_router


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def post(gateway: Gateway, body: dict[str, Any], path: str = "/v1/chat/completions") -> Reply:
    return ask(gateway, "POST", path, body, BEARER)


def question(model: str = LLAMA, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello!"}], **more}


def curl(gateway: Gateway, body: str) -> str:
    """The manual's command, and what it prints."""
    said = run(
        gateway,
        f"""curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{body}'""",
        YOUR_API_KEY=KEY,
    )
    assert said.status == 200, said.body
    return said.body


# -- The manual's examples --------------------------------------------------------------------------


@pytest.mark.row("S3-1", "S3-2", "S3-4", "S3-7", "S3-30", "S3-31", "S3-40")
def test_the_basic_request(gateway: Gateway, router: HFRouter) -> None:
    said = curl(
        gateway,
        """{
    "model": "meta-llama/Llama-2-7b-chat-hf",
    "messages": [
      {"role": "user", "content": "What is the capital of France?"}
    ],
    "provider": "huggingface"
  }""",
    )
    answer = json.loads(said)
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["created"], int)
    assert answer["model"].startswith(LLAMA)
    assert answer["choices"][0]["message"] == {
        **answer["choices"][0]["message"],
        "role": "assistant",
        "content": TEXT,
    }
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    (seen,) = router.asked
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.json == {
        "model": LLAMA,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }


@pytest.mark.row("S3-5", "S3-40")
def test_the_streaming_request(gateway: Gateway, router: HFRouter) -> None:
    said = curl(
        gateway,
        """{
    "model": "meta-llama/Llama-2-7b-chat-hf",
    "messages": [
      {"role": "user", "content": "Write a poem about Python"}
    ],
    "stream": true,
    "provider": "huggingface"
  }""",
    )
    events = [line.removeprefix("data: ") for line in said.splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk["choices"]]
    assert "".join(filter(None, texts)) == TEXT
    assert "provider" not in router.asked[0].json


@pytest.mark.row("S3-36", "S3-41")
def test_the_openai_client(client: openai.OpenAI, router: HFRouter) -> None:
    completion = client.chat.completions.create(
        model="meta-llama/Llama-2-7b-chat-hf",
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        max_tokens=20,
        extra_body={"provider": "huggingface"},
    )
    assert completion.choices[0].message.content == TEXT
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert router.asked[0].json["max_tokens"] == 20
    assert "provider" not in router.asked[0].json


def test_the_openai_client_itself_refuses_the_manuals_plain_argument(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(TypeError, match="provider"):
        client.chat.completions.create(**question(provider="huggingface"))


@pytest.mark.row("S3-37")
def test_streaming_with_the_openai_client(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="meta-llama/Llama-2-7b-chat-hf",
        messages=[{"role": "user", "content": "Write a haiku about AI"}],
        stream=True,
        extra_body={"provider": "huggingface"},
    )
    said = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert "".join(filter(None, said)) == TEXT


@pytest.mark.parametrize("name", NAMED_IN_THE_MANUAL)
def test_the_models_of_the_manual(gateway: Gateway, router: HFRouter, name: str) -> None:
    assert post(gateway, question(name, provider="huggingface")).status == 200
    assert router.asked[0].json["model"] == name


@pytest.mark.row("S3-12")
def test_the_router_model(client: openai.OpenAI, router: HFRouter) -> None:
    client.chat.completions.create(
        model="katanemo/Arch-Router-1.5B:hf-inference",
        messages=[{"role": "user", "content": "Hello!"}],
        extra_body={"provider": "huggingface"},
    )
    assert router.asked[0].json["model"] == "katanemo/Arch-Router-1.5B:hf-inference"


@pytest.mark.row("S3-14", "S3-15", "S3-16", "S3-17", "S3-18", "S3-19")
def test_every_parameter_arrives(gateway: Gateway, router: HFRouter) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    asked = question(
        max_tokens=512,
        temperature=0.7,
        top_p=0.9,
        frequency_penalty=0,
        presence_penalty=0,
        stop=["\n\n"],
        seed=7,
        n=1,
        logit_bias={"50256": -100},
        user="u-1",
        tools=[tool],
        tool_choice="auto",
        response_format={"type": "json_object"},
    )
    assert post(gateway, {**asked, "provider": "huggingface"}).status == 200
    assert router.asked[0].json == asked


@pytest.mark.row("S3-38")
def test_the_langchain_example(gateway: Gateway, router: HFRouter) -> None:
    """Its ``model_kwargs`` go to the OpenAI client as arguments, which refuses what it does not know;
    LangChain's own name for such fields is ``extra_body``. It asks ``/v1/completions``."""
    llm = LangChainOpenAI(
        model_name="meta-llama/Llama-2-7b-chat-hf",
        openai_api_key=KEY,
        openai_api_base=f"{gateway.url}/v1",
        temperature=0.7,
        extra_body={"provider": "huggingface"},
    )
    assert llm.invoke("What is machine learning?") == TEXT
    assert "".join(llm.stream("What is machine learning?")) == TEXT
    for seen in router.asked:
        assert seen.path == "/v1/chat/completions"
        assert seen.json["messages"] == [{"role": "user", "content": "What is machine learning?"}]
        assert seen.json["temperature"] == 0.7
        assert "provider" not in seen.json


@pytest.mark.row("S3-39")
def test_the_litellm_example(gateway: Gateway, router: HFRouter) -> None:
    """The request that LiteLLM sends: it takes ``openai/`` off the model's name, and says no provider."""
    recorded = next(
        one
        for one in CAPTURES
        if one.client == "litellm-openai" and one.target == "/v1/chat/completions"
    )
    body = {"messages": [{"role": "user", "content": "Hello!"}], "model": LLAMA}
    reply = ask(gateway, "POST", recorded.target, body, recorded.headers_with(KEY))
    assert reply.json["choices"][0]["message"]["content"] == TEXT
    assert router.asked[0].body == json.dumps(body).encode()


@pytest.mark.row("S3-6")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_responses(client: openai.OpenAI, router: HFRouter, streamed: bool) -> None:
    asked = {"model": LLAMA, "input": "Hello!", "extra_body": {"provider": "huggingface"}}
    if streamed:
        with client.responses.stream(**asked) as stream:
            response = stream.get_final_response()
    else:
        response = client.responses.create(**asked)
    assert response.output_text == TEXT
    (seen,) = router.asked
    assert seen.path == "/v1/responses"
    assert "provider" not in seen.json


# -- The provider field -----------------------------------------------------------------------------


@pytest.mark.row("S3-1")
@pytest.mark.parametrize("name", ["huggingface", "hug", "hf", "HuggingFace "])
@pytest.mark.parametrize("place", ["body", "extra_body", "header"])
def test_the_provider_by_any_name_and_place(
    gateway: Gateway, router: HFRouter, name: str, place: str
) -> None:
    more: dict[str, Any] = {"body": {"provider": name}, "header": {}}.get(
        place, {"extra_body": {"provider": name, "seed": 7}}
    )
    headers = {**BEARER, **({"dragoman-provider": name} if place == "header" else {})}
    reply = ask(gateway, "POST", "/v1/chat/completions", question(**more), headers)
    assert reply.status == 200, reply.body
    kept = {"seed": 7} if place == "extra_body" else {}
    assert router.asked[0].json == question(**kept)


def test_the_body_says_more_than_the_header(gateway: Gateway) -> None:
    headers = {**BEARER, "dragoman-provider": "nobody"}
    body = question(provider="huggingface")
    assert ask(gateway, "POST", "/v1/chat/completions", body, headers).status == 200


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/chat/completions", "openai_chat"),
        ("/v1/responses", "openai_responses"),
        ("/v1/completions", "openai_completions"),
        ("/v1/embeddings", "openai_responses"),  # its body has what embeddings need
    ],
)
def test_an_unknown_provider_names_the_nearest(
    gateway: Gateway, router: HFRouter, path: str, protocol: str
) -> None:
    reply = post(gateway, request_body(protocol, LLAMA, provider="hugingface"), path)
    assert reply.status == 400
    error = reply.json["error"]
    assert "did you mean huggingface?" in error["message"]
    assert (error["param"], error["code"]) == ("provider", "provider_not_found")
    assert not router.asked


def test_anthropics_clients_are_told_in_their_own_words(gateway: Gateway) -> None:
    reply = post(gateway, question(max_tokens=9, provider="nobody"), "/v1/messages")
    assert (reply.status, reply.json["type"]) == (400, "error")
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_a_provider_without_a_channel_is_not_replaced_by_another(
    gateway: Gateway, router: HFRouter
) -> None:
    reply = post(gateway, question(provider="groq"))
    assert (reply.status, reply.headers["x-should-retry"]) == (503, "false")
    assert reply.json["error"]["message"] == (
        "No channel to Groq is configured; set GROQ_API_KEY or add a channel."
    )
    assert not router.asked


@pytest.mark.row("S3-3")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_without_a_key(streamed: bool) -> None:
    with configured({}, {}) as running:
        reply = post(running, question(provider="huggingface", stream=streamed))
        assert (reply.status, reply.json["error"]["message"]) == (503, NOT_CONFIGURED)
        assert reply.json["error"]["code"] == "provider_not_configured"


def test_openrouters_object_is_passed_through(gateway: Gateway, router: HFRouter) -> None:
    reply = post(gateway, question(provider={"order": ["together"]}))
    assert reply.status == 400  # the router's own opinion of a field that it does not know
    assert "provider" in reply.json["error"]["message"]
    assert router.asked[0].json["provider"] == {"order": ["together"]}


# -- Without it -------------------------------------------------------------------------------------


@pytest.mark.row("S3-20", "S3-8")
@pytest.mark.parametrize("lists", [True, False], ids=["lists", "no lists"])
def test_the_model_finds_its_provider(lists: bool) -> None:
    """With and without lists, and although the router has long dropped the model from its own."""
    with (
        HFRouter() if lists else HFRouter(None) as hub,
        HFRouter([model("gpt-4o")] if lists else None, token="sk-o", strict=lists) as maker,
        HFRouter([model("claude-opus-5")] if lists else None, token="sk-a", strict=lists) as other,
        configured(
            {"OPENAI_API_KEY": "sk-o", "HF_TOKEN": TOKEN, "ANTHROPIC_API_KEY": "sk-a"},
            {"openai": maker, "huggingface": hub, "anthropic": other},
        ) as running,
    ):
        if lists:
            _until_listed(running, "gpt-4o", "claude-opus-5", LISTED_MODEL)
        for name in (LLAMA, LISTED_MODEL, f"{LISTED_MODEL}:cheapest", "gpt-4o", "claude-opus-5"):
            for _ in range(3):
                assert post(running, question(name)).status == 200
        assert [one.json["model"] for one in maker.asked] == ["gpt-4o"] * 3
        assert [one.json["model"] for one in other.asked] == ["claude-opus-5"] * 3
        assert len(hub.asked) == 9


def _until_listed(running: Gateway, *names: str) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        listed = ask(running, "GET", "/v1/models", headers=BEARER).json["data"]
        if {*names} <= {one["id"] for one in listed}:
            return
        time.sleep(0.05)
    raise AssertionError(f"never listed: {names}")


@pytest.mark.row("S3-13")
@pytest.mark.parametrize(
    "suffix", ["", ":cerebras", ":fastest", ":cheapest", ":preferred", ":hf-inference"]
)
def test_suffixes_and_spelling_are_the_routers(
    gateway: Gateway, router: HFRouter, suffix: str
) -> None:
    reply = post(gateway, question(LISTED_MODEL + suffix))
    assert reply.status == 200
    assert router.asked[0].json["model"] == LISTED_MODEL + suffix
    assert reply.headers["dragoman-model"] == LISTED_MODEL + suffix


def test_the_routers_models_are_listed(gateway: Gateway) -> None:
    _until_listed(gateway, LISTED_MODEL)
    listed = {
        one["id"]: one for one in ask(gateway, "GET", "/v1/models", headers=BEARER).json["data"]
    }
    assert listed[LISTED_MODEL] == {
        "id": LISTED_MODEL,
        "object": "model",
        "created": CREATED,
        "owned_by": "huggingface",
        "context_length": 131_072,
        # Which host it will be is the router's choice, so that of the dearest.
        "pricing": {"input": 0.85, "output": 1.2},
    }
    assert listed["google/flan-t5-xxl"]["pricing"] is None
    shown = ask(gateway, "GET", f"/v1/models/{LISTED_MODEL}", headers=BEARER).json
    assert shown == listed[LISTED_MODEL]


# -- What the router alone does ---------------------------------------------------------------------


def test_who_is_billed_is_passed_on(gateway: Gateway, router: HFRouter) -> None:
    headers = {**BEARER, "X-HF-Bill-To": "my-org", "X-Other": "1"}
    assert ask(gateway, "POST", "/v1/chat/completions", question(), headers).status == 200
    seen = router.asked[0].headers
    assert seen["x-hf-bill-to"] == "my-org"
    assert "x-other" not in seen


def test_who_is_billed_is_told_to_nobody_else_and_not_against_the_operators_word() -> None:
    channel = {"api_key": TOKEN, "base_url": "", "max_retries": 0}
    with HFRouter() as router:
        url = f"{router.url}/v1"
        channels = [
            {**channel, "name": "hub", "type": "huggingface", "base_url": url, "models": ["a"]},
            {**channel, "name": "house", "type": "openai", "base_url": url, "models": ["b"]},
        ]
        channels[0]["headers"] = {"X-HF-Bill-To": "the-operators"}
        tokens = [{"id": 1, "name": "one", "key": KEY}]
        with Gateway({"channels": channels, "tokens": tokens}) as running:
            headers = {**BEARER, "x-hf-bill-to": "the-clients"}
            for name in "ab":
                body = question(name)
                assert ask(running, "POST", "/v1/chat/completions", body, headers).status == 200
        seen = [one.headers.get("x-hf-bill-to") for one in router.asked]
        assert seen == ["the-operators", None]


@pytest.mark.row("S3-33")
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_a_model_that_is_loading_is_waited_for(
    gateway: Gateway, router: HFRouter, path: str, streamed: bool
) -> None:
    name = f"org/cold-{path[-4:]}-{streamed}"
    router.loading[name] = [0.4, 0.3]
    began = time.monotonic()
    reply = post(gateway, question(name, max_tokens=20, stream=streamed), path)
    assert reply.status == 200, reply.body
    if streamed:  # in pieces, so only its end is looked for
        assert b"[DONE]" in reply.body or b"message_stop" in reply.body
    else:
        assert TEXT.encode() in reply.body
    assert len(router.asked) == 3
    assert time.monotonic() - began >= 0.7


@pytest.mark.row("S3-33")
def test_a_model_that_loads_for_longer_is_not_waited_for(
    gateway: Gateway, router: HFRouter
) -> None:
    router.loading["org/huge"] = [61.0]
    reply = post(gateway, question("org/huge"))
    assert (reply.status, reply.headers["retry-after"]) == (503, "61")
    assert "currently loading" in reply.json["error"]["message"]
    assert len(router.asked) == 1


def test_a_rate_limit_is_passed_on_at_once(gateway: Gateway, router: HFRouter) -> None:
    router.limited.add("org/popular")
    reply = post(gateway, question("org/popular"))
    assert (reply.status, reply.headers["retry-after"]) == (429, "60")
    assert reply.json["error"]["message"] == "Too Many Requests"
    assert len(router.asked) == 1


@pytest.mark.parametrize("suffix", ["", ":together"])
def test_a_model_that_nobody_serves_is_a_404(
    gateway: Gateway, router: HFRouter, suffix: str
) -> None:
    router.missing.add("org/none")
    reply = post(gateway, question(f"org/none{suffix}", provider="huggingface"))
    assert reply.status == 404
    assert "not supported by" in reply.json["error"]["message"]
    assert reply.json["error"]["code"] == "model_not_found"


@pytest.mark.row("S3-34")
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
def test_what_was_used_is_in_the_request_log(gateway: Gateway, streamed: bool) -> None:
    reply = post(gateway, question(stream=streamed, provider="huggingface"))
    record: dict[str, Any] = {}
    until = time.monotonic() + 10
    while not record and time.monotonic() < until:  # it is written a moment later
        done = subprocess.run(
            [
                *(sys.executable, "-m", "dragoman", "explain", reply.headers["x-request-id"]),
                *("--json", "--data-dir", str(gateway.folder / "data")),
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=gateway.folder / "data",
        )
        record = json.loads(done.stdout) if done.returncode == 0 else {}
    assert (record["channel"], record["model"]) == ("huggingface", LLAMA)
    usage = record["usage"]
    if not streamed:
        said = reply.json["usage"]
        assert sum(usage.values()) == said["total_tokens"]
    assert sum(usage.values()) > 0


def test_a_refused_token_is_not_the_clients(gateway: Gateway) -> None:
    with (
        HFRouter(token="hf_another") as router,
        configured({"HUG_API_KEY": TOKEN}, {"huggingface": router}) as running,
    ):
        reply = post(running, question())
        assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_credential")
        assert TOKEN not in reply.body.decode()
        assert TOKEN not in running.logs()
