"""Virtual keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from dragoman.server.admin.documents.common import Described
from dragoman.server.admin.documents.key import Key, KeyChange, KeyMade, KeyNew, Keys
from dragoman.server.admin.routes.desk import AtDesk, By, Document, KeyId

router = APIRouter(tags=["keys"])

NewBody = Annotated[dict[str, Any], Described(KeyNew), Body()]
ChangeBody = Annotated[dict[str, Any], Described(KeyChange), Body()]


@router.get("/keys", response_model=Keys)
async def list_keys(desk: AtDesk) -> Document:
    """Every key, revoked ones as well. Their texts are kept nowhere."""
    return {"keys": await desk.administration.keys()}


@router.post("/keys", response_model=KeyMade, status_code=201)
async def add_key(body: NewBody, by: By, desk: AtDesk) -> Document:
    """Make a key. The answer is the only place where its text is ever shown."""
    text, document = await desk.administration.add_key(body, by)
    return {"key": text, "document": document}


@router.patch("/keys/{key_id}", response_model=Key)
async def change_key(key_id: KeyId, body: ChangeBody, by: By, desk: AtDesk) -> Document:
    """Change a key's name, restrictions, end or switch. The next request meets the change."""
    return await desk.administration.change_key(key_id, body, by)


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(key_id: KeyId, by: By, desk: AtDesk) -> None:
    """End a key for good, and the sessions that it opened."""
    await desk.administration.revoke_key(key_id, by)
