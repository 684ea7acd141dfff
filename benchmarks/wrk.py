"""The same load from ``wrk``, where it is installed: it leaves more of a small machine to the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from benchmarks.http1 import Address, Ask
from benchmarks.load import Loaded

# wrk counts an answer of 400 or more as an error of "status"; the other errors are its sockets'.
_REPORT = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"answers": %d, "failures": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests - errors.status,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def available() -> bool:
    """Whether ``wrk`` is on the PATH."""
    return shutil.which("wrk") is not None


def version() -> str:
    """Its version, for the report."""
    shown = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    found = re.search(r"wrk \S*?(\d[\d.]*)", shown.stdout + shown.stderr)
    return f"wrk {found[1]}" if found else "wrk"


def load(address: Address, ask: Ask, *, connections: int, seconds: float) -> Loaded:
    """As ``benchmarks.load.load``; one thread, the certificate is not checked."""
    with tempfile.TemporaryDirectory(prefix="bench-wrk-") as directory:
        script = Path(directory) / "load.lua"
        script.write_text(_request(ask) + _REPORT, encoding="utf-8")
        return _run(script, address.url + ask.path, connections, seconds)


def _request(ask: Ask) -> str:
    headers = {"content-type": "application/json", **ask.headers}
    lines = ['wrk.method = "POST"', f"wrk.body = {_lua(ask.body.decode())}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in headers.items()]
    return "\n".join(lines)


def _lua(text: str) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'


def _run(script: Path, url: str, connections: int, seconds: float) -> Loaded:
    whole = max(1, round(seconds))  # wrk knows whole seconds only
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{whole}s", "--timeout", "30s", "-s", script, url],
        capture_output=True,
        text=True,
        check=False,
        timeout=whole + 60,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        raise RuntimeError(f"wrk failed: {done.stderr[-500:]}")
    return msgspec.convert(json.loads(done.stdout.strip().splitlines()[-1]), Loaded)
