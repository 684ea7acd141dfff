"""The command as a process: what it costs, how it ends, what it says."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dragoman import __version__
from tests.cli.support import Cli, process
from tests.config.support import CANARY

HEAVY = "aiohttp alembic cryptography dragoman.protocols granian pydantic rich sqlalchemy starlette"


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['dragoman', '--help']\n"
        "from dragoman.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set('{HEAVY}'.split()) & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")


def test_serving_does_not_load_the_migrations(home: Path) -> None:
    process("keys", "create", "laptop")
    program = (
        "import asyncio, sys\n"
        "from dragoman.cli.options import make_options, with_runtime\n"
        "async def work(runtime): pass\n"
        "with_runtime(make_options(), work)\n"
        "print('alembic' in sys.modules, 'aiohttp' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False False"


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").stdout.strip() == f"dragoman {__version__}"
    said = cli("--help").stdout
    for command in ("serve", "keys", "channels", "models", "config", "doctor"):
        assert f"\n  {command}" in said
    assert "Exit codes" in said
    assert cli("-h").stdout == said


@pytest.mark.parametrize(
    ("words", "example"),
    [
        (("serve", "--help"), "dragoman serve --demo"),
        (("keys", "create", "--help"), "KEY=$(dragoman keys create script)"),
        (("channels", "add", "--help"), "dragoman channels add --type ollama"),
    ],
)
def test_help_shows_examples_line_by_line(cli: Cli, words: tuple[str, ...], example: str) -> None:
    lines = [line.strip() for line in cli(*words).stdout.splitlines()]
    assert any(line.startswith(example) for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        *(
            f"channels {c}"
            for c in ["list", "show", "add", "edit", "enable", "disable", "test", "remove"]
        ),
        *(f"keys {command}" for command in ("create", "edit", "list", "revoke")),
        *(f"config {c}" for c in ["get", "set", "reset", "ha", "check", "import", "export"]),
        "audit",
    ],
)
def test_every_command_that_manages_something_shows_how(cli: Cli, words: str) -> None:
    lines = [line.strip() for line in cli(*words.split(), "--help").stdout.splitlines()]
    examples = [line for line in lines if line.startswith((f"dragoman {words}", "KEY="))]
    assert examples


def test_no_command_means_serve(cli: Cli) -> None:
    for words in (["--port", "0"], ["serve", "--port", "0"]):
        assert "--port: must be a whole number" in cli(*words, code=3).output
    assert "config.json: it cannot be read" in cli("--config=config.json", code=3).output.replace(
        "config.json has a problem:\n  - ", "config.json: "
    )


def test_wrong_usage_ends_with_two(cli: Cli) -> None:
    assert "Did you mean 'serve'?" in cli("srve", code=2).output
    assert "--host" in cli("serve", "--hots", "x", code=2).output
    assert "Usage: dragoman keys" in cli("keys", code=2).output


def test_trouble_is_told_without_a_traceback(home: Path) -> None:
    Path("config.json").write_text('{"channels": [{"name": "a"}], "prot": 1}')
    done = process("serve", "--config", "config.json")
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("dragoman: config.json has 2 problems:\n  - ")
    assert "Traceback" not in done.stderr
    done = process("keys", "list", DRAGOMAN_DATA_DIR="/dev/null/x")
    assert done.returncode == 1
    assert "--data-dir" in done.stderr


def test_an_unexpected_failure_shows_no_secret(home: Path) -> None:
    program = (
        "import asyncio\n"
        "from dragoman.cli.options import make_options, with_runtime\n"
        "async def work(runtime):\n    raise RuntimeError(f'{runtime.assembly} {runtime.state}')\n"
        "with_runtime(make_options(), work)\n"
    )
    environ = {**os.environ, "OPENAI_API_KEY": CANARY, "API_KEY": CANARY}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, check=False
    )
    assert "RuntimeError: Assembly(" in done.stderr
    assert CANARY not in done.stderr


def test_completion_is_built_in(home: Path) -> None:
    done = process(_DRAGOMAN_COMPLETE="source_bash")
    assert "complete" in done.stdout
    done = process(_DRAGOMAN_COMPLETE="complete_bash", COMP_WORDS="dragoman ch", COMP_CWORD="1")
    assert done.stdout.split() == ["channels"]


def test_a_key_is_asked_for_and_not_shown(home: Path, cli: Cli) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "dragoman", "channels", "add", "--type", "openai"]
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    said = _read(master, "API key of OpenAI")
    time.sleep(0.2)  # the terminal's echo is switched off just after the question
    os.write(master, f"sk-{CANARY}\n".encode())
    said += _read(master, "was added")
    assert child.wait(timeout=10) == 0
    os.close(master)
    assert CANARY not in said
    assert "https://platform.openai.com/api-keys" in said
    assert cli.json("channels", "list")[0]["api_key"] == f"…{CANARY[-4:]}"


def _read(terminal: int, word: str) -> str:
    said = ""
    while word not in said:
        ready, _, _ = select.select([terminal], [], [], 15)
        assert ready, said
        said += os.read(terminal, 4096).decode()
    return said
