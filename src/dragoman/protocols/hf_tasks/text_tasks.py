"""The tasks that a chat model answers, by name."""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.canonical.errors import InvalidRequest
from dragoman.protocols.hf_tasks.answering import QUESTION_ANSWERING
from dragoman.protocols.hf_tasks.classification import TEXT_CLASSIFICATION
from dragoman.protocols.hf_tasks.conversation import CONVERSATIONAL
from dragoman.protocols.hf_tasks.entities import TOKEN_CLASSIFICATION
from dragoman.protocols.hf_tasks.generation import TEXT_GENERATION
from dragoman.protocols.hf_tasks.summary import SUMMARIZATION
from dragoman.protocols.hf_tasks.task import Task
from dragoman.protocols.hf_tasks.translating import TRANSLATION

TEXT_TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        TEXT_GENERATION,
        CONVERSATIONAL,
        SUMMARIZATION,
        TRANSLATION,
        QUESTION_ANSWERING,
        TEXT_CLASSIFICATION,
        TOKEN_CLASSIFICATION,
    )
}


def text_task(name: str) -> Task:
    """The task of that name. Raises InvalidRequest for one that no chat model answers."""
    task = TEXT_TASKS.get(name)
    if task is None:
        raise InvalidRequest(
            f"A chat model cannot do the task {name!r}.", param="task", code="unsupported_task"
        )
    return task
