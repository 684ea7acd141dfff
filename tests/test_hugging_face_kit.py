"""What docs/hugging-face promises, against the code: commands, routes, tasks, logos, and the prepared
integration for huggingface_hub within the real one."""

from __future__ import annotations

import importlib
import re
import shlex
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from huggingface_hub import InferenceClient
from huggingface_hub.hf_api import InferenceProviderMapping
from huggingface_hub.inference import _providers

from dragoman.cli.app import app
from dragoman.cli.hf_samples import SAMPLES
from dragoman.server.routes import resolve
from tests.support.gateway import TOKEN, Gateway
from tests.support.hf_site import MODEL, NATIVE, PartnerSite

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "hugging-face"
LOGOS = FOLDER / "logo"
NAMES = ("README.md", "huggingface_hub.md", "huggingface.js.md")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROUTE = re.compile(r"`(GET|POST) (/[^`]*)`")


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return [code for kind, code in _BLOCK.findall(text(name)) if kind == language]


# -- The pages ---------------------------------------------------------------------------------------


@pytest.mark.row("S4-54")
def test_the_account_steps_are_there_in_order() -> None:
    account = text("README.md").partition("## 1.")[2].partition("## 2.")[0]
    steps = re.findall(r"^\d\. .*$", account, re.MULTILINE)
    for step, words in zip(steps, ("organisation", "Team", "enter you", "HF_TOKEN"), strict=True):
        assert words in step
    assert "Enterprise" in steps[1]
    assert "write" in steps[3]


@pytest.mark.row("S4-61")
def test_every_command_exists_with_its_options() -> None:
    lines = [
        line.removeprefix("$ ")
        for name in NAMES
        for block in blocks(name, "console")
        for line in block.splitlines()
    ]
    assert len(lines) >= 8
    for line in lines:
        _check_command(shlex.split(line))


@pytest.mark.row("S4-61")
def test_every_link_leads_somewhere() -> None:
    for name in NAMES:
        for target in _LINK.findall(text(name)):
            if not target.startswith("https://"):
                assert (FOLDER / target.partition("#")[0]).exists(), target


@pytest.mark.row("S4-61")
def test_every_route_is_the_gateways() -> None:
    routes = _ROUTE.findall(text("README.md"))
    assert len(routes) >= 5
    for method, path in routes:
        resolve(method, path.replace("{model}", MODEL).replace("{task}", "summarization"))
    assert "/hf/billing" in text("README.md")
    resolve("POST", "/hf/billing")


@pytest.mark.row("S4-62")
def test_every_task_is_documented_and_integrated() -> None:
    named = text("README.md").partition("The tasks are ")[2].partition(".")[0]
    assert set(re.findall(r"`([a-z-]+)`", named)) == set(SAMPLES)
    for block in (blocks("huggingface_hub.md", "python")[1], blocks("huggingface.js.md", "ts")[1]):
        assert set(re.findall(r'^\t*\s*"?([a-z-]+)"?: (?:new )?Acme', block, re.MULTILINE)) == set(
            SAMPLES
        )


def _check_command(words: list[str]) -> None:
    """Raise unless the command line knows the command and each of its options."""
    command: Any = typer.main.get_command(app)
    assert words[0] == "dragoman" or words[:2] == ["python", "docs/hugging-face/logo/render.py"]
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    known = {option for param in command.params for option in param.opts}
    assert [word for word in rest if word.startswith("--") and word not in known] == []
    if not known & set(rest) and rest and hasattr(command, "commands"):
        pytest.fail(f"no command {words}")


# -- The logos ---------------------------------------------------------------------------------------


@pytest.mark.row("S4-63")
@pytest.mark.parametrize("name", ["dragoman-light", "dragoman-dark", "icon"])
def test_every_logo_is_there_as_svg_and_as_png_of_the_same_size(name: str) -> None:
    drawing = ElementTree.parse(LOGOS / f"{name}.svg").getroot()
    tags = {element.tag.rpartition("}")[2] for element in drawing.iter()}
    assert tags == {"svg", "title", "path"}  # no script, no font, nothing from elsewhere
    width, height, corner = _png((LOGOS / f"{name}.png").read_bytes())
    assert (width, height) == (int(drawing.attrib["width"]), int(drawing.attrib["height"]))
    assert corner[3] == 0  # transparent


@pytest.mark.row("S4-63")
def test_the_light_logo_is_dark_and_the_dark_one_is_light() -> None:
    inks = {
        name: re.findall(r'stroke="#([0-9a-f]{6})"', (LOGOS / f"dragoman-{name}.svg").read_text())
        for name in ("light", "dark")
    }
    brightness = {name: sum(bytes.fromhex(found[-1])) for name, found in inks.items()}
    assert brightness["light"] < 200 < 600 < brightness["dark"]


@pytest.mark.row("S4-64")
def test_the_provider_describes_itself_and_names_every_file() -> None:
    page = text("README.md")
    assert "A description to begin the page with" in page
    for file in sorted(LOGOS.glob("*.png")) + sorted(LOGOS.glob("*.svg")):
        assert f"logo/{file.name}" in page or file.name == "icon.png"


def _png(data: bytes) -> tuple[int, int, bytes]:
    """(width, height, the first pixel) of a PNG in eight-bit RGBA."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (depth, kind) == (8, 6)
    packed, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    return width, height, zlib.decompress(packed)[1:5]


# -- The integration for huggingface_hub -------------------------------------------------------------


@pytest.fixture(scope="module")
def integration() -> Iterator[ModuleType]:
    """The prepared module, within huggingface_hub as its patch would put it there."""
    helper, registered = blocks("huggingface_hub.md", "python")
    name = "huggingface_hub.inference._providers.acme"
    module = ModuleType(name)
    module.__package__ = "huggingface_hub.inference._providers"
    sys.modules[name] = module
    exec(compile(helper, "acme.py", "exec"), module.__dict__)
    exec(registered, {**module.__dict__, "PROVIDERS": _providers.PROVIDERS})
    yield module
    del _providers.PROVIDERS["acme"]  # type: ignore[arg-type]
    del sys.modules[name]


def _client(
    monkeypatch: pytest.MonkeyPatch, address: str, key: str, mapping: InferenceProviderMapping
) -> InferenceClient:
    common = importlib.import_module("huggingface_hub.inference._providers._common")
    monkeypatch.setattr(common, "HARDCODED_MODEL_INFERENCE_MAPPING", {"acme": {"org/m": mapping}})
    helpers: Any = _providers.PROVIDERS
    for helper in helpers["acme"].values():
        monkeypatch.setattr(helper, "base_url", address)
    return InferenceClient(provider="acme", api_key=key, model="org/m")  # type: ignore[arg-type]


def _mapping(task: str, model: str) -> InferenceProviderMapping:
    return InferenceProviderMapping(
        provider="acme", hf_model_id="org/m", providerId=model, status="live", task=task
    )


@pytest.mark.row("S4-55")
def test_the_integration_serves_chat_and_text_through_the_gateway(
    integration: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"channels": [], "tokens": [{"id": 1, "name": "a", "key": TOKEN}]}
    messages = [{"role": "user", "content": "Bonjour"}]
    with Gateway(config, ("--demo",)) as gateway:
        client = _client(monkeypatch, gateway.url, TOKEN, _mapping("conversational", "echo"))
        whole = client.chat_completion(messages)
        assert "Bonjour" in str(whole.choices[0].message.content)
        pieces = client.chat_completion(messages, stream=True)
        said = "".join(one.choices[0].delta.content or "" for one in pieces if one.choices)
        assert said == whole.choices[0].message.content
        client = _client(monkeypatch, gateway.url, TOKEN, _mapping("text-generation", "echo"))
        assert "Bonjour" in str(client.text_generation("Bonjour", max_new_tokens=20))


@pytest.mark.row("S4-55")
@pytest.mark.parametrize(
    ("task", "ask"),
    [
        ("summarization", lambda c: c.summarization("A text.").summary_text == "Short."),
        ("translation", lambda c: c.translation("A text.").translation_text == "Court."),
        (
            "question-answering",
            lambda c: c.question_answering(question="Q", context="C").answer == "Warsaw",
        ),
        ("text-classification", lambda c: c.text_classification("A")[0].label == "POSITIVE"),
        ("token-classification", lambda c: c.token_classification("A")[0].word == "Warsaw"),
        ("feature-extraction", lambda c: c.feature_extraction("A").shape == (1, 3)),
    ],
)
def test_the_integration_reads_every_native_task(
    integration: ModuleType, monkeypatch: pytest.MonkeyPatch, task: str, ask: Any
) -> None:
    with PartnerSite() as site:
        assert ask(_client(monkeypatch, site.url, "sk-gw-x", _mapping(task, MODEL)))
        ((_, path, body),) = site.requests
    assert path == f"/hf/models/{MODEL}/pipeline/{task}"
    assert set(body) <= {"inputs", "parameters"}
    assert task in NATIVE


@pytest.mark.row("S4-55")
def test_the_integration_for_javascript_goes_to_the_same_routes() -> None:
    (helper, _) = blocks("huggingface.js.md", "ts")
    (route,) = re.findall(r"return `(hf/models/[^`]+)`", helper)
    path = route.replace("${params.model}", MODEL).replace("${this.taskName}", "translation")
    assert path == f"hf/models/{MODEL}/pipeline/translation"
    assert resolve("POST", f"/{path}").model == MODEL
    assert set(re.findall(r'new AcmeTask(?:<\w+>)?\(\s*"([a-z-]+)"', helper)) == set(NATIVE)
