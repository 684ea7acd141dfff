"""A client's request: which task, on what, how; and the chat request that it comes to.

Sources: the task API's documentation; huggingface.js ``packages/tasks/src/tasks/*/spec/input.json`` for
the form ``native``. ``inputs`` may be a text, a list of one, or an object; the documented fields of
single tasks (``text``, ``question``, ``target_language`` …) stand at the root or in that object.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from dragoman.canonical.errors import InvalidRequest
from dragoman.canonical.parts import Json
from dragoman.canonical.request import Request, Settings
from dragoman.protocols.base import Parsed, Target
from dragoman.protocols.hf_tasks.tasks import TASKS, canonical_task
from dragoman.protocols.hf_tasks.text_tasks import TEXT_TASKS, text_task
from dragoman.protocols.hf_tasks.types import (
    CALL,
    PROTOCOL_ID,
    Form,
    Inputs,
    Name,
    Parameters,
    TaskCall,
)
from dragoman.protocols.wire_json import T, read_client

_SAMPLING = frozenset(
    {
        "max_tokens",
        "max_new_tokens",
        "temperature",
        "top_p",
        "top_k",
        "frequency_penalty",
        "presence_penalty",
        "seed",
        "stop",
        "stop_sequences",
        "do_sample",
        "model",
        "stream",
        "details",
    }
)
_OF_IMAGES = ("negative_prompt", "num_inference_steps", "guidance_scale", "width", "height")
_Turns = Annotated[list[str], msgspec.Meta(max_length=10_000)]


class _Body(msgspec.Struct, kw_only=True):
    task: Name | None = None
    model: Name | None = None
    inputs: Any = None
    parameters: dict[str, Json] | None = None
    options: dict[str, Json] | None = None
    stream: bool | None = None
    text: str | None = None
    past_user_inputs: _Turns | None = None
    generated_responses: _Turns | None = None
    question: str | None = None
    context: str | None = None
    source_language: Name | None = None
    target_language: Name | None = None


_FORMS: dict[str, Form] = {"seed": "seed", "native": "native"}
_body = msgspec.json.Decoder(_Body)


class _Asked(msgspec.Struct):
    """Just enough to know the task."""

    task: Name | None = None
    inputs: Any = None
    parameters: dict[str, Json] | None = None


_asked = msgspec.json.Decoder(_Asked)


def task_in(body: bytes) -> str:
    """The task that a body for ``run`` names. Raises InvalidRequest."""
    name = read_client(body, _asked).task
    if not name:
        raise InvalidRequest(
            f"Which task? Name it in 'task': {', '.join(TASKS)}.", param="task", code="no_task"
        )
    return canonical_task(name, "task")


def task_like(body: bytes) -> str:
    """The task that a native body is for whose path and model do not tell: by what is particular to a
    task in it, else text generation. Raises InvalidRequest."""
    asked = read_client(body, _asked)
    given = asked.parameters or {}
    if isinstance(asked.inputs, dict) and "question" in asked.inputs:
        return "question-answering"
    if not given.keys().isdisjoint(("candidate_labels", "function_to_apply")):
        return "text-classification"
    if not given.keys().isdisjoint(("aggregation_strategy", "ignore_labels")):
        return "token-classification"
    if not given.keys().isdisjoint(("src_lang", "tgt_lang")):
        return "translation"
    if not given.keys().isdisjoint(_OF_IMAGES):
        return "image-generation"
    if "generate_parameters" in given:
        return "summarization"
    return "text-generation"


def parse_request(body: bytes, target: Target) -> Parsed:
    """Read and check the whole request. The model is empty if the client named none. Raises
    InvalidRequest that names the field at fault."""
    wire = read_client(body, _body)
    task = canonical_task(target.task, "task") if target.task else task_in(body)
    text_task(task)
    given = dict(wire.parameters or {})
    for name in ("source_language", "target_language"):
        said = getattr(wire, name) or (
            wire.inputs.get(name) if isinstance(wire.inputs, dict) else None
        )
        if said is not None:
            given.setdefault(name, said)
    parameters = read_parameters(given)
    call = TaskCall(
        task=task,
        form=_FORMS.get(target.form, "run"),
        inputs=_inputs(task, wire),
        parameters=parameters,
        given=given,
        model=target.model or wire.model or parameters.model or "",
        stream=bool(target.stream or wire.stream or parameters.stream),
        ndjson=target.framing == "ndjson",
    )
    return Parsed(
        body=body,
        wire=call,
        model=call.model,
        stream=call.stream,
        max_output_tokens=_most_tokens(call),
        target=target,
        operation=task,
    )


def with_mapping(parsed: Parsed, model: str, defaults: dict[str, Json]) -> Parsed:
    """The same request for ``model``, with default parameters where the client gave none."""
    call: TaskCall = parsed.wire
    given = {**defaults, **call.given}
    if call.given.keys() & {"max_tokens", "max_new_tokens"}:  # two names for one thing
        for name in {"max_tokens", "max_new_tokens"} - call.given.keys():
            given.pop(name, None)
    call = msgspec.structs.replace(
        call, given=given, parameters=read_parameters(given), model=model
    )
    return msgspec.structs.replace(
        parsed, wire=call, model=model, max_output_tokens=_most_tokens(call)
    )


def decode_request(parsed: Parsed) -> Request:
    """The chat request that the task comes to. What no model could mind rides in the extensions, so that
    it is noted as dropped."""
    call: TaskCall = parsed.wire
    task = text_task(call.task)
    prompt = task.prompt(call)
    fields: dict[str, Json] = {
        name: value
        for name, value in call.given.items()
        if value and name not in _SAMPLING and name not in task.own
    }
    fields[CALL] = call
    return Request(
        model=parsed.model,
        messages=prompt.messages,
        output=prompt.output,
        settings=_settings(call, sampled="top_k" not in task.own),
        stream=parsed.stream,
        extensions={PROTOCOL_ID: fields},
    )


def call_of(request: Request) -> TaskCall:
    """The task that ``request`` was made of."""
    call: TaskCall = (request.extensions or {})[PROTOCOL_ID][CALL]
    return call


def read_parameters(given: dict[str, Json]) -> Parameters:
    """Check parameters by type and size. Raises InvalidRequest that names the field."""
    return _converted(given, Parameters, "parameters")


def _settings(call: TaskCall, *, sampled: bool) -> Settings:
    given = call.parameters
    stop = [given.stop] if isinstance(given.stop, str) else given.stop
    temperature = given.temperature
    if temperature is None and given.do_sample is False:
        temperature = 0.0
    return Settings(
        max_output_tokens=_most_tokens(call),
        temperature=temperature,
        top_p=given.top_p,
        top_k=given.top_k if sampled else None,
        frequency_penalty=given.frequency_penalty,
        presence_penalty=given.presence_penalty,
        seed=given.seed,
        stop=[*(stop or ()), *(given.stop_sequences or ())] or None,
    )


def _most_tokens(call: TaskCall) -> int | None:
    return call.parameters.max_tokens or call.parameters.max_new_tokens


def _inputs(name: str, wire: _Body) -> Inputs:
    fields = {
        field: value
        for field in Inputs.__struct_fields__
        if (value := getattr(wire, field)) is not None
    }
    inputs = wire.inputs
    if isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    if isinstance(inputs, str):
        fields["text"] = inputs
    elif isinstance(inputs, dict):
        fields |= {field: inputs[field] for field in Inputs.__struct_fields__ if field in inputs}
    elif inputs is not None:
        raise InvalidRequest(
            f"'inputs' must be {_WANTED[TEXT_TASKS[name].inputs]}; send one request for each.",
            param="inputs",
        )
    read = _converted(fields, Inputs, "inputs")
    _check(TEXT_TASKS[name].inputs, read)
    return read


_WANTED = {
    "text": "a text, or an object with 'text'",
    "turns": "a text, or an object with 'text', 'past_user_inputs' and 'generated_responses'",
    "question": "an object with 'question' and 'context'",
}


def _check(kind: str, inputs: Inputs) -> None:
    needed = ("question", "context") if kind == "question" else ("text",)
    for field in needed:
        if not getattr(inputs, field).strip():
            what = f"'{field}' is missing or empty" if kind == "question" else "There is no text"
            raise InvalidRequest(f"{what}: 'inputs' must be {_WANTED[kind]}.", param="inputs")
    if len(inputs.past_user_inputs) != len(inputs.generated_responses):
        raise InvalidRequest(
            "'past_user_inputs' and 'generated_responses' must be equally long: each text with the "
            "answer it got.",
            param="generated_responses",
        )


def _converted(value: dict[str, Json], kind: type[T], root: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        path = root + path.rstrip("`").replace("[", ".").replace("]", "")
        raise InvalidRequest(f"{what}, at '{path}'.", param=path) from None
