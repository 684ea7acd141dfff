"""What can be asked of a gateway: each function makes a request and knows how to read its answer.

Nothing here is sent. The signatures and the descriptions are those of the clients' methods, which are
made from these functions (``sync.py``, ``asynchronous.py``).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from dragoman_client import _readers, answers
from dragoman_client._reading import Reply
from dragoman_client.answers import CostRequest

T = TypeVar("T")
Parameters = Mapping[str, object]
"""A task's parameters, by their documented names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """A request to be sent. ``charged`` says that being served twice would cost twice."""

    method: str
    path: str
    read: Callable[[Reply], T]
    query: Mapping[str, str]
    content: bytes | None
    charged: bool


def text_generation(
    inputs: str,
    *,
    model: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.TextGeneration]:
    """Have a model go on with a text. ``parameters`` are others by their documented names."""
    settings = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
    return _task(
        "text-generation",
        {"inputs": inputs},
        model,
        {**(parameters or {}), **settings},
        _readers.read_generated,
    )


def conversational(
    text: str,
    *,
    past_user_inputs: Sequence[str] = (),
    generated_responses: Sequence[str] = (),
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Conversation]:
    """Say something to a model that remembers what was said before. The answer's two lists are the
    next call's ``past_user_inputs`` and ``generated_responses``."""
    fields = {
        "text": text,
        "past_user_inputs": [*past_user_inputs],
        "generated_responses": [*generated_responses],
    }
    return _task("conversational", fields, model, parameters, _readers.read_conversation)


def summarization(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.Summary]:
    """Make a text short."""
    return _task("summarization", {"inputs": inputs}, model, parameters, _readers.read_summary)


def translation(
    inputs: str,
    target_language: str = "English",
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Translation]:
    """Put a text into another language."""
    fields = {"inputs": inputs, "target_language": target_language}
    return _task("translation", fields, model, parameters, _readers.read_translation)


def question_answering(
    question: str, context: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.QuestionAnswer]:
    """Find the answer to a question in a text: the best one. ``run`` gives all of them, if the
    parameter ``top_k`` asks for several."""
    fields = {"question": question, "context": context}
    return _task("question-answering", fields, model, parameters, _readers.read_answer)


def text_classification(
    inputs: str,
    *,
    candidate_labels: Sequence[str] | None = None,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.TextClassification]:
    """Say to which classes a text belongs: to which of ``candidate_labels``, if they are given."""
    labels = None if candidate_labels is None else [*candidate_labels]
    settings = {**(parameters or {}), "candidate_labels": labels}
    return _task("text-classification", {"inputs": inputs}, model, settings, _readers.read_labels)


def token_classification(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.TokenClassification]:
    """Find the names of people, places and so on in a text."""
    return _task(
        "token-classification", {"inputs": inputs}, model, parameters, _readers.read_entities
    )


def image_generation(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.Image]:
    """Draw what a text describes. The answer is the picture's bytes."""
    return _task("image-generation", {"inputs": inputs}, model, parameters, _readers.read_image)


def embedding(
    inputs: str | Sequence[str],
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Embedding]:
    """Turn a text, or each of several, into a vector."""
    texts = inputs if isinstance(inputs, str) else [*inputs]
    return _task("embedding", {"inputs": texts}, model, parameters, _readers.read_vectors)


def run(
    task: str,
    inputs: object,
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
    options: Parameters | None = None,
) -> Call[answers.Run]:
    """Do any task by its name. ``inputs`` are a text, or an object with the fields of the task's own
    method (``{"question": …, "context": …}``)."""
    fields = {"task": task, "model": model, "inputs": inputs, "options": options}
    return _task("run", fields, None, parameters, _readers.read_run)


def list_models(task_type: str | None = None) -> Call[answers.Models]:
    """The models that the key may use, or those of them that can do a task."""
    query = {} if task_type is None else {"task_type": task_type}
    return _plain("GET", "models", _readers.read_models, query=query)


def map_model(
    provider_model_id: str,
    hub_model_id: str,
    task_type: str,
    *,
    parameters: Parameters | None = None,
) -> Call[answers.ModelMapping]:
    """Let a Hub model's name lead to a provider's model, with ``parameters`` for those that a request
    leaves out. Only an administrator's key may."""
    fields = {
        "provider_model_id": provider_model_id,
        "hub_model_id": hub_model_id,
        "task_type": task_type,
        "parameters": parameters,
    }
    return _plain("POST", "models/map", _readers.read_mapping, fields=fields)


def calculate_cost(requests: Sequence[CostRequest]) -> Call[answers.Costs]:
    """What requests would cost, each and in all."""
    fields = {"requests": [dict(one) for one in requests]}
    return _plain("POST", "billing/cost", _readers.read_costs, fields=fields)


def get_usage(limit: int = 100, offset: int = 0) -> Call[answers.Usage]:
    """The requests that the key's user has made, newest first: ``limit`` of them after ``offset``
    others, and the totals of all."""
    query = {"limit": str(limit), "offset": str(offset)}
    return _plain("GET", "billing/usage", _readers.read_usage, query=query)


def stream(
    task: str,
    inputs: object,
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Run]:
    """Do a task that writes text, and have the text piece by piece. As ``run``, for text-generation,
    conversational, summarization and translation."""
    return streamed(run(task, inputs, model=model, parameters=parameters))


def streamed(call: Call[T]) -> Call[T]:
    """The same call, answered piece by piece."""
    return dataclasses.replace(call, query={**call.query, "stream": "true"})


def _task(
    task: str,
    fields: Mapping[str, object],
    model: str | None,
    parameters: Parameters | None,
    read: Callable[[Reply], T],
) -> Call[T]:
    settings = _given({**(parameters or {}), "model": model})
    return Call(
        method="POST",
        path=f"/hf/tasks/{task}",
        read=read,
        query={},
        content=_encode({**_given(fields), **({"parameters": settings} if settings else {})}),
        charged=True,
    )


def _plain(
    method: str,
    path: str,
    read: Callable[[Reply], T],
    *,
    query: Mapping[str, str] | None = None,
    fields: Mapping[str, object] | None = None,
) -> Call[T]:
    return Call(
        method=method,
        path=f"/hf/tasks/{path}",
        read=read,
        query=query or {},
        content=None if fields is None else _encode(_given(fields)),
        charged=False,
    )


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _encode(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, default=dict).encode()
