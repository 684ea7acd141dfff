"""How the gateway is, and what it knows."""

from __future__ import annotations

import time

from fastapi import APIRouter

from dragoman import __version__
from dragoman.server.admin.documents.status import Models, Providers, Status
from dragoman.server.admin.routes.desk import AtDesk, Document

router = APIRouter(tags=["status"])


@router.get("/status", response_model=Status)
async def show_status(desk: AtDesk) -> Document:
    """Version, uptime, and what goes on."""
    gateway = desk.gateway
    states = gateway.fleet.snapshot(gateway.dispatcher.clock())
    totals = gateway.totals
    enabled = [state for state in states if state.enabled]
    return {
        "version": __version__,
        "uptime_seconds": round(time.monotonic() - gateway.started, 1),
        "draining": gateway.draining,
        "active_requests": max(0, gateway.active - desk.admin_active()),
        "channels": {
            "total": len(states),
            "enabled": len(enabled),
            "healthy": sum(state.healthy for state in enabled),
        },
        "requests": {
            "ok": totals.ok,
            "error": totals.error,
            "broken": totals.broken,
            "left": totals.left,
        },
        "attempts": {
            "total": sum(state.total_requests for state in states),
            "errors": sum(state.total_errors for state in states),
            "in_flight": sum(state.in_flight for state in states),
            "waiting": sum(state.waiting for state in states),
        },
    }


@router.get("/providers", response_model=Providers)
async def list_providers(desk: AtDesk) -> Document:
    """The catalogue: whose models can be used."""
    return {"providers": desk.administration.providers()}


@router.get("/models", response_model=Models)
async def list_models(desk: AtDesk) -> Document:
    """Every model that an enabled channel names, or its provider lists."""
    models = desk.gateway.routing.models()
    return {
        "models": [
            {"id": name, "channels": [channel.name for channel in models[name]]}
            for name in sorted(models)
        ]
    }
