"""``/``, ``/health`` and ``/ready``: open to everyone, dependent on nothing upstream; and the way to
``/metrics``, which has a door of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from dragoman import __version__
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.routing.state import LaneState
from dragoman.server.answer import AsgiAnswer, Scope
from dragoman.server.gateway import Gateway

_HEALTH_PATHS = frozenset({"/health", "/health/live", "/healthz"})
_READY_PATHS = frozenset({"/ready", "/health/ready", "/readyz"})
_HELLO_PATHS = frozenset({"/api/hello"})  # Claude Code asks for this before anything else


async def answer(gateway: Gateway, scope: Scope, answer: AsgiAnswer) -> bool:
    """Answer if the path is one of ours; False if it is not. Raises Unauthorized and Forbidden."""
    if scope["method"] not in ("GET", "HEAD"):
        return False
    path = scope["path"]
    if path == "/":
        await _json(answer, 200, _about())
    elif path in _HEALTH_PATHS:
        await _json(answer, 200, _health(gateway))
    elif path in _READY_PATHS:
        ready = not gateway.draining
        await _json(answer, 200 if ready else 503, {"status": "ready" if ready else "draining"})
    elif path == "/metrics" and gateway.metrics is not None:
        return await gateway.metrics.answer(scope, answer)
    elif path in _HELLO_PATHS:
        await _json(answer, 200, {"status": "ok"})
    else:
        return False
    return True


def _about() -> dict[str, object]:
    return {
        "status": "ok",
        "message": "Dragoman is running.",
        "version": __version__,
        "endpoints": {
            "openai": ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/models"],
            "anthropic": ["/v1/messages", "/v1/messages/count_tokens"],
            "gemini": ["/v1beta/models/{model}:generateContent"],
        },
    }


def _health(gateway: Gateway) -> dict[str, object]:
    """Liveness and, for people, how the channels do. ``status`` never depends on an upstream: an
    orchestrator that restarted the gateway for a provider's outage would make two of it."""
    lanes = [state for state in gateway.fleet.snapshot(gateway.dispatcher.clock()) if state.enabled]
    providers = {lane.channel.id: lane.channel.provider for lane in gateway.fleet.lanes()}
    return {
        "status": "ok",
        "version": __version__,
        "uptime": round(time.monotonic() - gateway.started, 1),
        "models_cached": len(gateway.routing.models()),
        "provider_status": _providers(lanes, providers),
        "channels": len(lanes),
        "healthy_channels": sum(lane.healthy for lane in lanes),
        "active_requests": gateway.active - 1,  # not this one
        "high_availability_mode": gateway.policy.rules.high_availability,
        "lanes": [
            {
                "id": lane.channel_id,
                "status": _word(lane),
                "in_flight": lane.in_flight,
                "waiting": lane.waiting,
                "limit": lane.current_limit,
            }
            for lane in lanes
        ],
    }


def _providers(lanes: list[LaneState], providers: Mapping[int, str]) -> dict[str, str]:
    """Each provider in one word: ``ok`` if one of its channels is, else how the first of them does."""
    words: dict[str, str] = {}
    for lane in lanes:
        provider = providers[lane.channel_id]
        if words.get(provider) != "ok":
            word = _word(lane)
            words[provider] = word if word == "ok" else words.get(provider, word)
    return words


def _word(lane: LaneState) -> str:
    """A channel's health in one word; why is for the operator (admin API, request log)."""
    if lane.healthy:
        return "ok"
    if any(credential.circuit != "closed" for credential in lane.credentials):
        return "failing"
    return "benched"


async def _json(answer: AsgiAnswer, status: int, body: dict[str, object]) -> None:
    await answer.whole(status, dict(JSON_HEADERS), msgspec.json.encode(body))
