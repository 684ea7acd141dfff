"""The container files, tried out without Docker: the Dockerfile's own commands are run, what it starts
is started, and the compose file's service with its ports, variables and mounts.

What only Docker can show stays unproven here: that the base image can be had, and that the kernel
keeps what the compose file forbids.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from dragoman.config.environment import recognised_variables
from dragoman.providers.catalog import load_catalog
from dragoman.server.run import DRAIN_SECONDS
from tests.support.dockerfile import Container, Image, can_become, inside
from tests.support.gateway import free_port
from tests.support.google import Google
from tests.support.standin.script import GREETING

ROOT = Path(__file__).resolve().parent.parent
SPACE = ROOT / "deploy" / "huggingface-space" / "README.md"
SECRET = "container-own-key-0123456789"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def image() -> Image:
    """The Dockerfile of this repository, read."""
    return Image(ROOT)


@pytest.fixture(scope="module")
def built() -> Iterator[tuple[Image, Path]]:
    """The image as a Space builds it, from the files that the Space's page says to copy."""
    # Not pytest's directory: only its owner can look into that, and the image has a user of its own.
    folder = Path(tempfile.mkdtemp(prefix="dragoman-image-"))
    try:
        folder.chmod(0o755)
        context, root = folder / "space", folder / "root"
        context.mkdir()
        root.mkdir()
        fill_space(context)
        image = Image(context)
        image.build(root)
        yield image, root
    finally:
        shutil.rmtree(folder)


def fill_space(target: Path) -> None:
    """Run the commands that the Space's page prints."""
    (block,) = re.findall(r"```sh\n(SPACE=.*?)```", SPACE.read_text(encoding="utf-8"), re.DOTALL)
    commands = re.sub(r"\ASPACE=.*", f"SPACE={target}", block)
    subprocess.run(["/bin/sh", "-ec", commands], cwd=ROOT, check=True)


def compose() -> dict[str, Any]:
    """The compose file's one service."""
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    (service,) = document["services"].values()
    assert {volume.split(":")[0] for volume in service["volumes"]} >= document["volumes"].keys()
    return dict(service)


def front_matter() -> dict[str, Any]:
    """What the Space's page says to Hugging Face."""
    _, head, _ = SPACE.read_text(encoding="utf-8").split("---\n", 2)
    return dict(yaml.safe_load(head))


def ask(url: str, path: str, body: object = None, key: str = SECRET) -> tuple[int, Any]:
    """(status, decoded body)."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        method, sent = ("GET", None) if body is None else ("POST", json.dumps(body))
        connection.request(method, path, sent, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


# --- What runs -------------------------------------------------------------------------------------


@pytest.mark.row("S0-44", "S1-32", "S1-35")
def test_what_the_image_starts_is_healthy_until_it_is_stopped(built: tuple[Image, Path]) -> None:
    image, root = built
    assert image.environ["PORT"] == str(image.port) == str(front_matter()["app_port"]) == "7860"
    port = free_port()
    with Container(image, root, {"PORT": str(port), "API_KEY": SECRET}, port) as container:
        assert ask(container.url, "/ready") == (200, {"status": "ready"})
        assert ask(container.url, "/v1/models")[0] == 200
        assert ask(container.url, "/v1/models", key="another")[0] == 401
        # Nobody listens there, and the check must not ask.
        assert container.healthy(http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
        if can_become(image.user):
            assert container.owner() == image.user != 0
        assert container.stop() == 0
        assert not container.healthy()
        assert container.changed_files() == set()  # a root that is read-only is enough
    volume = Path(inside(root, image.volume))
    assert volume.stat().st_mode & 0o777 == 0o700
    assert list(volume.glob("*.db")) != []


@pytest.mark.row("S0-43", "S1-33", "S1-34")
def test_the_compose_service_uses_the_mounted_credentials(built: tuple[Image, Path]) -> None:
    image, root = built
    service = compose()
    (published,) = service["ports"]
    assert published == f"8050:{image.port}"
    environ = service["environment"]
    assert environ["DRAGOMAN_PORT"] == str(image.port)  # what is published is where it listens
    mounts = dict(volume.split(":", 1) for volume in service["volumes"])
    assert mounts == {"data": image.volume, "./credentials": "/app/credentials:ro"}
    assert environ["DRAGOMAN_DATA_DIR"] == image.volume
    port = free_port()
    with Google() as google:
        mount(root, mounts["./credentials"], google.account("one", 0).json(google.token_uri))
        # As it may have been written for a gateway outside of a container.
        dotenv = {
            **{"API_KEY": SECRET, "VERTEX_BASE_URL": google.url},
            **{"PORT": "1", "LISTEN": "192.0.2.1", "CREDENTIALS_DIR": "/nowhere"},
        }
        given = {name: inside(root, value) for name, value in environ.items()}
        with Container(
            image, root, {**dotenv, **given, "DRAGOMAN_PORT": str(port)}, port
        ) as container:
            question = {
                "model": "gemini-2.5-flash",
                "messages": [{"role": "user", "content": "Hi"}],
            }
            status, answer = ask(container.url, "/v1/chat/completions", question)
            assert (status, answer["choices"][0]["message"]["content"]) == (200, GREETING)
            assert [call.who for call in google.calls] == ["one"]
            assert container.changed_files() == set()
            assert container.stop() == 0


def mount(root: Path, target: str, account: str) -> None:
    """A directory with one service account, read-only."""
    place, mode = target.split(":")
    assert mode == "ro"
    folder = Path(inside(root, place))
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(account, encoding="utf-8")
    (folder / "one.json").chmod(0o444)
    folder.chmod(0o555)


# --- What is written -------------------------------------------------------------------------------


def test_the_image_is_built_from_what_it_needs_and_no_secret(image: Image) -> None:
    assert len(image.bases) == 2
    assert set(image.bases) == {"python:3.12-slim"}
    for source in image.sources:
        assert (ROOT / source).exists()
        assert not image.ignored.leaves_out(source)
    kept_away = (".env", "config.json", "credentials/one.json", ".git/config", "tests/conftest.py")
    for path in (*kept_away, "src/.env", "src/dragoman/__pycache__/x.pyc", ".venv/bin/python"):
        assert image.ignored.leaves_out(path), path
    assert not image.ignored.leaves_out("src/dragoman/providers/catalog.toml")
    assert [name for name in image.environ if re.search("KEY|TOKEN|SECRET|PASSWORD", name)] == []


def test_the_packages_are_held_to_their_hashes() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = [line for line in text.splitlines() if re.match(r"RUN .*\binstall --quiet", line)]
    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-deps ." in line for line in installs)


def test_the_compose_service_is_locked_down() -> None:
    service = compose()
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["env_file"] == [{"path": ".env", "required": False}]


def test_docker_waits_as_long_as_the_gateway_does() -> None:
    assert int(compose()["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS


@pytest.mark.row("S1-35")
def test_the_spaces_page_begins_as_hugging_face_wants_it(image: Image) -> None:
    head = front_matter()
    assert head["title"] == "Dragoman"
    assert head["emoji"]
    assert not head["emoji"].isascii()
    assert {head["colorFrom"], head["colorTo"]} <= COLOURS
    assert (head["sdk"], head["app_port"]) == ("docker", image.port)


def test_the_spaces_page_names_variables_that_exist() -> None:
    named = set(re.findall(r"`([A-Z][A-Z_]+)`", SPACE.read_text(encoding="utf-8")))
    assert {"API_KEY", "DRAGOMAN_ADMIN_KEY", "GOOGLE_CREDENTIALS_JSON"} <= named
    assert set(recognised_variables(dict.fromkeys(named, "x"), load_catalog(None))) == named
