"""Both clients against a transport that answers as it is told: what is sent, and sent again."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import dragoman_client
import httpx
import pytest
from dragoman_client import AsyncDragomanClient, DragomanClient, _attempts, errors

from tests.clients_python.conftest import PACKAGE
from tests.clients_python.shells import BASE, KEY, SHELLS, Shell
from tests.clients_python.test_reading import MAKERS, stream

GENERATED = {"output": [{"generated_text": "Yes."}]}
Answer = httpx.Response | httpx.RequestError


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> Shell:
    """Each of the clients."""
    return SHELLS[request.param]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long to wait is ``test_attempts``' business."""
    monkeypatch.setattr(_attempts, "_FIRST_PAUSE_SECONDS", 0.0)


class Gateway:
    """Answers with one after the other, the last one for ever. ``seen`` are the requests."""

    def __init__(self, *answers: Answer) -> None:
        self._answers: Iterator[Answer] = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answer = next(self._answers)
        if isinstance(answer, httpx.RequestError):
            raise answer
        # A response can be read by one client only.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def ok(body: object = GENERATED, **headers: str) -> httpx.Response:
    return httpx.Response(200, json=body, headers=headers)


def refusal(status: int, **headers: str) -> httpx.Response:
    body = {"error": "No.", "error_type": "Kind", "message": "code: x"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


def events(body: bytes) -> httpx.Response:
    return httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})


def test_what_is_sent(shell: Shell) -> None:
    gateway = Gateway(ok())
    answer = shell(f"{BASE}/below/", answering=gateway).ask(
        "text_generation", "Hi", model="m", max_tokens=7, parameters={"seed": 1, "top_p": None}
    )
    assert answer.generated_text == "Yes."
    (request,) = gateway.seen
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/below/hf/tasks/text-generation")
    assert json.loads(request.content) == {
        "inputs": "Hi",
        "parameters": {"seed": 1, "max_tokens": 7, "model": "m"},
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == (
        f"dragoman-client-python/{dragoman_client.__version__}"
    )


def test_without_a_key_nobody_is_named(shell: Shell) -> None:
    gateway = Gateway(ok())
    shell(api_key="", answering=gateway).ask("text_generation", "Hi")
    assert "authorization" not in gateway.seen[0].headers


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("broke off"),
        refusal(429, retry_after="0"),
        refusal(502),
        refusal(503),
        refusal(504),
        refusal(409, retry_after="0"),
    ],
    ids=repr,
)
def test_it_is_sent_again_with_the_same_key_and_body(shell: Shell, trouble: Answer) -> None:
    gateway = Gateway(trouble, trouble, ok())
    assert shell(answering=gateway).ask("text_generation", "Hi").generated_text == "Yes."
    assert len(gateway.seen) == 3
    assert len({request.headers["idempotency-key"] for request in gateway.seen}) == 1
    assert len({request.content for request in gateway.seen}) == 1


def test_each_call_has_a_key_of_its_own(shell: Shell) -> None:
    gateway = Gateway(ok())
    for _ in range(2):
        shell(answering=gateway).ask("text_generation", "Hi")
    assert len({request.headers["idempotency-key"] for request in gateway.seen}) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 500])
def test_a_refusal_is_final(shell: Shell, status: int) -> None:
    gateway = Gateway(refusal(status, x_request_id="r-9"))
    with pytest.raises(errors.ApiError) as caught:
        shell(answering=gateway).ask("text_generation", "Hi")
    assert len(gateway.seen) == 1
    assert (caught.value.status, caught.value.message, caught.value.request_id) == (
        status,
        "No.",
        "r-9",
    )


def test_the_gateway_may_forbid_another_try(shell: Shell) -> None:
    gateway = Gateway(refusal(503, x_should_retry="false"))
    with pytest.raises(errors.ServerError):
        shell(answering=gateway).ask("text_generation", "Hi")
    assert len(gateway.seen) == 1


def test_no_retries_no_key(shell: Shell) -> None:
    gateway = Gateway(httpx.ReadTimeout("slow"))
    with pytest.raises(errors.TimedOut):
        shell(answering=gateway, max_retries=0).ask("text_generation", "Hi")
    (request,) = gateway.seen
    assert "idempotency-key" not in request.headers


@pytest.mark.parametrize("method", ["calculate_cost", "get_usage", "list_models", "map_model"])
def test_what_costs_nothing_is_sent_again_without_a_key(shell: Shell, method: str) -> None:
    gateway = Gateway(httpx.ReadTimeout("slow"))
    with pytest.raises(errors.TimedOut):
        shell(answering=gateway).ask(method, *MAKERS[method])
    assert len(gateway.seen) == 3
    assert all("idempotency-key" not in request.headers for request in gateway.seen)


@pytest.mark.parametrize(
    ("trouble", "times"),
    [
        (httpx.ConnectError("refused"), 3),
        (httpx.ConnectTimeout("slow"), 3),
        (refusal(429), 3),
        (refusal(503), 3),
        (httpx.ReadTimeout("slow"), 1),
        (httpx.ReadError("reset"), 1),
        (refusal(502), 1),
    ],
    ids=repr,
)
def test_a_stream_is_asked_for_again_only_if_it_was_not_served(
    shell: Shell, trouble: Answer, times: int
) -> None:
    gateway = Gateway(trouble)
    with pytest.raises(errors.DragomanError):
        shell(answering=gateway).pieces("text_generation", "Hi", stream=True)
    assert len(gateway.seen) == times
    assert all("idempotency-key" not in request.headers for request in gateway.seen)


def test_a_stream(shell: Shell) -> None:
    gateway = Gateway(refusal(503), events(stream("All ", "is ", "well.")))
    client = shell(answering=gateway)
    assert client.pieces("text_generation", "Hi", stream=True) == ["All ", "is ", "well."]
    for request in gateway.seen:
        assert request.url.query == b"stream=true"
        assert request.headers["accept"] == "text/event-stream"


def test_any_text_task_as_a_stream(shell: Shell) -> None:
    gateway = Gateway(events(stream("Kurz.", output={"summary_text": "Kurz."})))
    assert shell(answering=gateway).pieces("stream", "summarization", "Lang.") == ["Kurz."]
    assert gateway.seen[0].url.path == "/hf/tasks/run"
    assert json.loads(gateway.seen[0].content) == {"task": "summarization", "inputs": "Lang."}


def test_what_is_no_stream(shell: Shell) -> None:
    gateway = Gateway(ok())
    with pytest.raises(errors.BrokenAnswer, match="application/json"):
        shell(answering=gateway).pieces("text_generation", "Hi", stream=True)


@pytest.mark.parametrize(
    "key", ["sk secret\n", " sk-secret", "sk-secret ", "sk-s\u00e9cret", "sk\0"]
)
def test_what_can_be_no_key_is_refused_without_being_told(shell: Shell, key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        shell(api_key=key).ask("get_usage")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:3000", "ftp://x", "http://", "/hf", "http://a:b"])
def test_what_can_be_no_base_url_is_refused(shell: Shell, url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        shell(url).ask("get_usage")


def test_the_key_is_not_shown() -> None:
    for client in (DragomanClient(KEY), AsyncDragomanClient(KEY)):
        assert repr(client) == f"<{type(client).__name__} of http://localhost:3000>"


def test_both_clients_are_the_same_but_for_await() -> None:
    def surface(client: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(client, inspect.isfunction)
        return {
            name: [str(one) for one in inspect.signature(method).parameters.values()]
            for name, method in methods
            if not name.startswith("_") and name not in ("close", "aclose")
        }

    assert surface(DragomanClient) == surface(AsyncDragomanClient)
    assert surface(DragomanClient).keys() == MAKERS.keys() | {"stream"}
    for name in surface(AsyncDragomanClient):
        method: Callable[..., object] = getattr(AsyncDragomanClient, name)
        assert inspect.iscoroutinefunction(method)
        assert inspect.getdoc(method) == inspect.getdoc(getattr(DragomanClient, name))
        assert inspect.signature(method).return_annotation is not inspect.Signature.empty


def test_cancelling_ends_the_waiting_between_attempts() -> None:
    gateway = Gateway(refusal(429, retry_after="30"))

    async def main() -> None:
        async with AsyncDragomanClient(KEY, BASE, transport=httpx.MockTransport(gateway)) as client:
            task = asyncio.ensure_future(client.get_usage())
            while not gateway.seen:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert len(gateway.seen) == 1


def test_its_types_hold() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", ".mypy_cache"],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
