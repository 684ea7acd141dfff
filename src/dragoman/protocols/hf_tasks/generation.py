"""Text generation: the text goes to the model as it is, and what it says is the continuation."""

from __future__ import annotations

from dragoman.protocols.hf_tasks.task import Finding, Prompt, Task, told
from dragoman.protocols.hf_tasks.types import TaskCall


def full_text(call: TaskCall, text: str) -> str:
    """With ``return_full_text`` the prompt stands before its continuation."""
    return call.inputs.text + text if call.parameters.return_full_text else text


def _prompt(call: TaskCall) -> Prompt:
    return Prompt([told("user", call.inputs.text)])


def _read(call: TaskCall, text: str) -> Finding:
    generated = [{"generated_text": full_text(call, text)}]
    return Finding(generated, generated)


TEXT_GENERATION = Task(
    name="text-generation",
    inputs="text",
    prompt=_prompt,
    read=_read,
    streams=True,
    own=frozenset({"return_full_text", "details"}),
)
