"""A whole configuration, and ways to bend it."""

from __future__ import annotations

import json
from typing import Any

from dragoman.config.load import Configuration, read
from dragoman.config.problems import ConfigurationRefused
from dragoman.providers.catalog import load_catalog

CATALOG = load_catalog()
CANARY = "canary-4711-never-to-be-seen"
TOKEN_KEY = "sk-gw-" + "T0k3" * 12

# As the schema's own documentation shows it, with keys in place of the dots.
SAMPLE: dict[str, Any] = {
    "settings": {
        "host": "0.0.0.0",
        "port": 3000,
        "require_auth": True,
        "enable_fallback": True,
        "enable_cors": True,
        "high_availability_mode": False,
        "auto_start": False,
    },
    "channels": [
        {
            "id": 1,
            "name": "OpenAI",
            "type": "openai",
            "base_url": "https://api.openai.com/v1",
            "api_key": "sk-...",
            "models": ["gpt-4o", "gpt-4o-mini"],
            "enabled": True,
            "priority": 1,
            "timeout": 60,
            "max_retries": 3,
            "proxy_enabled": False,
            "proxy_url": "",
            "max_concurrency": None,
            "min_concurrency": 1,
            "max_adaptive_concurrency": 100,
            "response_time_low": 1.0,
            "response_time_high": 5.0,
            "error_rate_threshold": 0.1,
            "increase_step": 2,
            "decrease_factor": 0.8,
            "stats_window_size": 100,
            "cooldown_seconds": 5.0,
        }
    ],
    "tokens": [
        {
            "id": 1,
            "name": "My Token",
            "key": TOKEN_KEY,
            "enabled": True,
            "allowed_channels": [],
            "allowed_models": [],
        }
    ],
}


def sample() -> dict[str, Any]:
    """A copy to bend."""
    copied: dict[str, Any] = json.loads(json.dumps(SAMPLE))
    return copied


def bent(path: str, value: Any) -> dict[str, Any]:
    """The sample with one field set."""
    document = sample()
    *steps, last = path.split(".")
    place: Any = document
    for step in steps:
        place = place[int(step) if step.isdecimal() else step]
    place[last] = value
    return document


def parse(document: Any) -> Configuration:
    """Read a document, or text that stands for one."""
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read(content, CATALOG, source="config.json")


def problems(document: Any) -> dict[str, str]:
    """What is wrong with a document, by path."""
    try:
        parse(document)
    except ConfigurationRefused as refused:
        return {problem.path: problem.message for problem in refused.problems}
    return {}
