"""Models of the Hugging Face Hub: which of ours answers for them, and what clients are told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

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
from dragoman.protocols.hf_tasks.tasks import TASKS, canonical_task
from dragoman.protocols.hf_tasks.text_tasks import TEXT_TASKS
from dragoman.routing.channel import Channel
from dragoman.server.admin.contract import (
    Actor,
    Administration,
    ChangeRefused,
    NotEditable,
    Storage,
)
from dragoman.server.answer import RawHeaders, Scope
from dragoman.server.gateway import Gateway
from dragoman.server.inference import Incoming
from dragoman.server.routes import Operation, Route

OPERATIONS = frozenset({Operation.LIST_TASK_MODELS, Operation.MAP_MODEL})
SETTING = "hf_models"


class Answering(NamedTuple):
    """The model of ours that answers, and the parameters for clients that give none."""

    model: str
    parameters: dict[str, Any]


class Hub:
    """Answers ``OPERATIONS``, and knows who answers for a model."""

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
            if task in ("", one_task) and self._may_use(answering["model"], incoming.principal)
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
        actor = Actor(
            name=incoming.principal.name, via="key", address=_address_of(incoming.scope)
        )
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

    def _may_use(self, model: str, principal: Principal) -> bool:
        return may_use(self._gateway, model, principal)


def may_use(gateway: Gateway, model: str, principal: Principal) -> bool:
    """Whether the caller's key opens the model, and a channel that serves it."""

    def serves(channel: Channel) -> bool:
        return (
            channel.enabled
            and channel.serves(model)
            and principal.may_use_channel(channel.id, channel.name)
        )

    return principal.may_use_model(model) and any(map(serves, gateway.routing.channels))


def answering_for(gateway: Gateway, model: str, task: str, principal: Principal) -> Answering:
    """Who answers for ``model``, a name of ours or of the Hub, at ``task``. A model that is mapped for
    other tasks only is answered by the first of those, without their parameters. With no ``model`` it
    is the first that is mapped for the task and may be used, or else the only one there is. Raises
    InvalidRequest if that is not to be said."""
    mapped = gateway.policy.hf_models
    if model:
        tasks = mapped.get(model)
        if not tasks:
            return Answering(model, {})
        one = tasks.get(task)
        if one is None:
            return Answering(next(iter(tasks.values()))["model"], {})
        return Answering(one["model"], dict(one.get("parameters", {})))
    for tasks in mapped.values():
        one = tasks.get(task)
        if one is not None and may_use(gateway, one["model"], principal):
            return Answering(one["model"], dict(one.get("parameters", {})))
    own = [name for name in gateway.routing.models() if may_use(gateway, name, principal)]
    if len(own) == 1:
        return Answering(own[0], {})
    raise InvalidRequest(
        f"Which model shall do the task {task!r}? Name it in 'model' or 'parameters.model' "
        "(GET /hf/tasks/models lists them), or have an administrator map one for this task.",
        param="model",
        code="no_model",
    )


def task_of_model(gateway: Gateway, model: str) -> str:
    """The task that a model of the Hub is mapped for; none if that is none, or several."""
    tasks = gateway.policy.hf_models.get(model, {})
    return next(iter(tasks)) if len(tasks) == 1 else ""


def _address_of(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


