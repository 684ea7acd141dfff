"""A whole answer, as the client's form of the task has it.

Form ``seed`` is the task API's documentation: the answer stands under ``output``, a conversation under
``conversation``. Form ``run`` adds the task and the model, and has every answer under ``output``, as the
task's own route has it. Form ``native`` is what Hugging Face's own clients read (huggingface.js
``packages/tasks/src/tasks/*/spec/output.json``).
"""

from __future__ import annotations

import msgspec

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.parts import Json, Refusal, Text
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, FinishReason, Response
from dragoman.canonical.usage import Usage
from dragoman.protocols.hf_tasks.request import call_of
from dragoman.protocols.hf_tasks.text_tasks import text_task
from dragoman.protocols.hf_tasks.types import TaskCall

_encode = msgspec.json.Encoder().encode


def encode_response(response: Response, request: Request) -> bytes:
    """The answer's body. Raises UpstreamBroken if what the model said is no answer to the task."""
    call = call_of(request)
    choice = response.choices[0] if response.choices else None
    parts = choice.parts if choice is not None else []
    text = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    finish = choice.finish if choice is not None else None
    body = answer_body(call, text, finish)
    if call.form == "native" and call.task == "text-generation" and call.parameters.details:
        body[0]["details"] = {
            **details(finish, response.usage, call),
            "prefill": [],
            "tokens": [],
        }
    return _encode(body)


def answer_body(call: TaskCall, text: str, finish: Finish | None) -> Json:
    """The answer that the model's ``text`` holds, as the client's form has it. Raises UpstreamBroken."""
    task = text_task(call.task)
    try:
        finding = task.read(call, text)
    except UpstreamBroken as broken:
        if finish is not None and finish.reason is FinishReason.LENGTH:
            raise UpstreamBroken(
                f"{broken.message} It was cut off at its limit of tokens."
            ) from None
        raise
    match call.form:
        case "native":
            return finding.native
        case "run":
            return {"output": finding.seed, "task": call.task, "model": call.model}
    return {"conversation" if call.task == "conversational" else "output": finding.seed}


def details(finish: Finish | None, usage: Usage | None, call: TaskCall) -> dict[str, Json]:
    """Why a text ended and how long it is, in the words of Text Generation Inference."""
    reason = finish.reason if finish is not None else FinishReason.STOP
    return {
        "finish_reason": _REASONS.get(reason, "eos_token"),
        "generated_tokens": 0 if usage is None else usage.total_output,
        "seed": call.parameters.seed,
    }


_REASONS = {FinishReason.LENGTH: "length", FinishReason.STOP_SEQUENCE: "stop_sequence"}
