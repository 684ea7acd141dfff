"""The task API of Hugging Face's providers, in the documented shapes (``/hf/tasks``) and those that
Hugging Face's own clients accept (``/hf/models``).

Spoken by clients only. A task becomes a chat request: its prompt and, where scores or spans are wanted,
a JSON schema; what the model says is checked against the text before it is an answer.

Read in this order: ``tasks``, ``types``, ``task``; ``spans``; one module for each task (``generation``,
``conversation``, ``summary``, ``translating``, ``answering``, ``classification``, ``entities``),
``text_tasks``; ``request``, ``response``, ``stream``, ``errors``; ``embeddings``, ``images``; ``billing``.
"""

from __future__ import annotations

from dragoman.protocols.base import Protocol
from dragoman.protocols.hf_tasks.embeddings import EMBEDDING_FORMS
from dragoman.protocols.hf_tasks.errors import encode_error
from dragoman.protocols.hf_tasks.request import decode_request, parse_request
from dragoman.protocols.hf_tasks.response import encode_response
from dragoman.protocols.hf_tasks.stream import TaskStreamEncoder
from dragoman.protocols.hf_tasks.types import PROTOCOL_ID
from dragoman.protocols.hf_tasks.upstream_side import refuse

PROTOCOL = Protocol(
    name=PROTOCOL_ID,
    title="Hugging Face tasks",
    upstream_side=False,
    endpoint=lambda model, stream: "/",
    headers={},
    parse_request=parse_request,
    decode_request=decode_request,
    encode_response=encode_response,
    stream_encoder=TaskStreamEncoder,
    encode_error=encode_error,
    encode_request=refuse,
    decode_response=refuse,
    stream_decoder=refuse,
    decode_error=refuse,
    repeat_request=refuse,
    stream_relay=refuse,
    embedding_forms=EMBEDDING_FORMS,
)
