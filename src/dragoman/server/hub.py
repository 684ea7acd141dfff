"""Which of our models answers for a model of the Hugging Face Hub, and which if a client names none."""

from __future__ import annotations

from typing import Any, NamedTuple

from dragoman.canonical.errors import InvalidRequest
from dragoman.governance.principal import Principal
from dragoman.routing.channel import Channel
from dragoman.server.gateway import Gateway


class Answering(NamedTuple):
    """The model of ours that answers, and the parameters for clients that give none."""

    model: str
    parameters: dict[str, Any]


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
