"""The JavaScript client as it would be published: built, packed and unpacked beside a page and scripts
that use it.

It is made once for each state of its sources, in pytest's cache folder; a fresh machine fetches the
compiler for it, which takes some seconds and the network.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "clients" / "js"
CACHE = ROOT / ".pytest_cache" / "js-client"
NAME = "dragoman-client"
OLDEST_NODE = 20
_MADE = frozenset({"node_modules", "dist"})
_NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@functools.cache
def lacking() -> str:
    """Why the client cannot be built here; empty if it can be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return f"no node and npm on this machine ({OLDEST_NODE} or newer: https://nodejs.org)"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < OLDEST_NODE:
        return f"node is older than {OLDEST_NODE}: {version.stdout.strip()}"
    return ""


class JsPackage:
    """Its folders: ``package`` where it was built, ``consumer`` where it is installed."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "package"
        self.consumer = folder / "consumer"

    @property
    def installed(self) -> Path:
        """What a user would get."""
        return self.consumer / "node_modules" / NAME

    def node(
        self, *arguments: str, folder: Path, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run node in ``folder``."""
        return run(["node", *arguments], folder, environ)

    def compile(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run TypeScript's compiler in ``folder``."""
        compiler = self.package / "node_modules" / "typescript" / "bin" / "tsc"
        return run(["node", str(compiler), *arguments], folder)


def run(
    command: list[str], folder: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it; what it says is kept together, and it need not succeed."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def build() -> JsPackage:
    """The package of this moment's sources. Skips the test where it cannot be built."""
    if reason := lacking():
        pytest.skip(reason)
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # several processes run tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = JsPackage(CACHE)
        _once("built", _digest(sources()), lambda: _make(made))
        return made


def sources() -> Iterator[Path]:
    """The files that it is made of."""
    for path in sorted(SOURCE.rglob("*")):
        if path.is_file() and _MADE.isdisjoint(path.relative_to(SOURCE).parts):
            yield path


def _make(made: JsPackage) -> None:
    for path in made.package.glob("*"):
        if path.name != "node_modules":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sources():
        copy = made.package / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    _once("fetched", _digest([SOURCE / "package-lock.json"]), lambda: fetch(made.package))
    _succeed(["npm", "pack", "--pack-destination", str(CACHE)], made.package)  # builds first
    shutil.rmtree(made.consumer, ignore_errors=True)
    made.consumer.mkdir()
    [packed] = CACHE.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(made.consumer, filter="data")
    packed.unlink()
    made.installed.parent.mkdir()
    (made.consumer / "package").rename(made.installed)
    (made.consumer / "package.json").write_text('{"type": "module"}', encoding="utf-8")


def fetch(folder: Path) -> None:
    """Install what the folder's lock names. Skips the test where npm has no network."""
    fetched = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    if fetched.returncode and any(code in fetched.stdout for code in _NO_NETWORK):
        pytest.skip("npm cannot fetch the packages of the lock: no network")
    assert fetched.returncode == 0, fetched.stdout


def _succeed(command: list[str], folder: Path) -> None:
    done = run(command, folder)
    assert done.returncode == 0, done.stdout


def _once(name: str, digest: str, make: Callable[[], None]) -> None:
    """Call ``make`` unless it has succeeded for the same ``digest`` before."""
    stamp = CACHE / name
    if not stamp.exists() or stamp.read_text() != digest:
        stamp.unlink(missing_ok=True)
        make()
        stamp.write_text(digest)


def _digest(paths: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        whole.update(f"{path.relative_to(SOURCE)} {len(content)}\n".encode() + content)
    return whole.hexdigest()
