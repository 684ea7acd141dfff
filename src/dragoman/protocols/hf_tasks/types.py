"""What a task is asked for, once its body has been read.

Sources: the task API's documentation (form ``seed``, and ``run`` for its route for any task), and
huggingface.js ``packages/tasks/src/tasks/*/spec`` (form ``native``).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dragoman.canonical.parts import Json

PROTOCOL_ID = "hf_tasks"
CALL = "_call"
"""The field of a request's extensions that holds its ``TaskCall``: bookkeeping, nothing is lost with it."""

Form = Literal["seed", "run", "native"]

Name = Annotated[str, msgspec.Meta(max_length=200)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class Parameters(msgspec.Struct, kw_only=True, frozen=True):
    """The parameters that mean something to a model, under every name that clients have for them."""

    model: Name | None = None
    max_tokens: _Tokens | None = None
    max_new_tokens: _Tokens | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    stop_sequences: list[str] | None = None
    do_sample: bool | None = None
    return_full_text: bool | None = None
    details: bool | None = None
    stream: bool | None = None
    generate_parameters: dict[str, Json] | None = None
    clean_up_tokenization_spaces: bool | None = None
    min_length: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_length: _Tokens | None = None
    src_lang: Name | None = None
    tgt_lang: Name | None = None
    source_language: Name | None = None
    target_language: Name | None = None
    max_answer_len: _Tokens | None = None
    handle_impossible_answer: bool | None = None
    candidate_labels: (
        Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(max_length=500)]
        | None
    ) = None
    multi_label: bool | None = None
    aggregation_strategy: Literal["none", "simple", "first", "average", "max"] | None = None
    ignore_labels: list[str] | None = None


class Inputs(msgspec.Struct, kw_only=True, frozen=True):
    """What a task works on: a text, or a question and the context that holds its answer, or a text and
    the turns before it."""

    text: str = ""
    question: str = ""
    context: str = ""
    past_user_inputs: tuple[str, ...] = ()
    generated_responses: tuple[str, ...] = ()


class TaskCall(msgspec.Struct, kw_only=True, frozen=True):
    """A task with what it is to work on. ``given`` are all the parameters as they came; ``model`` is the
    name that the client gave, if any, and later the one that answers."""

    task: str
    form: Form
    inputs: Inputs
    parameters: Parameters
    given: dict[str, Json]
    model: str = ""
    stream: bool = False
    ndjson: bool = False
