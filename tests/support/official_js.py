"""Hugging Face's own JavaScript client, installed as its lock pins it.

It is fetched once for each lock, into pytest's cache folder, which takes some seconds and the network.
"""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from tests.support.js_package import ROOT, fetch, lacking

SOURCE = ROOT / "tests" / "clients" / "official"
LOCK = SOURCE / "package-lock.json"
_FOLDER = ROOT / ".pytest_cache" / "official-js"
_PINS = ("package.json", "package-lock.json", ".npmrc")


def install() -> Path:
    """A folder with the client and our scripts for it. Skips the test where it cannot be installed."""
    if reason := lacking():
        pytest.skip(reason)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as held:  # several processes run tests
        fcntl.flock(held, fcntl.LOCK_EX)
        for path in SOURCE.glob("*.mjs"):
            shutil.copyfile(path, _FOLDER / path.name)
        stamp, pinned = _FOLDER / "fetched", LOCK.read_text(encoding="utf-8")
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != pinned:
            stamp.unlink(missing_ok=True)
            for name in _PINS:
                shutil.copyfile(SOURCE / name, _FOLDER / name)
            fetch(_FOLDER)
            stamp.write_text(pinned, encoding="utf-8")
    return _FOLDER
