"""Vertex AI from the environment: express keys, service accounts, and how they are used.

Two channels at most: one with the express keys, and one with the service accounts, which comes second
if there are both. Within each the first credential that works is used or, with ``ROUNDROBIN``, all in
turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dragoman.canonical.secret import Secret
from dragoman.config import checks, words
from dragoman.config.problems import Findings, Refusal
from dragoman.config.schema import ChannelEntry
from dragoman.providers.vertex_account import AccountError, check_private_key, read_account

EXPRESS = "VERTEX_EXPRESS_API_KEY"
ACCOUNTS = "GOOGLE_CREDENTIALS_JSON"
DIRECTORY = "CREDENTIALS_DIR"
ROUNDROBIN = "ROUNDROBIN"
PROJECT = "GCP_PROJECT_ID"
LOCATION = "GCP_LOCATION"
FAKE_STREAMING = "FAKE_STREAMING"
FAKE_STREAMING_INTERVAL = "FAKE_STREAMING_INTERVAL"
SAFETY = "VERTEX_SAFETY_SETTINGS"
BASE_URL = "VERTEX_BASE_URL"
VARIABLES = frozenset(
    {
        *(EXPRESS, ACCOUNTS, DIRECTORY, ROUNDROBIN, PROJECT, LOCATION, FAKE_STREAMING),
        *(FAKE_STREAMING_INTERVAL, SAFETY, BASE_URL),
    }
)

DEFAULT_DIRECTORY = "/app/credentials"
PLACES = 1000
"""Requests at a time. Google has limits of its own; ones that adapt would send the requests beyond
them to the second channel, though the first would have taken them."""

_MAX_FILES = 1000
_MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9:.-]*")
_LOCATION = re.compile(r"[a-z][a-z0-9-]*")
_OUTSIDE = re.compile(r"[\s,\[\]]*([^\s,\[\]]|\Z)")
_INSIDE = re.compile(r'["{}]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Found(NamedTuple):
    """A channel, and the variables it came from."""

    entry: ChannelEntry
    variables: tuple[str, ...]


def channels(present: Mapping[str, str], findings: Findings, notices: list[str]) -> list[Found]:
    """The channels that the variables ask for, without ids; what is wrong goes to ``findings``, and what
    was left aside to ``notices``."""
    shared = _shared(present, findings)
    keys = _express_keys(present, findings)
    accounts, source = _accounts(present, findings, notices)
    found = []
    if keys:
        entry = _entry("vertex-express", keys, 1, shared)
        found.append(Found(entry, _variables(present, EXPRESS)))
    if accounts:
        entry = _entry("vertex", accounts, 2 if keys else 1, shared)
        found.append(Found(entry, _variables(present, source)))
    return found


def _variables(present: Mapping[str, str], first: str) -> tuple[str, ...]:
    return (first, BASE_URL) if BASE_URL in present else (first,)


def _entry(
    name: str, credentials: list[Secret], priority: int, shared: Mapping[str, Any]
) -> ChannelEntry:
    return ChannelEntry(
        id=0,
        name=name,
        type="vertex",
        api_key=credentials[0],
        api_keys=tuple(credentials[1:]),
        priority=priority,
        max_concurrency=PLACES,
        **shared,
    )


def _shared(present: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """The fields that both channels have."""

    def word(name: str) -> bool:
        return bool(findings.check(name, words.boolean, present.get(name, "false")))

    quirks: dict[str, Any] = {}
    if not word(ROUNDROBIN):
        quirks["credentials_in_turn"] = False
    for name, quirk, pattern in ((PROJECT, "project", _NAME), (LOCATION, "location", _LOCATION)):
        if name in present:
            quirks[quirk] = findings.check(name, _matching, present[name], pattern)
    if word(FAKE_STREAMING):
        seconds = findings.check(
            FAKE_STREAMING_INTERVAL, _seconds, present.get(FAKE_STREAMING_INTERVAL, "1.0")
        )
        quirks |= {"unstreamed": True, "unstreamed_ping_seconds": seconds}
    if SAFETY in present:
        quirks["safety_settings"] = findings.check(SAFETY, _threshold, present[SAFETY])
    shared: dict[str, Any] = {"quirks": quirks}
    if BASE_URL in present:
        shared["base_url"] = findings.check(BASE_URL, checks.base_url, present[BASE_URL]) or ""
    return shared


def _matching(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text) or len(text) > 50:
        raise Refusal("is not such a name as Google gives")
    return text


def _seconds(text: str) -> float:
    return max(float(checks.number(-3_600, 3_600)(words.number(text))), 0.0)


def _threshold(text: str) -> str:
    # Here and not above: the codecs that come with it would slow every command's start.
    from dragoman.providers.vertex_variants import THRESHOLDS  # noqa: PLC0415

    return str(checks.one_of(*(one.lower() for one in THRESHOLDS))(text)).upper()


def _express_keys(present: Mapping[str, str], findings: Findings) -> list[Secret]:
    texts = [text.strip() for text in present.get(EXPRESS, "").split(",")]
    keys = [findings.check(EXPRESS, checks.secret, text) for text in texts if text]
    return list(dict.fromkeys(key for key in keys if key is not None))


def _accounts(
    present: Mapping[str, str], findings: Findings, notices: list[str]
) -> tuple[list[Secret], str]:
    """(the service accounts, the variable that names where they are). The directory is looked at only
    if there is no text."""
    with_project = PROJECT in present
    if ACCOUNTS not in present:
        folder = Path(present.get(DIRECTORY, DEFAULT_DIRECTORY))
        return _accounts_in(folder, DIRECTORY in present, with_project, notices), DIRECTORY
    accounts = []
    for number, text in enumerate(split_objects(present[ACCOUNTS]), start=1):
        try:
            accounts.append(account(text, with_project=with_project))
        except Refusal as refusal:
            for problem in refusal.problems:
                findings.add(ACCOUNTS, f"entry {number} {problem.message}")
    return list(dict.fromkeys(accounts)), ACCOUNTS


def split_objects(text: str) -> Iterator[str]:
    """The JSON objects in ``text``, whether commas, brackets or nothing but space stands between them.
    What is no object comes as it is, to be refused where it stands."""
    at = 0
    while (start := _OUTSIDE.match(text, at)) is not None and start[1]:
        begin = start.start(1)
        end = _end_of_object(text, begin) if text[begin] == "{" else len(text)
        yield text[begin:end]
        at = end


def _end_of_object(text: str, begin: int) -> int:
    depth, at = 0, begin
    while (mark := _INSIDE.search(text, at)) is not None:
        at = mark.end()
        if mark[0] == '"':
            string = _STRING.match(text, mark.start())
            if string is None:
                break
            at = string.end()
        else:
            depth += 1 if mark[0] == "{" else -1
            if depth == 0:
                return at
    return len(text)


def account(text: str, *, with_project: bool) -> Secret:
    """A service account as a credential, checked as far as that can be done here; ``with_project``: its
    project is given elsewhere. Raises Refusal, whose message begins with a verb."""
    if not text.lstrip().startswith("{"):
        raise Refusal("is no JSON object: it must begin with '{'")
    credential: Secret = checks.credential(text)
    try:
        found = read_account(credential)
        check_private_key(found)
    except AccountError as error:
        raise Refusal(str(error)) from None
    if not found.project and not with_project:
        raise Refusal(f"has no 'project_id': set {PROJECT}")
    return credential


def _accounts_in(folder: Path, named: bool, with_project: bool, notices: list[str]) -> list[Secret]:
    """Those of the files ``*.json`` that are service accounts, by name. No folder is no fault, unless
    the operator ``named`` it."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".json")
    except FileNotFoundError:
        if named:
            notices.append(f"{DIRECTORY} names {folder}, which does not exist.")
        return []
    except OSError as error:
        notices.append(f"The service accounts in {folder} cannot be read: {error.strerror}.")
        return []
    accounts = []
    for path in paths[:_MAX_FILES]:
        try:
            accounts.append(account(_content(path), with_project=with_project))
        except Refusal as refusal:
            why = "; ".join(problem.message for problem in refusal.problems)
            notices.append(f"{path} was left aside: it {why}.")
    return list(dict.fromkeys(accounts))


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise Refusal(f"is larger than {_MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise Refusal(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal("is not UTF-8 text") from None
