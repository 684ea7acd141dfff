"""A Dockerfile carried out without Docker: its own commands, in a directory that stands for the root of
the file system.

What the base image brings is taken from this machine: its Python, its shell and its tools. So is what
cannot be had without Docker: nothing stops the process from reading the rest of the machine. It does
run as the image's user wherever the tests run as root.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

START_SECONDS = 30.0
_ABSOLUTE = re.compile(r"(?:(?<=[\s:])|^)/(?=\w)")
_METADATA = ("VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD", "USER", "ENV")


class Step(NamedTuple):
    """An instruction; ``text`` is what follows it, on one line."""

    name: str
    text: str


class IgnoreFile:
    """A ``.dockerignore``: the last pattern that fits decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self._patterns = [line for line in lines if line and not line.startswith("#")]

    def leaves_out(self, path: str) -> bool:
        """Whether ``path``, relative to the context, stays outside of the image."""
        places = path.split("/")
        above = ["/".join(places[:count]) for count in range(1, len(places) + 1)]
        out = False
        for pattern in self._patterns:
            if any(_fits(place, pattern.removeprefix("!")) for place in above):
                out = not pattern.startswith("!")
        return out


class Image:
    """The Dockerfile of ``context``; what its last stage says is at hand without building it."""

    def __init__(self, context: Path) -> None:
        self.context = context
        steps = _read((context / "Dockerfile").read_text(encoding="utf-8"))
        starts = [number for number, step in enumerate(steps) if step.name == "FROM"]
        self._build, self._final = steps[: starts[-1]], steps[starts[-1] :]
        self.bases = [steps[number].text.split()[0] for number in starts]
        self.ignored = IgnoreFile((context / ".dockerignore").read_text(encoding="utf-8"))
        self.port = int(self._only("EXPOSE"))
        self.volume = self._only("VOLUME")
        self.user = int(self._only("USER").partition(":")[0])
        self.command: list[str] = json.loads(self._only("ENTRYPOINT"))
        self.command += json.loads(self._only("CMD"))
        check = self._only("HEALTHCHECK")
        self.health_check: list[str] = json.loads(check[check.index("[") :])
        words = shlex.split(" ".join(step.text for step in self._final if step.name == "ENV"))
        self.environ = dict(word.split("=", 1) for word in words)
        self.sources = [path for one in self._copies() for path in one[:-1]]

    def build(self, root: Path) -> None:
        """Carry out the first stage below ``root``, and check that the second takes over its result."""
        folder = root
        for step in self._build:
            if step.name == "WORKDIR":
                folder = Path(inside(root, step.text))
                folder.mkdir(parents=True)
            elif step.name == "RUN":
                _run(root, step, folder)
            elif step.name == "COPY":
                *sources, target = step.text.split()
                for source in sources:
                    self._copy(source, folder / target, only_into=len(sources) > 1)
            else:
                assert step.name == "FROM", f"{step.name} cannot be carried out here"

    def prepare(self, root: Path) -> Path:
        """Carry out the second stage, with a fresh volume; the working directory."""
        shutil.rmtree(inside(root, self.volume), ignore_errors=True)
        folder = root
        for step in self._final:
            if step.name == "WORKDIR":
                folder = Path(inside(root, step.text))
                folder.mkdir(parents=True, exist_ok=True)
            elif step.name == "RUN":
                _run(root, step, folder)
            elif step.name == "COPY":
                stage, source, target = step.text.split()
                assert (stage, source) == ("--from=build", target), "a venv does not move"
                assert Path(inside(root, target)).is_dir()
            else:
                assert step.name in ("FROM", *_METADATA), f"{step.name} cannot be carried out here"
        return folder

    def _copies(self) -> Iterator[list[str]]:
        return (step.text.split() for step in self._build if step.name == "COPY")

    def _copy(self, source: str, target: Path, *, only_into: bool) -> None:
        assert not self.ignored.leaves_out(source), f".dockerignore keeps {source} away"
        path = self.context / source
        if path.is_dir():
            assert not only_into, "COPY takes the contents of a directory, so it comes alone"
            shutil.copytree(path, target, ignore=self._left_out)
        else:
            shutil.copy(path, target)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        place = Path(folder).relative_to(self.context)
        return [name for name in names if self.ignored.leaves_out((place / name).as_posix())]

    def _only(self, name: str) -> str:
        (text,) = [step.text for step in self._final if step.name == name]
        return text


class Container:
    """A context manager: the image's command under way, with ``environ`` over the image's own. ``port``
    is where it listens. Paths in variables and the working directory are below ``root``."""

    def __init__(self, image: Image, root: Path, environ: Mapping[str, str], port: int) -> None:
        self._image, self._root = image, root
        own = {name: inside(root, value) for name, value in image.environ.items()}
        own["PATH"] = own["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
        self._environ = {**own, "HOME": "/", **environ}
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

    def __enter__(self) -> Container:
        folder = self._image.prepare(self._root)
        self.files = self._files()
        user = self._image.user if can_become(self._image.user) else None
        self._process = subprocess.Popen(
            self._image.command,
            cwd=folder,
            env=self._environ,
            stdout=self._log,
            stderr=self._log,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        until = time.monotonic() + START_SECONDS
        while not self.healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                said = self.logs()
                self.__exit__()
                raise RuntimeError(f"the container did not get healthy:\n{said}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._log.close()

    def healthy(self, **variables: str) -> bool:
        """What the image's own health check says, run as Docker runs it, with these variables more."""
        environ = {**self._environ, **variables}
        done = subprocess.run(
            self._image.health_check, env=environ, capture_output=True, timeout=30, check=False
        )
        return done.returncode == 0

    def changed_files(self) -> set[Path]:
        """What came or went below the root, the volume left aside."""
        return self.files ^ self._files()

    def owner(self) -> int:
        """The user it runs as."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}").stat().st_uid

    def stop(self) -> int:
        """As ``docker stop``; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(20)

    def logs(self) -> str:
        """Everything it has written so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _files(self) -> set[Path]:
        volume = Path(inside(self._root, self._image.volume))
        return {path for path in self._root.rglob("*") if not path.is_relative_to(volume)}


def inside(root: Path, text: str) -> str:
    """``text`` with every absolute path in it below ``root``."""
    return _ABSOLUTE.sub(f"{root}/", text)


def can_become(user: int) -> bool:
    """Whether a process of ours may run as ``user`` and still reach this Python."""
    if os.geteuid() != 0:
        return False
    base = Path(sys.executable).resolve()
    try:
        return subprocess.run([base, "-c", ""], user=user, cwd="/", check=False).returncode == 0
    except PermissionError:
        return False


def _run(root: Path, step: Step, folder: Path) -> None:
    text = inside(root, step.text)
    if os.geteuid() != 0:  # who is not root can give nothing away
        text = re.sub(r"-o \d+ -g \d+", f"-o {os.getuid()} -g {os.getgid()}", text)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", text],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"RUN {text}\n{done.stdout}\n{done.stderr}"


def _read(text: str) -> list[Step]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = (line.partition(" ") for line in joined.splitlines())
    return [
        Step(name, " ".join(rest.split()) if name != "HEALTHCHECK" else rest)
        for name, _, rest in parts
    ]


def _fits(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch.fnmatchcase(path.rpartition("/")[2], pattern.removeprefix("**/"))
    return fnmatch.fnmatchcase(path, pattern)
