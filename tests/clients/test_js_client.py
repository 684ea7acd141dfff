"""The JavaScript client: its own tests, and the built package before the real gateway."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.administered import ADMIN, ENVIRON, admin
from tests.support.browser import CHROMIUM, NO_BROWSER
from tests.support.gateway import Gateway
from tests.support.js_package import SOURCE, JsPackage, build
from tests.support.task_upstream import PICTURE, TEXT, TaskUpstream

SCRIPTS = Path(__file__).parent / "scripts"
README = (SOURCE / "README.md").read_text(encoding="utf-8")
KEY, OTHER_KEY = "sk-gw-your-api-key", "sk-gw-js-0123456789"
LOCAL = "http://localhost:3000"
MODELS = ["gpt-4o-mini", "text-embedding-3-small", "gpt-image-1"]
ANSWERS = {  # script → what it prints → the type of it
    "tasks": {
        "generated": "TextGenerationOutput",
        "talked": "ConversationalOutput",
        "summary": "SummarizationOutput",
        "translated": "TranslationOutput",
        "found": "QuestionAnsweringOutput",
        "kinds": "TextClassificationOutput",
        "names": "TokenClassificationOutput",
        "vectors": "EmbeddingOutput",
        "ran": 'RunOutput<types.QuestionAnsweringOutput["output"]>',
    },
    "books": {"cost": "CostOutput", "usage": "UsageOutput", "models": "ModelList"},
    "mapping": {"mapped": "MappedModel", "listed": "ModelList"},
    "streams": {"lines": "TokenEvent", "talkedOn": "TokenEvent", "ranOn": "TokenEvent"},
}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REDIRECT = f"""
const fetch = globalThis.fetch;
globalThis.fetch = (url, init) => fetch(String(url).replace("{LOCAL}", process.env.GATEWAY), init);
"""


def blocks(language: str) -> list[str]:
    """The README's code in a language."""
    return [code for name, code in _BLOCK.findall(README) if name == language]


@pytest.fixture(scope="module")
def js() -> JsPackage:
    """The package of today's sources."""
    return build()


@pytest.fixture(scope="module")
def upstream() -> Iterator[TaskUpstream]:
    """The only model."""
    with TaskUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(upstream: TaskUpstream) -> Iterator[Gateway]:
    """With the models and the key of the README."""
    channel = {
        "name": "tasks",
        "type": "openrouter",
        "base_url": upstream.url,
        "api_key": "key-1",
        "models": MODELS,
        "max_concurrency": 50,
        "prices": {"*": {"input": 1, "output": 2}},
    }
    with Gateway(None, environ=ENVIRON) as running:
        assert admin(running, "POST", "/channels", channel).status == 201
        for name, key in (("readme", KEY), ("other", OTHER_KEY)):
            assert admin(running, "POST", "/keys", {"name": name, "key": key}).status == 201
        yield running


@pytest.fixture(scope="module")
def bench(js: JsPackage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the package is installed, with our scripts and the README's code, compiled."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "node_modules").symlink_to(js.consumer / "node_modules")
    written = {
        "package.json": '{"type": "module"}',
        "redirect.mjs": _REDIRECT,
        "page.html": f"<!doctype html><html lang=en><meta charset=utf-8>{blocks('html')[0]}",
        "snippet.cjs": blocks("cjs")[0],
        "tsconfig.json": json.dumps({"compilerOptions": _options(js), "include": ["*.ts"]}),
        **{f"snippet{number}.ts": code for number, code in enumerate(blocks("ts"))},
        **{path.name: path.read_text(encoding="utf-8") for path in SCRIPTS.glob("*.ts")},
    }
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = js.compile("-p", ".", folder=folder)
    assert done.returncode == 0, done.stdout
    return folder


def _options(js: JsPackage) -> dict[str, object]:
    """The strictest that a user may have."""
    return {
        "target": "es2022",
        "module": "nodenext",
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "exactOptionalPropertyTypes": True,
        "typeRoots": [str(js.package / "node_modules" / "@types")],
        "types": ["node"],
    }


@pytest.fixture(scope="module")
def said(js: JsPackage, bench: Path, gateway: Gateway) -> Callable[[str], Any]:
    """What a script of ours prints when it has asked the gateway; each is run once."""

    def say(name: str) -> Any:
        done = js.node(f"{name}.js", gateway.url, OTHER_KEY, ADMIN, folder=bench)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)

    return functools.cache(say)


def read_aloud(js: JsPackage, bench: Path, file: str, gateway: Gateway) -> str:
    """What code of the README prints; only its port is led to the gateway under test."""
    environ = {"GATEWAY": gateway.url}
    done = js.node("--import", "./redirect.mjs", file, folder=bench, environ=environ)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


def test_the_lock_names_no_registry() -> None:
    """Whoever installs takes the packages from where they take theirs; what they are is pinned."""
    lock = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert packages
    assert "://" not in json.dumps(lock)
    for one in packages.values():
        assert "resolved" not in one
        assert one["integrity"].startswith("sha512-")
        assert one["dev"]  # nothing comes along with the client


def test_its_own_tests_pass(js: JsPackage) -> None:
    checked = js.compile("-p", "tests", folder=js.package)
    assert checked.returncode == 0, checked.stdout
    done = js.node("--test", folder=js.package)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\S+ pass [1-9]\d+$", done.stdout, re.MULTILINE), done.stdout


def test_what_is_published(js: JsPackage) -> None:
    """Two builds with types, and nothing that only Node has: browsers load the same files."""
    files = {str(path.relative_to(js.installed)) for path in js.installed.rglob("*.*")}
    assert {"README.md", "dist/esm/index.js", "dist/cjs/index.js"} <= files
    assert {"dist/esm/index.d.ts", "dist/cjs/index.d.ts"} <= files
    assert (js.installed / "LICENSE").exists()
    assert all(name.startswith("dist/") for name in files - {"README.md", "package.json"})
    package = json.loads((js.installed / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert "peerDependencies" not in package
    for path in (js.installed / "dist" / "esm").glob("*.js"):
        code = path.read_text(encoding="utf-8")
        imported = re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", code)
        assert all(name.startswith("./") for name in imported), path
        assert not re.search(r"\b(?:require|process|Buffer|__dirname)\b", code), path


DRAWING = [number for number, code in enumerate(blocks("ts")) if "imageGeneration" in code]


@pytest.mark.row("S4-37")
@pytest.mark.parametrize("number", [n for n in range(len(blocks("ts"))) if n not in DRAWING])
def test_the_readme_runs_as_written(
    js: JsPackage, bench: Path, gateway: Gateway, number: int
) -> None:
    assert read_aloud(js, bench, f"snippet{number}.js", gateway)


@pytest.mark.row("S4-37")
def test_the_readme_s_commonjs_runs_as_written(
    js: JsPackage, bench: Path, gateway: Gateway
) -> None:
    assert read_aloud(js, bench, "snippet.cjs", gateway).isdecimal()


@pytest.mark.row("S4-38")
def test_every_task_before_the_gateway(said: Callable[[str], Any]) -> None:
    answers = said("tasks")
    assert answers["generated"] == {"output": [{"generated_text": TEXT}]}
    assert answers["talked"]["conversation"] == {
        "past_user_inputs": ["Hello", "And then?"],
        "generated_responses": [TEXT, TEXT],
    }
    assert answers["summary"] == {"output": {"summary_text": TEXT}}
    assert answers["translated"] == {"output": {"translation_text": TEXT}}
    found = {"answer": "London", "score": 0.9, "start": 12, "end": 18}
    assert answers["found"] == {"output": found}
    assert answers["ran"] == {
        "output": found,
        "task": "question-answering",
        "model": "gpt-4o-mini",
    }
    good, bad = {"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}
    assert answers["kinds"] == {"output": [[good, bad]]}
    names = answers["names"]["output"]
    assert [(one["word"], one["entity"]) for one in names] == [("Ada", "PER"), ("London", "LOC")]
    assert [(one["start"], one["end"]) for one in names] == [(2, 5), (12, 18)]
    assert [len(one["embedding"]) for one in answers["vectors"]["output"]] == [8, 8]
    assert all(answers["requestIds"])


@pytest.mark.row("S4-38")
def test_costs_usage_and_models(said: Callable[[str], Any]) -> None:
    answers = said("books")
    item = {"task": "text-generation", "model": "gpt-4o-mini"}
    counts = {"input_tokens": 10, "output_tokens": 20}
    money = {"cost_nano_usd": 50_000, "cost_usd": 0.00005}
    assert answers["cost"] == {
        "total_cost_nano_usd": 50_000,
        "costs": [item | counts | money],
        "currency": "USD",
    }
    newest, before, *_ = answers["usage"]["records"]
    assert [newest["task"], before["task"]] == ["summarization", "text-generation"]
    assert answers["usage"]["total_records"] == len(answers["usage"]["records"])
    assert answers["second"]["records"] == [before]
    assert answers["models"]["count"] == len(answers["models"]["models"]) > 0
    assert {one["task_type"] for one in answers["some"]["models"]} == {"summarization"}


def test_an_administrator_maps_a_model(said: Callable[[str], Any]) -> None:
    answers = said("mapping")
    ids = {
        "provider_model_id": "text-embedding-3-small",
        "hub_model_id": "sentence-transformers/all-MiniLM-L6-v2",
    }
    message = "Model mapping registered successfully"
    assert answers["mapped"] == {"success": True, **ids, "message": message}
    listed = {"model_id": ids["provider_model_id"], "hub_model_id": ids["hub_model_id"]}
    assert listed | {"task_type": "embedding"} in answers["listed"]["models"]
    [vector] = answers["vectors"]["output"]
    assert len(vector["embedding"]) == 8


def test_a_picture_before_the_gateway(
    js: JsPackage, bench: Path, gateway: Gateway, said: Callable[[str], Any]
) -> None:
    for number in DRAWING:
        assert read_aloud(js, bench, f"snippet{number}.js", gateway).startswith("image/png")
        assert (bench / "fox.png").read_bytes() == PICTURE
    answer = said("picture")
    assert bytes(answer["bytes"]) == PICTURE
    assert answer["contentType"] == "image/png"


def test_streams_before_the_gateway(said: Callable[[str], Any]) -> None:
    answers = said("streams")
    assert set(answers) == {"generated", "lines", "talkedOn", "summary", "translated", "ranOn"}
    for name, answer in answers.items():
        assert answer["last"]["generated_text"] == TEXT, name
        assert "".join(answer["pieces"]) == TEXT, name
        assert len(answer["pieces"]) > 2, name


def test_the_types_are_what_the_gateway_says(
    js: JsPackage, said: Callable[[str], Any], tmp_path: Path
) -> None:
    """Every answer is written down as a value of its type: no field is missing, and none is unknown."""
    asked = {name: said(name) for name in ANSWERS}
    lines = ['import type * as types from "dragoman-client";']
    for script, kinds in ANSWERS.items():
        for name, kind in kinds.items():
            value = asked[script][name]
            if kind == "TokenEvent":
                value = value["last"]
            lines.append(f"export const {name}: types.{kind} = {json.dumps(value)};")
    (tmp_path / "node_modules").symlink_to(js.consumer / "node_modules")
    for name, text in {
        "package.json": '{"type": "module"}',
        "answers.ts": "\n".join(lines),
        "tsconfig.json": json.dumps({"compilerOptions": _options(js), "files": ["answers.ts"]}),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = js.compile("-p", ".", folder=tmp_path)
    assert done.returncode == 0, done.stdout


def test_failures_before_the_gateway(said: Callable[[str], Any]) -> None:
    assert said("failures") == {
        "key": ["AuthenticationError", 401, "Unauthorized", True],
        "model": ["NotFoundError", 404, "NotFound", True],
        "empty": ["BadRequestError", 400, "BadRequest", True],
        "offset": ["BadRequestError", 400, "BadRequest", True],
        "stream": ["BadRequestError", 400, "BadRequest", True],
        "mapping": ["PermissionDeniedError", 403, "Forbidden", True],
    }


def test_whoever_leaves_a_stream_stops_the_model(
    said: Callable[[str], Any], upstream: TaskUpstream
) -> None:
    upstream.left.clear()
    upstream.endless = True
    try:
        assert said("leaving") == 3
        assert upstream.left.wait(20)
    finally:
        upstream.endless = False


def test_what_is_asked_twice_with_one_key_is_served_once(
    said: Callable[[str], Any], upstream: TaskUpstream
) -> None:
    before = len(upstream.asked)
    first, second = said("twice")
    assert first == second
    assert len(upstream.asked) == before + 1


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(bench: Path) -> Iterator[str]:
    """A web site that is the bench."""
    handler = functools.partial(_Quiet, directory=str(bench))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.mark.row("S4-37")
@pytest.mark.skipif(not CHROMIUM, reason=NO_BROWSER)
def test_the_readme_s_page_runs_as_written(bench: Path, site: str, gateway: Gateway) -> None:
    """In a real browser, from another origin than the gateway's."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - only where a browser is

    led = f"--host-resolver-rules=MAP localhost:3000 127.0.0.1:{gateway.port}"
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", led]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{site}/page.html")
        expect(page.locator("#story")).to_have_text(TEXT, timeout=30_000)
        browser.close()
    assert not wrong
