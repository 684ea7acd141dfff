"""Settings."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from dragoman.server.admin.documents.common import Described
from dragoman.server.admin.documents.settings import SettingsChange, SettingsShown
from dragoman.server.admin.routes.desk import AtDesk, By, Document

router = APIRouter(tags=["settings"])

ChangeBody = Annotated[dict[str, Any], Described(SettingsChange), Body()]


@router.get("/settings", response_model=SettingsShown)
async def show_settings(desk: AtDesk) -> Document:
    """Every setting, and where it comes from."""
    return await desk.administration.settings()


@router.patch("/settings", response_model=SettingsShown)
async def change_settings(body: ChangeBody, by: By, desk: AtDesk) -> Document:
    """Change settings, for example `{"high_availability_mode": true}`. They are in force at once,
    but for those that the answer lists as waiting for a restart."""
    return await desk.administration.change_settings(body, by)
