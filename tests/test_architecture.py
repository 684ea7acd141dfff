"""The house rules that a machine can check, each on every file of ``src/dragoman``.

Nothing here is imported or run: the files are read as syntax trees, so a broken module still gets
judged and the whole check stays well under three seconds.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "dragoman"
FIXTURES = ROOT / "tests" / "fixtures"

# Room → the rooms it may import besides itself. Imports run one way only: read top down, every room
# names only rooms below it.
ROOMS: dict[str, frozenset[str]] = {
    room: frozenset(names.split())
    for room, names in {
        "desktop": "",
        "server": "engine governance routing providers protocols wire canonical",
        "engine": "protocols providers routing governance wire canonical",
        "store": "routing governance canonical",
        "providers": "governance protocols wire canonical",
        "protocols": "wire canonical",
        "routing": "governance canonical",
        "governance": "canonical",
        "wire": "",
        "canonical": "",
    }.items()
}
# The composition root sees every room; so may the package's own __init__ and __main__.
ROOT_MODULES = ("cli", "config", "runtime", "__init__", "__main__")

# Rooms of pure functions: no socket, file, clock, thread or dice. They are handed in as values.
PURE_ROOMS = frozenset({"canonical", "wire", "protocols", "routing", "governance"})
_IMPURE = (
    "aiohttp asyncio concurrent fcntl fileinput glob http.client http.server mmap multiprocessing "
    "os pathlib random sched secrets select selectors shutil signal socket socketserver sqlite3 "
    "ssl subprocess tempfile threading time urllib.request uuid"
)
IMPURE_MODULES = frozenset(_IMPURE.split())
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
PURE_PACKAGES = frozenset({"msgspec"})  # the only third party the pure rooms may use

# File → why it may be longer. Splitting by meaning is better than an entry here.
LONG_FILES: dict[str, str] = {}
MAX_LINES = 400

SHARED_PROTOCOL_CODE = frozenset({"openai_shared"})  # no protocol itself; protocols may import it
WITHOUT_CODECS = frozenset({"hf_tasks"})  # spoken by clients only, in tests of its own

FILES = sorted(SOURCE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(path.relative_to(SOURCE)) for path in FILES]
)
PROTOCOL_FOLDERS = sorted(
    folder.name
    for folder in (SOURCE / "protocols").iterdir()
    if (folder / "__init__.py").exists() and folder.name not in SHARED_PROTOCOL_CODE
)
every_protocol = pytest.mark.parametrize(
    "name", [name for name in PROTOCOL_FOLDERS if name not in WITHOUT_CODECS]
)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """(line, absolute dotted name) of everything imported, at any depth of the file.

    ``from a.b import c`` gives ``a.b.c``: whether c is a module or a name in one, the prefix tells
    the room.
    """
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(found)


def room_of(path: Path) -> str:
    """The folder below ``src/dragoman``, or the module's own name at the top."""
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else parts[0].removesuffix(".py")


def is_root_module(room: str) -> bool:
    return any(room == name or room.startswith(f"{name}_") for name in ROOT_MODULES)


def own_imports(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, dotted name below ``dragoman``) of every import of our own code."""
    for line, name in imports(path):
        head, _, rest = name.partition(".")
        if head == "dragoman" and rest:
            yield line, rest.split(".")


def matches(name: str, modules: frozenset[str]) -> bool:
    """Whether the dotted ``name`` is, or lies in, one of ``modules``."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@pytest.mark.row("S1-40")
@every_file
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(path)
    if is_root_module(room):
        return
    assert room in ROOMS, f"{room}/ is no known room: add it to ROOMS and to the design"
    allowed = ROOMS[room] | {room, "__version__"}
    wrong = [
        f"line {line}: dragoman.{'.'.join(name)}"
        for line, name in own_imports(path)
        if name[0] not in allowed
    ]
    assert not wrong, f"{room} may import {sorted(ROOMS[room])} only, not {wrong}"


@every_file
def test_protocols_do_not_know_each_other(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    if parts[0] != "protocols" or len(parts) < 3:
        return
    others = (set(PROTOCOL_FOLDERS) | {"registry"}) - {parts[1]}
    wrong = [
        f"line {line}: {'.'.join(name)}"
        for line, name in own_imports(path)
        if name[0] == "protocols" and len(name) > 1 and name[1] in others
    ]
    assert not wrong, f"protocol folders never import each other: {wrong}"


@every_file
def test_pure_rooms_touch_nothing_outside(path: Path) -> None:
    if room_of(path) not in PURE_ROOMS:
        return
    wrong = [
        f"line {line}: {name}" for line, name in imports(path) if matches(name, IMPURE_MODULES)
    ]
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ("open", "input", "print"):
            wrong.append(f"line {node.lineno}: {node.func.id}()")
        if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS:
            wrong.append(f"line {node.lineno}: .{node.func.attr}()")
    assert not wrong, f"sockets, files, clocks and chance are handed in: {wrong}"


@every_file
def test_pure_rooms_use_no_other_package(path: Path) -> None:
    if room_of(path) not in PURE_ROOMS:
        return
    allowed = sys.stdlib_module_names | PURE_PACKAGES | {"dragoman"}
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(path)
        if name.partition(".")[0] not in allowed
    ]
    assert not wrong


@every_file
def test_only_the_transport_knows_the_http_client(path: Path) -> None:
    if path == SOURCE / "engine" / "transport.py":
        return
    wrong = [
        f"line {line}: {name}"
        for line, name in imports(path)
        if name.partition(".")[0] in ("aiohttp", "httpx", "httpx2", "requests", "urllib3")
    ]
    assert not wrong, f"only engine/transport.py may import an HTTP client: {wrong}"


@every_file
def test_imports_are_absolute(path: Path) -> None:
    wrong = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong, f"relative imports on lines {wrong}"


@pytest.mark.row("S1-40")
@every_file
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    name = str(path.relative_to(SOURCE))
    if name in LONG_FILES:
        assert lines >= MAX_LINES, f"{name} is short again: take it off LONG_FILES"
    else:
        assert lines < MAX_LINES, f"{lines} lines; split it by meaning"


@every_protocol
def test_a_protocol_folder_declares_itself(name: str) -> None:
    path = SOURCE / "protocols" / name / "__init__.py"
    assigned = {
        target.id
        for node in tree(path).body
        for target in _targets(node)
        if isinstance(target, ast.Name)
    }
    assert "PROTOCOL" in assigned, f"{name}/__init__.py gathers its codecs into PROTOCOL"


@every_protocol
def test_a_protocol_has_fixtures(name: str) -> None:
    folder = FIXTURES / name
    files = list(folder.iterdir()) if folder.is_dir() else []
    assert files, f"tests/fixtures/{name}/ holds the protocol's wire bytes"


@every_protocol
def test_a_protocol_is_held_to_the_conformance_tests(name: str) -> None:
    # The suite runs over the registry, so being listed there is the entry.
    listed = importlib.import_module("dragoman.protocols.registry").protocols()
    assert name in (listed if isinstance(listed, dict) else {one.name for one in listed})


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []
