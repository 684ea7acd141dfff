"""What the conformance tests share: the protocols, a profile to encode for, and stream helpers."""

from __future__ import annotations

import itertools
import pkgutil
from collections.abc import Iterable

import pytest
from hypothesis import strategies as st

import dragoman.protocols
from dragoman.canonical.collect import collect, replay
from dragoman.canonical.events import Event
from dragoman.canonical.parts import Reasoning, Refusal, Text, ToolCall
from dragoman.canonical.request import Message, Request, StreamOptions
from dragoman.canonical.response import Choice, FinishReason, Response
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import ModelProfile, Protocol
from dragoman.protocols.registry import protocol as load
from tests.protocols.answer_strategies import responses
from tests.protocols.strategies import PROVIDER

SHARED_CODE = frozenset({"openai_shared"})
# Protocols that no client speaks to us: what they have of the upstream's side is held to the rest.
UPSTREAM_ONLY = frozenset({"gradio"})
# Protocols that are spoken by clients only, and whose answers no codec reads: tests of their own.
CLIENTS_ONLY = frozenset({"hf_tasks"})
# By folder, without importing them: a protocol that cannot be imported must fail, not vanish.
ALL_NAMES = sorted(
    module.name
    for module in pkgutil.iter_modules(dragoman.protocols.__path__)
    if module.ispkg and module.name not in SHARED_CODE | CLIENTS_ONLY
)
NAMES = [name for name in ALL_NAMES if name not in UPSTREAM_ONLY]
# Protocols that carry one text and nothing else: no roles, no tools, no images, no reasoning.
TEXT_ONLY = frozenset({"openai_completions"})
CONVERSING = [name for name in NAMES if name not in TEXT_ONLY]
PAIRS = list(itertools.product(CONVERSING, CONVERSING))

every_protocol = pytest.mark.parametrize("name", NAMES)
every_upstream = pytest.mark.parametrize("name", ALL_NAMES)
every_conversing_protocol = pytest.mark.parametrize("name", CONVERSING)
every_pair = pytest.mark.parametrize(
    ("client", "upstream"), PAIRS, ids=[f"{one}-to-{other}" for one, other in PAIRS]
)

PROFILE = ModelProfile(provider=PROVIDER, model="m", max_output_tokens=100_000)
REQUEST = Request(
    model="m",
    messages=[Message(role="user", parts=[Text(text="hi")])],
    stream=True,
    stream_options=StreamOptions(include_usage=True),
)

__all__ = [
    "ALL_NAMES",
    "NAMES",
    "PROFILE",
    "REQUEST",
    "UPSTREAM_ONLY",
    "answers",
    "decode_stream",
    "every_conversing_protocol",
    "every_pair",
    "every_protocol",
    "every_upstream",
    "load",
    "origin",
    "reasoning_of",
    "reasons_alike",
    "stream_of",
    "text_of",
    "tool_calls_of",
    "written",
]


def answers(name: str) -> st.SearchStrategy[Response]:
    """Answers of the kind that the protocol ``name`` can say."""
    return responses(text_only=name in TEXT_ONLY)


def origin(protocol: Protocol) -> Origin:
    """Our provider, answering over ``protocol``."""
    return Origin(protocol.name, PROVIDER, "m")


def written(protocol: Protocol, events: Iterable[Event]) -> bytes:
    """The client bytes of ``events`` as a stream of ``protocol``."""
    encoder = protocol.stream_encoder(REQUEST)
    return b"".join([*(encoder.feed(event) for event in events), encoder.finish()])


def stream_of(protocol: Protocol, response: Response) -> bytes:
    """``response`` as a stream of ``protocol``."""
    return written(protocol, replay(response))


def decode_stream(protocol: Protocol, chunks: Iterable[bytes]) -> Response:
    """What ``protocol`` reads from a stream that came in ``chunks``."""
    decoder = protocol.stream_decoder(origin(protocol))
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    return collect([*events, *decoder.finish()])


def only_choice(response: Response) -> Choice:
    """The one choice."""
    (choice,) = response.choices
    return choice


def text_of(response: Response) -> str:
    """The visible text, refusals included: not every protocol tells them apart."""
    parts = only_choice(response).parts
    return "".join(part.text for part in parts if isinstance(part, Text | Refusal))


def reasoning_of(response: Response) -> str:
    """The readable reasoning."""
    parts = only_choice(response).parts
    return "".join(part.text for part in parts if isinstance(part, Reasoning))


def tool_calls_of(response: Response) -> list[ToolCall]:
    """The tool calls, in order."""
    return [part for part in only_choice(response).parts if isinstance(part, ToolCall)]


# Words that some protocols do not tell apart.
_ALIKE = (
    {FinishReason.STOP, FinishReason.STOP_SEQUENCE, FinishReason.PAUSE},
    {FinishReason.CONTENT_FILTER, FinishReason.REFUSAL, FinishReason.STOP, FinishReason.ERROR},
)


def reasons_alike(response: Response, other: Response) -> bool:
    """Whether both ended for the same reason, as far as every protocol can say."""
    ends = [only_choice(one).finish for one in (response, other)]
    if ends[0] is None or ends[1] is None:
        return False
    reasons = {end.reason for end in ends if end is not None}
    return len(reasons) == 1 or any(reasons <= group for group in _ALIKE)
