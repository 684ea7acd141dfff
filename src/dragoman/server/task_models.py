"""What clients are told of models and their tasks, and an administrator's mapping of the Hub's models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from dragoman.canonical.errors import Forbidden, InvalidRequest, ModelNotFound, Unavailable
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.governance.keys import find_key
from dragoman.governance.principal import Principal
from dragoman.protocols.hf_tasks.models import (
    ListedModel,
    decode_mapping,
    encode_mapped,
    encode_models,
)
from dragoman.protocols.hf_tasks.tasks import canonical_task
from dragoman.protocols.hf_tasks.text_tasks import TEXT_TASKS
from dragoman.server.admin.contract import (
    Actor,
    Administration,
    ChangeRefused,
    NotEditable,
    Storage,
)
from dragoman.server.answer import RawHeaders, Scope
from dragoman.server.gateway import Gateway
from dragoman.server.hub import may_use
from dragoman.server.inference import Incoming
from dragoman.server.routes import Operation, Route

OPERATIONS = frozenset({Operation.LIST_TASK_MODELS, Operation.MAP_MODEL})
SETTING = "hf_models"


class TaskModels:
    """Answers ``OPERATIONS``."""

    def __init__(self, gateway: Gateway, administration: Administration | None = None) -> None:
        """Without ``administration`` nothing can be mapped."""
        self._gateway = gateway
        self._administration = administration
        self._changing = asyncio.Lock()

    def admit(self, headers: RawHeaders) -> Principal:
        """Who may map models. Raises Unauthorized, and Forbidden if it is no admin key."""
        principal = self._gateway.recognise(find_key(headers))
        if not principal.admin:
            raise Forbidden(
                "Only an admin key may map models (dragoman keys create NAME --admin).",
                code="no_admin_key",
            )
        return principal

    async def answer(self, route: Route, incoming: Incoming) -> None:
        """Answer an authenticated request. Raises GatewayError while nothing was sent."""
        if route.operation is Operation.MAP_MODEL:
            body = await self._map(incoming)
        else:
            body = self._list(incoming)
        ids = {"x-request-id": incoming.id, "inference-id": incoming.id}
        await incoming.answer.whole(200, {**JSON_HEADERS, **ids}, body)

    def _list(self, incoming: Incoming) -> bytes:
        query = dict(parse_qsl(incoming.scope["query_string"].decode("latin-1")))
        wanted = query.get("task_type", "")
        task = canonical_task(wanted, "task_type") if wanted else ""
        own = self._visible(incoming.principal)
        listed = [
            ListedModel(answering["model"], hub_model, one_task)
            for hub_model, tasks in self._gateway.policy.hf_models.items()
            for one_task, answering in tasks.items()
            if task in ("", one_task)
            and may_use(self._gateway, answering["model"], incoming.principal)
        ]
        mapped = {one.model_id for one in listed}
        # A chat model that nobody has mapped does every text task; it is listed once.
        if not task or task in TEXT_TASKS:
            shown = task or "text-generation"
            listed += [ListedModel(name, None, shown) for name in own if name not in mapped]
        return encode_models(listed)

    async def _map(self, incoming: Incoming) -> bytes:
        asked = decode_mapping(await incoming.body())
        try:
            self._gateway.routing.foremost(asked.provider_model_id)
        except ModelNotFound as error:
            error.param = "provider_model_id"
            raise
        if self._administration is None:
            raise Unavailable("This gateway's configuration cannot be changed.")
        one: dict[str, Any] = {"model": asked.provider_model_id}
        if asked.parameters:
            one["parameters"] = asked.parameters
        async with self._changing:
            present = self._gateway.policy.hf_models
            tasks = {**present.get(asked.hub_model_id, {}), asked.task_type: one}
            changed = {**present, asked.hub_model_id: tasks}
            await self._change(self._administration, changed, incoming)
        return encode_mapped(asked)

    async def _change(
        self, administration: Administration, changed: Mapping[str, Any], incoming: Incoming
    ) -> None:
        actor = Actor(name=incoming.principal.name, via="key", address=_address_of(incoming.scope))
        try:
            await administration.change_settings({SETTING: changed}, actor)
        except ChangeRefused as error:
            path, text = error.problems[0]
            raise InvalidRequest(f"{text}, at '{path}'." if path else text) from None
        except NotEditable as error:
            raise Forbidden(str(error), code="not_editable") from None
        except Storage as error:
            raise Unavailable(str(error)) from None

    def _visible(self, principal: Principal) -> list[str]:
        return [
            name
            for name, channels in self._gateway.routing.models().items()
            if principal.may_use_model(name)
            and any(principal.may_use_channel(one.id, one.name) for one in channels)
        ]


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
