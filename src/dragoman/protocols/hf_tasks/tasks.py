"""The task API's tasks, by their documented names."""

from __future__ import annotations

from dragoman.canonical.errors import InvalidRequest

TASKS = (
    "text-generation",
    "conversational",
    "summarization",
    "translation",
    "question-answering",
    "text-classification",
    "token-classification",
    "image-generation",
    "embedding",
)
_NAMES_ON_THE_HUB = {
    "text-to-image": "image-generation",
    "feature-extraction": "embedding",
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
}


def check_task(name: str, param: str) -> None:
    """Raise InvalidRequest for what is no task, by its documented name or by the Hub's."""
    if name not in TASKS and name not in _NAMES_ON_THE_HUB:
        raise InvalidRequest(
            f"Unsupported task type: {name[:100]!r}, at '{param}'. There are {', '.join(TASKS)}.",
            param=param,
            code="unsupported_task",
        )


def canonical_task(name: str, param: str) -> str:
    """The documented name of a task, given that or the Hub's. Raises InvalidRequest as ``check_task``."""
    check_task(name, param)
    return _NAMES_ON_THE_HUB.get(name, name)


def task_of(operation: str, protocol: str) -> str:
    """The task that a request was which came over another protocol: ``operation`` and ``protocol`` as
    in ``governance.ledger.Entry``."""
    if operation == "embed":
        return "embedding"
    if operation == "generate":
        return "text-generation" if protocol == "openai_completions" else "conversational"
    return operation
