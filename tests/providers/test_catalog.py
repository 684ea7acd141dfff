"""The catalogue of providers."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dragoman.providers import catalog
from dragoman.providers.catalog import CatalogError, UnknownProvider, find, load_catalog, require
from dragoman.providers.provider import Provider

PROTOCOLS = {
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "gemini_generate",
    "gradio",
    "ollama_chat",
}
# fmt: off
ASKED_FOR = {
    "openai", "anthropic", "gemini", "ollama", "openrouter", "huggingface", "portkey",
    "featherless", "fireworks", "together", "groq", "deepinfra", "cerebras", "novita",
    "chutes", "xai", "mistral", "cohere", "perplexity", "sambanova", "nebius", "near",
    "aihubmix", "anannas", "helicone", "vercel-ai-gateway", "alibaba-cloud", "nvidia",
    "azure-openai",
    "lmstudio", "vllm", "llamacpp", "deepseek", "moonshot", "zhipu", "minimax", "custom",
    "demo",
}
# fmt: on
ROWS = load_catalog()
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
ANONYMOUS = {"gradio"}  # the Hub's Spaces are open to strangers, within limits


def test_the_rows() -> None:
    assert set(ROWS) >= ASKED_FOR
    assert list(ROWS)[0] == "openai"  # noqa: RUF015 - the first row wins shared variables
    assert all(id == row.id for id, row in ROWS.items())


@every_row
def test_a_row_is_complete(row: Provider) -> None:
    assert row.name
    assert set(row.protocols) <= PROTOCOLS
    if row.id == "custom":
        assert not row.protocols
        return
    assert row.protocols
    for url in row.protocols.values():
        if not url:  # everyone has an address of their own there
            assert row.env_base_url
            continue
        assert not url.endswith("/")
        parts = urlsplit(url)
        local = parts.hostname == "localhost" or parts.scheme == "demo"
        assert local or parts.scheme == "https", "a credential must not travel in the clear"
        assert row.key_required is not (local or row.id in ANONYMOUS)
    assert bool(row.env_key and row.key_page.startswith("https://")) or not row.key_required


def test_nothing_is_claimed_twice() -> None:
    names = [name for row in ROWS.values() for name in (row.id, *row.aliases)]
    assert len(names) == len(set(names))
    assert names == [name.casefold() for name in names]
    variables = [name for row in ROWS.values() for name in (*row.env_key, *row.env_base_url)]
    assert len(variables) == len(set(variables))


def test_some_rows_in_full() -> None:
    hub = ROWS["huggingface"]
    assert list(hub.protocols) == ["openai_chat", "openai_responses", "anthropic_messages"]
    assert hub.protocols["openai_chat"] == "https://router.huggingface.co/v1"
    assert hub.env_key == ("HUG_API_KEY", "HF_TOKEN")
    demo = ROWS["demo"]
    assert (demo.protocols, demo.models) == ({"openai_chat": "demo:"}, ("echo",))
    assert ROWS["ollama"].env_base_url == ("OLLAMA_HOST",)
    assert ROWS["portkey"].credential_header == "x-portkey-api-key"


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("openai", "openai"),
        (" OpenAI ", "openai"),
        ("hug", "huggingface"),
        ("Kimi", "moonshot"),
        ("builtin:glm", "zhipu"),
        ("builtin:qwen", "alibaba-cloud"),
        ("nobody", None),
        ("", None),
    ],
)
def test_finding(name: str, id: str | None) -> None:
    row = find(ROWS, name)
    assert (row.id if row else None) == id
    if id is None:
        with pytest.raises(UnknownProvider):
            require(ROWS, name)
    else:
        assert require(ROWS, name) is row


def test_the_nearest_names_are_told() -> None:
    with pytest.raises(UnknownProvider, match=r"'opnrouter'; did you mean openrouter\?"):
        require(ROWS, "opnrouter")
    with pytest.raises(UnknownProvider, match="there are openai, anthropic"):
        require(ROWS, "xyzzy")


def write(folder: Path, text: str) -> Path:
    path = folder / "providers.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_ones_own(tmp_path: Path) -> None:
    rows = load_catalog(
        write(
            tmp_path,
            """
            [groq]
            env_key = ["MY_GROQ"]
            [house]
            name = "The house's own"
            protocols.openai_chat = "http://10.0.0.7:8000/v1"
            quirks = { stop_limit = 2 }
            """,
        )
    )
    assert rows["groq"].env_key == ("MY_GROQ",)
    assert rows["groq"].protocols == ROWS["groq"].protocols
    assert rows["groq"].drops == ROWS["groq"].drops
    assert rows["house"].quirks == {"stop_limit": 2}
    assert list(rows)[-1] == "house"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x]\nname = 1", r"provider 'x', field 'name': Expected `str`, got `int`"),
        ("[x]\nprotocols = {}", "provider 'x': Object missing required field `name`"),
        ("[x]\nname = 'X'\ncolour = 1", "provider 'x': Object contains unknown field `colour`"),
        ("[x]\nname = 'X'\nmodels = ['a', 2]", r"provider 'x', field 'models\[1\]'"),
        (
            "[x]\nname = 'X'\nprotocols.openai_chat = 'api.x.ai'",
            "field 'protocols.openai_chat': 'api.x.ai' is no URL",
        ),
        ("['X Y']\nname = 'X'", "the id 'X Y' must be lower-case"),
        ("x = 1", "'x' is no table"),
        ("[x", "is not valid TOML"),
    ],
)
def test_mistakes_name_row_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(CatalogError, match=message) as caught:
        load_catalog(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read: No such file"):
        load_catalog(tmp_path / "gone.toml")


def test_the_rows_are_plain_toml() -> None:
    path = Path(catalog.__file__).with_name("catalog.toml")
    assert list(tomllib.loads(path.read_text(encoding="utf-8"))) == list(ROWS)


def offer(monkeypatch: pytest.MonkeyPatch, offered: Any) -> None:
    """Install a package that offers ``offered``."""

    class Offer(EntryPoint):
        def load(self) -> Any:
            if isinstance(offered, Exception):
                raise offered
            return offered

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "dragoman.providers"
        return [Offer("smoke", "smoke_signals:THING", group)]

    monkeypatch.setattr(catalog, "entry_points", entry_points)


HOUSE = Provider(id="house", name="House", protocols={"openai_chat": "https://house.example/v1"})


@pytest.mark.parametrize("offered", [HOUSE, [HOUSE]])
def test_packages_add_providers(monkeypatch: pytest.MonkeyPatch, offered: Any) -> None:
    offer(monkeypatch, offered)
    assert load_catalog()["house"] is HOUSE


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (ROWS["openai"], "'openai', which exists"),
        ("smoke", "offers 'smoke', which is no Provider"),
        (ImportError("no wood"), "smoke_signals:THING does not load: no wood"),
    ],
)
def test_bad_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, offered: Any, message: str
) -> None:
    offer(monkeypatch, offered)
    with pytest.raises(CatalogError, match=message):
        load_catalog()
