"""Images given by their address, in front of an upstream that takes nothing but bytes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator

import pytest

from tests.live.cells import CLIENTS, MODES
from tests.support.clients.base import Ask, Failed
from tests.support.gateway import TOKEN, Gateway, configuration
from tests.support.listener import Listener, read_request, wait_until
from tests.support.standin.script import PNG
from tests.support.upstream import StandIn

every_client = pytest.mark.parametrize("client", list(CLIENTS))
every_mode = pytest.mark.parametrize("mode", MODES)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A PNG at /image.png, nothing elsewhere."""
    request = await read_request(reader)
    if request.startswith(b"GET /image.png "):
        body = base64.b64decode(PNG)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
    else:
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()


@pytest.fixture(scope="module")
def images() -> Iterator[Listener]:
    """A server of images on this machine."""
    with Listener(_serve) as server:
        yield server


@pytest.fixture(scope="module")
def allowing(upstream_server: StandIn, images: Listener) -> Iterator[Gateway]:
    """A gateway whose operator allows the server of images, by a variable."""
    with Gateway(
        configuration(upstream_server.url),
        environ={"DRAGOMAN_ALLOW_PRIVATE_URLS": f"nas.example, 127.0.0.1:{images.port}"},
    ) as running:
        yield running


def _ask(client: str, gateway: Gateway, mode: str, *images: str) -> str:
    question = Ask("ollama_chat/image", "What is this?", images=images, stream=mode == "streamed")
    return CLIENTS[client](gateway.url, TOKEN).ask(question).text


@every_mode
@every_client
def test_the_upstream_gets_the_bytes(
    client: str, mode: str, allowing: Gateway, images: Listener, upstream: StandIn
) -> None:
    url = f"http://{images.address}/image.png"
    before = images.accepted
    assert _ask(client, allowing, mode, url, PNG, url) == "3 intact image(s)."
    assert upstream.last.json["messages"][-1]["images"] == [PNG, PNG, PNG]
    assert images.accepted == before + 1, "one address is fetched once"


@every_mode
@every_client
def test_a_private_address_is_refused_in_the_clients_protocol(
    client: str, mode: str, gateway: Gateway, images: Listener, upstream: StandIn
) -> None:
    before = images.accepted
    with pytest.raises(Failed) as caught:
        _ask(client, gateway, mode, f"http://{images.address}/image.png")
    assert caught.value.status == 400
    assert "messages.0.parts." in caught.value.message
    assert "could not be fetched" in caught.value.message
    assert str(images.port) not in caught.value.message
    assert images.accepted == before
    assert not upstream.requests
    assert "was not fetched: The address is none that the gateway may ask" in gateway.logs()


@every_client
def test_nobody_learns_what_stands_behind_an_address(
    client: str, allowing: Gateway, images: Listener, upstream: StandIn
) -> None:
    """A missing file, a closed port, an unknown name and a refused address sound the same."""
    said = set()
    for url in (
        f"http://{images.address}/nothing.png",
        "http://127.0.0.1:1/image.png",
        "http://nobody-is-called-this.invalid/image.png",
        "http://169.254.169.254/latest/meta-data",
    ):
        with pytest.raises(Failed) as caught:
            _ask(client, allowing, "plain", url)
        assert caught.value.status == 400
        said.add(caught.value.message.partition("request_id")[0])
    assert len(said) == 1
    assert not upstream.requests


def test_a_change_of_the_settings_counts_at_once(
    upstream_server: StandIn, images: Listener
) -> None:
    config = configuration(upstream_server.url)
    url = f"http://{images.address}/image.png"

    def said() -> str:
        try:
            return _ask("openai_chat", gateway, "plain", url)
        except Failed as failed:
            return str(failed.status)

    with Gateway(config) as gateway:
        assert said() == "400"
        allowed = {**config["settings"], "allow_private_urls": ["127.0.0.0/8"]}
        gateway.rewrite({**config, "settings": allowed})
        assert wait_until(lambda: said() == "1 intact image(s).")
        gateway.rewrite(config)
        assert wait_until(lambda: said() == "400")


def test_what_was_fetched_is_told(allowing: Gateway, images: Listener, upstream: StandIn) -> None:
    import openai  # noqa: PLC0415 - for its raw answers only

    sdk = openai.OpenAI(base_url=f"{allowing.url}/v1", api_key=TOKEN, max_retries=0)
    image = {"type": "image_url", "image_url": {"url": f"http://{images.address}/image.png"}}
    answer = sdk.chat.completions.with_raw_response.create(
        model="ollama_chat/image",
        messages=[{"role": "user", "content": [image]}],  # type: ignore[list-item,misc]
        extra_headers={"dragoman-strict": "true"},
    )
    assert "emulated=1" in answer.headers["dragoman-translation"]
