"""The README's lines run as written, and the package is whole and stands alone."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dragoman_client import DragomanClient

from tests.clients_python.conftest import PACKAGE
from tests.clients_python.scene import Scene, scene
from tests.clients_python.vendor import PLACE, TEXT

README = (PACKAGE / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SOURCES = sorted((PACKAGE / "src" / "dragoman_client").glob("*.py"))
ROOT = PACKAGE.parent.parent


@pytest.fixture(scope="module")
def stage() -> Iterator[Scene]:
    """A gateway with the models that the README names."""
    with scene() as one:
        yield one


def run(code: str, stage: Scene, folder: Path) -> str:
    """What a program prints that has the README's environment."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PACKAGE / "src"),
        "PYTHONIOENCODING": "utf-8",
        "DRAGOMAN_URL": stage.url,
        "DRAGOMAN_API_KEY": stage.shop.key(folder.name, "default"),
    }
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environ,
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("block", "said"),
    list(
        zip(
            BLOCKS,
            [
                [TEXT, "15000", TEXT],
                [TEXT, TEXT],
                [TEXT, f"{PLACE} 0.9 {PLACE}", "POSITIVE 0.9", f"LOC {PLACE} 10 15", "[[8.0, 0.5"],
                ["gpt-4o-mini", "150000 0.00015"],
                ["404 NotFound"],
            ],
            strict=True,
        )
    ),
    ids=["sync", "async", "tasks", "money", "errors"],
)
def test_the_readmes_lines_run_as_written(
    block: str, said: list[str], stage: Scene, tmp_path: Path
) -> None:
    printed = run(block, stage, tmp_path)
    place = 0
    for text in said:
        assert text in printed[place:], printed
        place = printed.index(text, place) + len(text)


def test_every_method_is_in_the_readme() -> None:
    methods = {name for name in vars(DragomanClient) if not name.startswith("_")} - {"close"}
    told = set(re.findall(r"^\| `(\w+)\(", README, re.MULTILINE))
    assert told == methods


def test_the_readmes_links_lead_somewhere() -> None:
    targets = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert targets
    assert [target for target in targets if not (PACKAGE / target).exists()] == []


def test_it_installs_as_the_readme_says(tmp_path: Path) -> None:
    assert "pip install ./clients/python" in README
    built = subprocess.run(
        # What this adds to the README's line: nothing is fetched, and nothing is changed here.
        [
            *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
            *("--disable-pip-version-check", "--wheel-dir", str(tmp_path), "./clients/python"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("dragoman_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).name for name in names if name.startswith("dragoman_client/")} == {
        "py.typed",
        *(path.name for path in SOURCES),
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_stands_alone() -> None:
    """It shares no code with the gateway, and needs what its pyproject names."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=]", one, maxsplit=1)[0] for one in project["dependencies"]}
    imported = {
        name.partition(".")[0]
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in _imported(node)
    }
    assert imported - sys.stdlib_module_names - {"dragoman_client"} == needed
    assert (PACKAGE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_the_gateway_does_not_import_it() -> None:
    sources = (ROOT / "src" / "dragoman").rglob("*.py")
    assert [path for path in sources if "dragoman_client" in path.read_text("utf-8")] == []


def test_its_files_are_short() -> None:
    lengths = {path.name: path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert [name for name, lines in lengths.items() if lines >= 400] == []
