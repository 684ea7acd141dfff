"""A gateway under test with an admin key, and what is asked of it."""

from __future__ import annotations

from typing import Any

from tests.live.raw import Reply, ask, request_body
from tests.support.gateway import Gateway
from tests.support.upstream import KEY, StandIn

ADMIN = "sk-gw-admin-live-0123456789"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
ENVIRON = {"DRAGOMAN_ADMIN_KEY": ADMIN}
CHAT = "/v1/chat/completions"


def admin(gateway: Gateway, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
    """A request to the admin API with its key."""
    return ask(gateway, method, f"/admin/api{path}", body, AS_ADMIN)


def chat(gateway: Gateway, key: str, model: str) -> Reply:
    """A request for ``model``."""
    headers = {"authorization": f"Bearer {key}"}
    return ask(gateway, "POST", CHAT, request_body("openai_chat", model), headers)


def added(upstream: StandIn) -> dict[str, Any]:
    """A channel to the stand-in that serves ``brand-new``."""
    return {
        "name": "added",
        "type": "custom",
        "protocol": "openai_chat",
        "base_url": f"{upstream.url}/v1",
        "api_key": KEY,
        "models": ["brand-new"],
        "aliases": {"brand-new": "text"},
        "max_concurrency": 50,
    }
