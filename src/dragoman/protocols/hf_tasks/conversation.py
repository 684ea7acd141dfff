"""Conversation: the turns so far and a new text; the answer is the conversation, longer by one turn."""

from __future__ import annotations

from dragoman.protocols.hf_tasks.task import Finding, Prompt, Task, told
from dragoman.protocols.hf_tasks.types import TaskCall


def _prompt(call: TaskCall) -> Prompt:
    inputs = call.inputs
    messages = []
    for asked, answered in zip(inputs.past_user_inputs, inputs.generated_responses, strict=True):
        messages += [told("user", asked), told("assistant", answered)]
    return Prompt([*messages, told("user", inputs.text)])


def _read(call: TaskCall, text: str) -> Finding:
    conversation = {
        "past_user_inputs": [*call.inputs.past_user_inputs, call.inputs.text],
        "generated_responses": [*call.inputs.generated_responses, text],
    }
    return Finding(conversation, {"generated_text": text, "conversation": conversation})


CONVERSATIONAL = Task(
    name="conversational", inputs="turns", prompt=_prompt, read=_read, streams=True
)
