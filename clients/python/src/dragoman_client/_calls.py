"""What can be asked of a gateway: each function makes a request and knows how to read its answer.

Nothing here is sent. The signatures and the descriptions are those of the clients' methods, which are
made from these functions (``sync.py``, ``asynchronous.py``).
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from dragoman_client import answers
from dragoman_client._reading import Node, Reply, read_json
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


class _Served(TypedDict):
    request_id: str
    cost_nano_usd: int | None


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
        "text-generation", {"inputs": inputs}, model, {**(parameters or {}), **settings}, _generated
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
    return _task("conversational", fields, model, parameters, _conversation)


def summarization(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.Summary]:
    """Make a text short."""
    return _task("summarization", {"inputs": inputs}, model, parameters, _summary)


def translation(
    inputs: str,
    target_language: str = "English",
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Translation]:
    """Put a text into another language."""
    fields = {"inputs": inputs, "target_language": target_language}
    return _task("translation", fields, model, parameters, _translation)


def question_answering(
    question: str, context: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.QuestionAnswer]:
    """Find the answer to a question in a text: the best one. ``run`` gives all of them, if the
    parameter ``top_k`` asks for several."""
    fields = {"question": question, "context": context}
    return _task("question-answering", fields, model, parameters, _answer)


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
    return _task("text-classification", {"inputs": inputs}, model, settings, _labels)


def token_classification(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.TokenClassification]:
    """Find the names of people, places and so on in a text."""
    return _task("token-classification", {"inputs": inputs}, model, parameters, _entities)


def image_generation(
    inputs: str, *, model: str | None = None, parameters: Parameters | None = None
) -> Call[answers.Image]:
    """Draw what a text describes. The answer is the picture's bytes."""
    return _task("image-generation", {"inputs": inputs}, model, parameters, _image)


def embedding(
    inputs: str | Sequence[str],
    *,
    model: str | None = None,
    parameters: Parameters | None = None,
) -> Call[answers.Embedding]:
    """Turn a text, or each of several, into a vector."""
    texts = inputs if isinstance(inputs, str) else [*inputs]
    return _task("embedding", {"inputs": texts}, model, parameters, _vectors)


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
    return _task("run", fields, None, parameters, _run)


def list_models(task_type: str | None = None) -> Call[answers.Models]:
    """The models that the key may use, or those of them that can do a task."""
    query = {} if task_type is None else {"task_type": task_type}
    return _plain("GET", "models", _models, query=query)


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
    return _plain("POST", "models/map", _mapping, fields=fields)


def calculate_cost(requests: Sequence[CostRequest]) -> Call[answers.Costs]:
    """What requests would cost, each and in all."""
    fields = {"requests": [dict(one) for one in requests]}
    return _plain("POST", "billing/cost", _costs, fields=fields)


def get_usage(limit: int = 100, offset: int = 0) -> Call[answers.Usage]:
    """The requests that the key's user has made, newest first: ``limit`` of them after ``offset``
    others, and the totals of all."""
    query = {"limit": str(limit), "offset": str(offset)}
    return _plain("GET", "billing/usage", _usage, query=query)


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


def _served(reply: Reply) -> _Served:
    return {"request_id": reply.request_id, "cost_nano_usd": reply.cost_nano_usd}


def _output(reply: Reply) -> Node:
    return read_json(reply).at("output")


def _generated(reply: Reply) -> answers.TextGeneration:
    text = _output(reply).only().at("generated_text").text()
    return answers.TextGeneration(generated_text=text, **_served(reply))


def _conversation(reply: Reply) -> answers.Conversation:
    whole = read_json(reply)
    both = whole.at("conversation")
    warnings = whole.maybe("warnings")
    responses = both.at("generated_responses")
    responses.only()  # there is one to this call at least
    return answers.Conversation(
        past_user_inputs=both.at("past_user_inputs").texts(),
        generated_responses=responses.texts(),
        warnings=[] if warnings is None else warnings.texts(),
        **_served(reply),
    )


def _summary(reply: Reply) -> answers.Summary:
    text = _output(reply).at("summary_text").text()
    return answers.Summary(summary_text=text, **_served(reply))


def _translation(reply: Reply) -> answers.Translation:
    text = _output(reply).at("translation_text").text()
    return answers.Translation(translation_text=text, **_served(reply))


def _answer(reply: Reply) -> answers.QuestionAnswer:
    output = _output(reply)
    if isinstance(output.value, list):  # several were asked for; the best is the first
        output = output.only()
    score = output.maybe("score")
    return answers.QuestionAnswer(
        answer=output.at("answer").text(),
        score=None if score is None else score.number(),
        start=_count(output, "start"),
        end=_count(output, "end"),
        **_served(reply),
    )


def _labels(reply: Reply) -> answers.TextClassification:
    labels = [
        answers.Label(label=one.at("label").text(), score=one.at("score").number())
        for one in _output(reply).only()
    ]
    return answers.TextClassification(labels=labels, **_served(reply))


def _entities(reply: Reply) -> answers.TokenClassification:
    entities = [
        answers.Entity(
            entity=one.at("entity").text(),
            score=one.at("score").number(),
            word=one.at("word").text(),
            index=_count(one, "index"),
            start=_count(one, "start"),
            end=_count(one, "end"),
        )
        for one in _output(reply)
    ]
    return answers.TokenClassification(entities=entities, **_served(reply))


def _image(reply: Reply) -> answers.Image:
    whole = read_json(reply)
    picture = whole.at("image")
    kind = whole.maybe("content_type")
    try:
        data = base64.b64decode(picture.text(), validate=True)
    except ValueError:
        raise picture.broken("is not base64") from None
    return answers.Image(
        data, content_type="image/png" if kind is None else kind.text(), **_served(reply)
    )


def _vectors(reply: Reply) -> answers.Embedding:
    vectors = [[one.number() for one in item.at("embedding")] for item in _output(reply)]
    return answers.Embedding(vectors=vectors, **_served(reply))


def _run(reply: Reply) -> answers.Run:
    whole = read_json(reply)
    return answers.Run(
        output=whole.at("output").value,
        task=whole.at("task").text(),
        model=_name(whole, "model"),
        **_served(reply),
    )


def _models(reply: Reply) -> answers.Models:
    whole = read_json(reply)
    models = [
        answers.Model(
            model_id=one.at("model_id").text(),
            hub_model_id=_name(one, "hub_model_id"),
            task_type=one.at("task_type").text(),
        )
        for one in whole.at("models")
    ]
    return answers.Models(
        models=models, count=whole.at("count").whole(), task_types=whole.at("task_types").texts()
    )


def _mapping(reply: Reply) -> answers.ModelMapping:
    whole = read_json(reply)
    return answers.ModelMapping(
        success=whole.at("success").truth(),
        provider_model_id=whole.at("provider_model_id").text(),
        hub_model_id=whole.at("hub_model_id").text(),
        message=whole.at("message").text(),
    )


def _costs(reply: Reply) -> answers.Costs:
    whole = read_json(reply, exact=True)
    warnings = whole.maybe("warnings")
    return answers.Costs(
        total_cost_nano_usd=whole.at("total_cost_nano_usd").whole(),
        costs=[_cost(one) for one in whole.at("costs")],
        currency=whole.at("currency").text(),
        warnings=[] if warnings is None else warnings.texts(),
    )


def _cost(item: Node) -> answers.Cost:
    dollars = item.maybe("cost_usd")
    return answers.Cost(
        task=item.at("task").text(),
        model=item.at("model").text(),
        input_tokens=item.at("input_tokens").whole(),
        output_tokens=item.at("output_tokens").whole(),
        cost_nano_usd=_count(item, "cost_nano_usd"),
        cost_usd=None if dollars is None else dollars.exact(),
    )


def _usage(reply: Reply) -> answers.Usage:
    whole = read_json(reply)
    return answers.Usage(
        records=[_record(one) for one in whole.at("records")],
        total_records=whole.at("total_records").whole(),
        total_cost_nano_usd=whole.at("total_cost_nano_usd").whole(),
    )


def _record(item: Node) -> answers.UsageRecord:
    moment = item.at("timestamp")
    try:
        timestamp = datetime.datetime.fromisoformat(moment.text())
    except ValueError:
        raise moment.broken("is no time") from None
    return answers.UsageRecord(
        request_id=item.at("request_id").text(),
        timestamp=timestamp,
        task=item.at("task").text(),
        model=item.at("model").text(),
        input_tokens=_count(item, "input_tokens"),
        output_tokens=_count(item, "output_tokens"),
        cost_nano_usd=_count(item, "cost_nano_usd"),
        user_id=_name(item, "user_id"),
    )


def _count(item: Node, name: str) -> int | None:
    found = item.maybe(name)
    return None if found is None else found.whole()


def _name(item: Node, name: str) -> str | None:
    found = item.maybe(name)
    return None if found is None else found.text()
