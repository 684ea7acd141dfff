"""What the configuration file, or the database in its place, says."""

from __future__ import annotations

from pathlib import Path

from dragoman.config.assemble import DATABASE
from dragoman.config.channels import Catalog
from dragoman.config.load import Configuration, check, content_of, decode
from dragoman.config.stored import from_store
from dragoman.runtime.snapshot import Kept


def configured_by(
    kept: Kept, path: Path | None, catalog: Catalog
) -> tuple[Configuration, str, set[str], list[str]]:
    """What file or database says, where that is, which settings it names, and warnings about
    what is left aside."""
    rows = kept.channels
    if path is not None:
        source = str(path)
        raw = decode(content_of(path), source=source)
        aside = (
            [f"{len(rows)} channels in the database are not used beside {path}."] if rows else []
        )
        return (
            check(raw, catalog, source=source),
            source,
            set(raw.get("settings", ())),
            aside,
        )
    settings = kept.settings
    configured, problems = from_store(settings, rows, catalog)
    return configured, DATABASE, set(settings), [f"Left aside: {one}" for one in problems]


def mark_of(path: Path | None) -> object:
    """What changes when the file does."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return found.st_mtime_ns, found.st_size, found.st_ino
