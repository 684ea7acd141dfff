"""Service accounts at the command line."""

from __future__ import annotations

from tests.cli.support import Cli
from tests.support.google_accounts import Account

ACCOUNTS = [Account("one", 1), Account("two", 2)]


def test_a_key_file_is_piped_in_as_it_is(cli: Cli) -> None:
    files = "\n".join(account.json("https://oauth2.googleapis.com/token") for account in ACCOUNTS)
    said = cli("channels", "add", "--type", "vertex", "--api-key-stdin", stdin=files).output
    (listed,) = cli.json("channels", "list")
    assert listed["type"] == "vertex"
    exported = cli("config", "export", "--with-secrets").stdout
    masked = cli("config", "export").stdout + said
    for account in ACCOUNTS:
        line = account.private_key.splitlines()[1]
        assert line in exported
        assert line not in masked
