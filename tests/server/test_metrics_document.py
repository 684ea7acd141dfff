"""What the manual and the dashboard name is there, and what is there is in the manual."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from dragoman.canonical.usage import Usage
from dragoman.engine.bookkeeper import BooksState
from dragoman.engine.telemetry import Telemetry
from tests.server.metrics_page import page
from tests.support.records import record

ROOT = Path(__file__).resolve().parent.parent.parent
MANUAL = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dragoman.json").read_text(encoding="utf-8"))
_OURS = re.compile(r"\b(?:dragoman|gen_ai|http|process)_[a-z_]+")
_LABELS = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_token_type",
)


@pytest.fixture(scope="module")
def names() -> set[str]:
    """The name of every sample that a gateway can show."""
    telemetry = Telemetry(clock=time.monotonic)
    telemetry.note(record())
    telemetry.note(record(usage=Usage(input=1, estimated=True), cost_nano_usd=None))
    books = BooksState(behind=0, away_seconds=0.0, discrepancies=0)
    return {sample.name for sample in asyncio.run(page(telemetry, books=books))}


def expressions() -> list[str]:
    """The dashboard's questions."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_the_dashboard_asks_for_what_is_there(names: set[str]) -> None:
    asked = {name for one in expressions() for name in _OURS.findall(one)} - set(_LABELS)
    assert len(asked) > 20
    assert asked <= names


def test_the_manual_tells_of_everything(names: set[str]) -> None:
    channel = "dragoman_channel_"
    told = set(_OURS.findall(MANUAL)) | {
        f"{channel}{end}" for end in re.findall(r"`_([a-z_]+)`", MANUAL)
    }
    ours = {name for name in names if name.startswith(("dragoman_", "gen_ai_", "http_"))}
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in ours}
    families = {name for name in bare if name in told or f"{name}_total" in told}
    assert bare - families == set()


def test_the_manual_names_nothing_else(names: set[str]) -> None:
    told = {name for name in _OURS.findall(MANUAL) if not name.endswith("_")}
    families = {re.sub(r"_bucket$", "", name) for name in names}
    assert told - names - families - set(_LABELS) == set()


def test_panels_do_not_overlap() -> None:
    places = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in places, panel["title"]
                places.add((x, y))
