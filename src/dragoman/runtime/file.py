"""Channels, settings and tokens whose home is the configuration file.

A change touches only the place it is for; the rest stays as its author wrote it. It happens in this
order, under a lock that every process of ours on this data directory respects:

1. The file is read anew, so that an edit by hand since then is kept, and must be valid.
2. The new text is checked like any configuration, and written beside the file, onto the disk; so is
   the old one, as ``….bak``.
3. The audit entry is committed: no change without one.
4. If the file still is what was read, the new one takes its place; else all but 3 happens again.

What fails after 3 leaves a second entry, whose action ends in ``.failed``.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from dragoman.config import splice
from dragoman.config.changes import (
    KEY_FIELDS,
    changed_settings,
    checked_channel,
    difference,
    merged,
)
from dragoman.config.channels import Catalog
from dragoman.config.export import channel_document
from dragoman.config.load import Configuration, check, content_of, decode, read_token
from dragoman.config.problems import ConfigurationRefused, Refusal
from dragoman.config.schema import ChannelEntry, Token
from dragoman.runtime import disk
from dragoman.runtime.database import SETTINGS_TARGET, carry_name, noted, refuse_taken, target
from dragoman.server.admin.contract import Actor, NoSuchEntry, Storage
from dragoman.store.errors import StoreError
from dragoman.store.store import AuditEntry, Store, Transaction

logger = logging.getLogger("dragoman.config")

LOCK_NAME = "config.lock"
_LOCK_SECONDS = 5.0
_ATTEMPTS = 5

Entry = TypeVar("Entry", ChannelEntry, Token)


class _Present(NamedTuple):
    """The file as it was found."""

    content: bytes
    text: str
    raw: dict[str, Any]
    configuration: Configuration


class _Plan(NamedTuple):
    """What is to become of it. Without an entry there is nothing to do. ``renamed`` is a channel's
    old name and its new one."""

    text: str = ""
    entry: AuditEntry | None = None
    renamed: tuple[str, str] | None = None
    new_id: int = 0


class FileHome:
    """The sections of one file. Methods raise Refusal, NameIsTaken, NoSuchEntry and Storage."""

    def __init__(self, path: Path, lock_path: Path, store: Store, catalog: Catalog) -> None:
        """``store`` keeps the audit."""
        self._path = path
        self._lock_path = lock_path
        self._store = store
        self._catalog = catalog

    async def add_channel(self, fields: Mapping[str, Any], actor: Actor) -> int:
        """Write a new channel at the end of the list; its id."""

        def plan(file: _Present) -> _Plan:
            channels = file.configuration.channels
            new_id = max((channel.id for channel in channels), default=0) + 1
            entry = checked_channel({**fields, "id": new_id}, self._catalog)
            refuse_taken(entry.name, (channel.name for channel in channels))
            document = channel_document(entry, with_secrets=True)
            text = _numbered(file, "channels", channels)
            if "channels" in file.raw:
                text = splice.append(text, ("channels",), document)
            else:
                text = splice.put(text, ("channels",), [document])
            added = noted(actor, "channel.add", target(entry.name, new_id), difference(None, entry))
            return _Plan(text, added, new_id=new_id)

        return (await self._edit(plan)).new_id

    async def change_channel(
        self, channel_id: int, changes: Mapping[str, Any], actor: Actor
    ) -> None:
        """Change the fields given."""

        def plan(file: _Present) -> _Plan:
            place, before = _find(file.configuration.channels, channel_id)
            raw = file.raw["channels"][place]
            wanted = merged(raw, changes)
            after = checked_channel({**wanted, "id": before.id}, self._catalog)
            found = difference(before, after)
            if not found:
                return _Plan()
            text = _rewritten(file.text, ("channels", place), raw, wanted)
            changed = noted(actor, "channel.change", target(before.name, before.id), found)
            if after.name == before.name:
                return _Plan(text, changed)
            refuse_taken(
                after.name,
                (one.name for one in file.configuration.channels if one is not before),
            )
            return _Plan(
                _renamed(text, file, before.name, after.name), changed, (before.name, after.name)
            )

        await self._edit(plan)

    async def remove_channel(self, channel_id: int, actor: Actor) -> None:
        """Take a channel out, unless a token of the file is limited to it."""

        def plan(file: _Present) -> _Plan:
            place, entry = _find(file.configuration.channels, channel_id)
            for token in file.configuration.tokens:
                if not {entry.name, str(entry.id)}.isdisjoint(token.allowed_channels):
                    raise Refusal(
                        f"the token {token.name!r} in the file is limited to this channel: change "
                        "or remove the token first"
                    )
            text = _numbered(file, "channels", file.configuration.channels)
            text = splice.remove(text, ("channels", place))
            removed = noted(
                actor, "channel.remove", target(entry.name, entry.id), difference(entry, None)
            )
            return _Plan(text, removed)

        await self._edit(plan)

    async def change_settings(self, values: Mapping[str, Any], actor: Actor) -> None:
        """Write these settings, which were checked; None takes one out."""

        def plan(file: _Present) -> _Plan:
            present = file.raw.get("settings", {})
            found = changed_settings(present, values)
            if not found:
                return _Plan()
            wanted = {**present, **{name: values[name] for name in found}}
            wanted = {name: value for name, value in wanted.items() if value is not None}
            text = _rewritten(file.text, ("settings",), present, wanted)
            return _Plan(text, noted(actor, "settings.change", SETTINGS_TARGET, found))

        await self._edit(plan)

    async def change_token(self, token_id: int, changes: Mapping[str, Any], actor: Actor) -> None:
        """Change the fields given, which are among KEY_FIELDS."""

        def plan(file: _Present) -> _Plan:
            place, before = _find(file.configuration.tokens, token_id)
            raw = file.raw["tokens"][place]
            wanted = merged(raw, changes)
            found = difference(before, read_token(wanted), KEY_FIELDS)
            if not found:
                return _Plan()
            text = _rewritten(file.text, ("tokens", place), raw, wanted)
            return _Plan(text, noted(actor, "key.change", target(before.name, token_id), found))

        await self._edit(plan)

    async def remove_token(self, token_id: int, actor: Actor) -> None:
        """Take a token out."""

        def plan(file: _Present) -> _Plan:
            place, token = _find(file.configuration.tokens, token_id)
            text = _numbered(file, "tokens", file.configuration.tokens)
            text = splice.remove(text, ("tokens", place))
            found = difference(token, None, KEY_FIELDS)
            return _Plan(text, noted(actor, "key.remove", target(token.name, token_id), found))

        await self._edit(plan)

    async def _edit(self, make_plan: Callable[[_Present], _Plan]) -> _Plan:
        with self._in_words():
            path = await asyncio.to_thread(self._path.resolve)
            descriptor = await asyncio.to_thread(disk.lock, self._lock_path, _LOCK_SECONDS)
            try:
                return await self._edit_locked(path, make_plan)
            finally:
                os.close(descriptor)

    async def _edit_locked(self, path: Path, make_plan: Callable[[_Present], _Plan]) -> _Plan:
        written_down: _Plan | None = None
        try:
            for _ in range(_ATTEMPTS):
                present = await asyncio.to_thread(self._present, path)
                plan = make_plan(present)
                if plan.entry is None:
                    return plan
                content = self._checked(plan.text, present.content)
                staged = await asyncio.to_thread(_stage, path, content, present.content)
                try:
                    if written_down is None:
                        await self._write_down(plan)
                        written_down = plan
                    if await asyncio.to_thread(_swap, staged, path, present.content):
                        return plan
                finally:
                    staged.unlink(missing_ok=True)
            raise Storage(f"{self._path} is being changed by someone else all the time.")
        except BaseException:
            if written_down is not None:
                await self._write_failure(written_down)
            raise

    def _present(self, path: Path) -> _Present:
        disk.refuse_unwritable(path)
        content = content_of(path)
        raw = decode(content, source=str(self._path))
        configuration = check(raw, self._catalog, source=str(self._path))
        return _Present(content, content.decode("utf-8-sig"), raw, configuration)

    def _checked(self, text: str, old: bytes) -> bytes:
        """The new content, once more through every check. Raises Refusal."""
        content = text.encode()
        try:
            check(decode(content, source="the file"), self._catalog, source="the file")
        except ConfigurationRefused as error:
            raise Refusal(*error.problems) from None
        return codecs.BOM_UTF8 + content if old.startswith(codecs.BOM_UTF8) else content

    async def _write_down(self, plan: _Plan) -> None:
        entry = plan.entry
        assert entry is not None

        def work(step: Transaction) -> None:
            if plan.renamed is not None:
                carry_name(step, *plan.renamed)
            step.note(entry)

        await self._store.write(work)

    async def _write_failure(self, plan: _Plan) -> None:
        entry = plan.entry
        assert entry is not None
        failed = msgspec.structs.replace(entry, action=f"{entry.action}.failed")
        renamed = None if plan.renamed is None else (plan.renamed[1], plan.renamed[0])
        try:
            await self._write_down(plan._replace(entry=failed, renamed=renamed))
        except StoreError as error:
            logger.error(
                "%s of %s failed, which the audit does not tell: %s",
                entry.action,
                entry.target,
                error,
            )

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """What is wrong with the file as it is, said so that it can be mended."""
        try:
            yield
        except OSError as error:
            raise Storage(
                f"{self._path} cannot be changed: {error.strerror}. Nothing was changed."
            ) from None
        except ConfigurationRefused as error:
            raise Storage(f"{error}\nNothing was changed: mend the file first.") from None


def _stage(path: Path, content: bytes, old: bytes) -> Path:
    backup = path.with_name(f"{path.name}.bak")
    disk.swap(disk.stage(path, old), backup)
    return disk.stage(path, content)


def _swap(staged: Path, path: Path, expected: bytes) -> bool:
    """Put the staged file in place; not if the file has changed since it was read."""
    if content_of(path) != expected:
        return False
    disk.swap(staged, path)
    return True


def _find(entries: Sequence[Entry], entry_id: int) -> tuple[int, Entry]:
    """An entry and its place, which is the same in the file. Raises NoSuchEntry."""
    for place, entry in enumerate(entries):
        if entry.id == entry_id:
            return place, entry
    raise NoSuchEntry(f"The configuration file has no entry of the id {entry_id} any more.")


def _numbered(file: _Present, section: str, entries: Sequence[ChannelEntry | Token]) -> str:
    """The text with the ids written down that were left to us: they depend on the other entries, and
    must not change when one comes or goes."""
    text = file.text
    for place, entry in enumerate(entries):
        if "id" not in file.raw[section][place]:
            text = splice.put(text, (section, place, "id"), entry.id)
    return text


def _rewritten(
    text: str, path: splice.Path, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str:
    """The text with those members of the object at ``path`` changed that differ."""
    for name in before:
        if name not in after:
            text = splice.remove(text, (*path, name))
    for name, value in after.items():
        if name not in before or before[name] != value:
            text = splice.put(text, (*path, name), value)
    return text


def _renamed(text: str, file: _Present, old: str, new: str) -> str:
    """The text with the tokens that are limited to a channel following its new name."""
    for place, raw in enumerate(file.raw.get("tokens", ())):
        allowed = raw.get("allowed_channels", ())
        if old in file.configuration.tokens[place].allowed_channels:
            names = [new if isinstance(n, str) and n.strip() == old else n for n in allowed]
            text = splice.put(text, ("tokens", place, "allowed_channels"), names)
    return text
