"""``dragoman config``."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from dragoman.runtime import Options, Runtime
from tests.cli.support import Cli
from tests.config.support import CANARY, TOKEN_KEY, bent, sample


def write(document: Any, name: str = "config.json") -> str:
    Path(name).write_text(json.dumps(document))
    return name


def test_checking_says_all_that_is_wrong_and_ends_with_three(cli: Cli) -> None:
    assert "1 channels, 1 tokens" in cli("config", "check", write(sample())).output
    document = bent("settings.port", 0)
    document["channels"][0]["typ"] = 1
    said = cli("config", "check", write(document), code=3).output
    assert "config.json has 2 problems" in said
    assert "settings.port" in said
    assert "channels.0.typ: is not a known field; did you mean 'type'?" in said
    assert "cannot be read" in cli("config", "check", "missing.json", code=3).output


@pytest.mark.row("S2-70", "S2-71")
def test_what_is_imported_is_in_force_and_can_be_exported(cli: Cli, home: Path) -> None:
    document = bent("channels.0.api_key", f"sk-{CANARY}")
    document["settings"] |= {"port": 4000, "enable_cors": False}
    document["tokens"][0]["allowed_channels"] = [1]
    cli("config", "import", write(document))
    exported = json.loads(cli("config", "export", "--with-secrets").stdout)
    assert exported["channels"] == document["channels"]
    assert {name: exported["settings"][name] for name in document["settings"]} == (
        document["settings"]
    )
    token = {**document["tokens"][0], "key": "***", "allowed_channels": ["OpenAI"]}
    assert exported["tokens"] == [token]
    (key,) = cli.json("keys", "list")
    assert (key["name"], key["status"]) == ("My Token", "active")
    for file in (home / "data").iterdir():
        content = file.read_bytes()
        assert CANARY.encode() not in content
        assert TOKEN_KEY.encode() not in content


def test_an_imported_token_is_accepted(cli: Cli, home: Path) -> None:
    cli("config", "import", write(sample()))

    async def main() -> str:
        runtime = await Runtime.open(Options(data_dir=home / "data", directory=home / "work"))
        name = runtime.state.keyring.authenticate(TOKEN_KEY, 1.0).name
        await runtime.close()
        return name

    assert asyncio.run(main()) == "My Token"


def test_importing_again_changes_nothing_and_a_revoked_token_stays_so(cli: Cli) -> None:
    name = write(sample())
    cli("config", "import", name)
    before = cli("config", "export").stdout
    cli("config", "import", name)
    assert cli("config", "export").stdout == before
    cli("keys", "revoke", "My Token")
    assert "stays so" in cli("config", "import", name, code=1).output


def test_an_export_without_secrets_cannot_be_imported(cli: Cli) -> None:
    cli("config", "import", write(bent("channels.0.api_key", CANARY)))
    masked = cli("config", "export")
    assert CANARY not in masked.output
    assert "digests only" in masked.stderr
    Path("masked.json").write_text(masked.stdout)
    assert "--with-secrets" in cli("config", "import", "masked.json", code=3).output


def test_a_file_in_force_is_exported_whole(cli: Cli) -> None:
    name = write(bent("channels.0.api_key", CANARY))
    cli("config", "export", "--config", name, "--with-secrets", "--output", "out.json")
    assert stat.S_IMODE(Path("out.json").stat().st_mode) == 0o600
    exported = json.loads(Path("out.json").read_text())
    assert exported["channels"][0]["api_key"] == CANARY
    assert exported["tokens"][0]["key"] == TOKEN_KEY
    cli("config", "check", "out.json")
    assert "cannot be written" in cli("config", "export", "--output", "no/x.json", code=1).output


def test_a_refused_import_leaves_everything_as_it_was(cli: Cli) -> None:
    cli("config", "import", write(sample()))
    before = cli("config", "export").stdout
    document = sample()
    document["channels"].append({"name": "x", "type": "nonsense"})
    cli("config", "import", write(document, "bad.json"), code=3)
    assert cli("config", "export").stdout == before
