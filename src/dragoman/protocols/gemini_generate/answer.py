"""Answers → events: one way for whole answers and for the chunks of a stream.

A chunk is a whole ``GenerateContentResponse`` that holds what is new; a whole answer is a stream of one.
Texts of the same kind that follow each other are one part. ``finishReason`` may be followed by chunks
with usage or grounding alone, so parts and choices are closed at the end of the stream.

Extensions: a candidate's further fields (grounding, citations, safety ratings …) ride on its Finish;
the answer's own (``promptFeedback``, ``modelStatus``, what is left of ``usageMetadata``) ride on the
first choice's Finish, under ``response``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

from dragoman.canonical.errors import UpstreamBroken
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import (
    Extensions,
    Json,
    Part,
    Reasoning,
    Text,
    ToolCall,
    own_extensions,
)
from dragoman.canonical.response import Finish, FinishReason
from dragoman.canonical.signature import Origin, Signature
from dragoman.protocols.gemini_generate import types
from dragoman.protocols.gemini_generate.errors import in_stream_error
from dragoman.protocols.gemini_generate.finish import UNSPECIFIED, read_finish
from dragoman.protocols.gemini_generate.logprobs import read_logprobs
from dragoman.protocols.gemini_generate.partial_args import PartialArguments
from dragoman.protocols.gemini_generate.parts import THOUGHT, arguments_text, read_part
from dragoman.protocols.gemini_generate.reading import plain, rest
from dragoman.protocols.gemini_generate.types import PROTOCOL_ID, several
from dragoman.protocols.gemini_generate.usage import read_usage, rest_of_usage

RESPONSE = "response"
"""The extension field for what belongs to the whole answer."""

_READ = frozenset(
    (
        *("candidates", "usage_metadata", "model_version", "response_id", "create_time"),
        *("service_tier", "error"),
    )
)
_READ_CANDIDATE = frozenset(("index", "content", "finish_reason", "logprobs_result"))
_READ_LOGPROBS = frozenset(("chosen_candidates", "top_candidates"))


class _Choice:
    """What is known of one candidate so far."""

    __slots__ = ("call", "delta", "finish_word", "has_calls", "is_thought", "left", "text")

    def __init__(self) -> None:
        self.text: int | None = None  # the text part that may still grow
        self.is_thought = False  # what kind of text it is
        self.delta: PartDelta | None = None  # the present chunk's first answer text
        self.call: tuple[int, PartialArguments] | None = None  # the call that may still grow
        self.has_calls = False
        self.finish_word: str | None = None
        self.left: dict[str, Json] = {}


class AnswerReader:
    """``chunk`` each chunk, then ``finish``."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._choices: dict[int, _Choice] = {}
        self._index = 0
        self._started = False
        self._usage: types.UsageMetadata | None = None
        self._left: dict[str, Json] = {}
        self._block_reason: str | None = None
        self._response_id = ""

    @property
    def complete(self) -> bool:
        """The upstream has said why it ended."""
        return self._block_reason is not None or any(
            choice.finish_word is not None for choice in self._choices.values()
        )

    def chunk(self, chunk: types.GenerateContentResponse) -> list[Event]:
        """Events of one chunk; raises the error that it holds, or UpstreamBroken."""
        if chunk.error is not None:
            raise in_stream_error(chunk.error)
        events: list[Event] = []
        usage = chunk.usage_metadata
        if not self._started:
            events.append(self._start(chunk))
        if chunk.candidates:
            for position, candidate in enumerate(chunk.candidates):
                number = position if candidate.index is None else candidate.index
                self._candidate(number, candidate, events)
        if usage is not None and usage != self._usage:
            self._usage = usage
            if (counts := read_usage(usage)) is not None:
                events.append(UsageUpdate(counts))
        if left := rest(chunk, _READ):
            self._left.update(left)
            if chunk.prompt_feedback is not None:
                self._block_reason = chunk.prompt_feedback.block_reason or self._block_reason
        return events

    def finish(self) -> list[Event]:
        """Close every part and every choice. Raises UpstreamBroken if there never was an answer."""
        if not self._choices:
            if self._block_reason is None:
                raise UpstreamBroken("The upstream's answer has no candidates.")
            blocked = Finish(reason=FinishReason.CONTENT_FILTER, raw=self._block_reason)
            blocked.extensions = self._extensions({}, first=True)
            return [Finished(blocked)]
        events: list[Event] = []
        for choice in self._choices.values():
            _end_text(choice, events)
            _end_call(choice, events)
        first = min(self._choices)
        for number, choice in sorted(self._choices.items()):
            finish = read_finish(choice.finish_word, has_calls=choice.has_calls)
            finish.extensions = self._extensions(choice.left, first=number == first)
            events.append(Finished(finish, number))
        return events

    def _start(self, chunk: types.GenerateContentResponse) -> Start:
        self._started = True
        self._response_id = chunk.response_id or ""
        usage = chunk.usage_metadata
        return Start(
            id=self._response_id,
            model=chunk.model_version or "",
            created=_seconds(chunk.create_time),
            service_tier=chunk.service_tier or (usage.service_tier if usage else None),
        )

    def _extensions(self, left: dict[str, Json], *, first: bool) -> Extensions | None:
        if first:
            answer = dict(self._left)
            if self._usage is not None and (counts := rest_of_usage(self._usage)):
                answer["usageMetadata"] = counts
            if answer:
                left = {**left, RESPONSE: answer}
        return {PROTOCOL_ID: left} if left else None

    def _candidate(self, number: int, candidate: types.Candidate, events: list[Event]) -> None:
        choice = self._choices.get(number)
        if choice is None:
            choice = self._choices[number] = _Choice()
        choice.delta = None
        word = candidate.finish_reason
        if word is not None and word != UNSPECIFIED:
            choice.finish_word = word
        if left := rest(candidate, _READ_CANDIDATE):
            choice.left.update(left)
        content = candidate.content
        if content is not None:
            for part in several(content.parts):
                self._part(number, choice, part, events)
            if content.extra:
                choice.left["content"] = content.extra
        if candidate.logprobs_result is not None:
            _logprobs(choice, candidate.logprobs_result)

    def _part(self, number: int, choice: _Choice, part: types.Part, events: list[Event]) -> None:
        text, call = part.text, part.function_call
        if text is not None and part == types.Part(text=text, thought=part.thought):
            if text:
                is_thought = bool(part.thought)
                if choice.text is None or choice.is_thought is not is_thought:
                    empty = Reasoning(summary=True) if is_thought else Text(text="")
                    self._begin_text(number, choice, empty, events)
                self._grow_text(choice, text, events)
        elif call is not None and (
            call.partial_args is not None
            or call.will_continue is not None
            or (choice.call is not None and not call.name)
        ):
            self._partial_call(number, choice, part, call, events)
        else:
            self._whole_part(number, choice, part, events)

    def _whole_part(
        self, number: int, choice: _Choice, wire: types.Part, events: list[Event]
    ) -> None:
        part = read_part(wire, self, self._sign)
        if part is None:
            return
        if isinstance(part, Text | Reasoning):
            self._rich_text(number, choice, part, events)
            return
        _end_text(choice, events)
        arguments = ""
        if isinstance(part, ToolCall):
            choice.has_calls = True
            arguments, part.arguments = part.arguments, ""
        index = self._begin(number, part, events)
        if arguments:
            events.append(PartDelta(index, arguments))
        events.append(PartEnd(index))

    def _rich_text(
        self, number: int, choice: _Choice, part: Text | Reasoning, events: list[Event]
    ) -> None:
        """A text with a signature or other fields, which closes it. A bare signature that follows a
        text belongs to it: the last chunk brings it in an empty part."""
        text, part.text = part.text, ""
        is_thought = isinstance(part, Reasoning)
        own = own_extensions(part.extensions, PROTOCOL_ID)
        only_signed = own.keys() <= {THOUGHT, "thoughtSignature"}
        if only_signed and choice.text is not None and choice.is_thought is is_thought:
            self._grow_text(choice, text, events)
            signature = part.signature if isinstance(part, Reasoning) else None
            extensions = None if is_thought else part.extensions
            events.append(PartDelta(choice.text, signature=signature, extensions=extensions))
        else:
            self._begin_text(number, choice, part, events)
            self._grow_text(choice, text, events)
        _end_text(choice, events)

    def _begin_text(
        self, number: int, choice: _Choice, part: Text | Reasoning, events: list[Event]
    ) -> None:
        _end_text(choice, events)
        choice.is_thought = isinstance(part, Reasoning)
        choice.text = self._begin(number, part, events)

    def _grow_text(self, choice: _Choice, text: str, events: list[Event]) -> None:
        if text and choice.text is not None:
            delta = PartDelta(choice.text, text)
            events.append(delta)
            if choice.delta is None and not choice.is_thought:
                choice.delta = delta

    def _partial_call(
        self,
        number: int,
        choice: _Choice,
        part: types.Part,
        call: types.FunctionCall,
        events: list[Event],
    ) -> None:
        signature = None if part.thought_signature is None else self._sign(part.thought_signature)
        if call.name:
            _end_text(choice, events)
            _end_call(choice, events)
            choice.has_calls = True
            begun = ToolCall(id=self.call(call), name=call.name, signature=signature)
            choice.call = (self._begin(number, begun, events), PartialArguments())
        elif choice.call is None:
            return
        elif signature is not None:
            events.append(PartDelta(choice.call[0], signature=signature))
        arguments = choice.call[1]
        arguments.value.update(call.args or {})
        for piece in call.partial_args or ():
            arguments.add(piece)
        if not call.will_continue:
            _end_call(choice, events)

    def _begin(self, number: int, part: Part, events: list[Event]) -> int:
        index = self._index
        self._index += 1
        events.append(PartStart(index, part, number))
        return index

    def _sign(self, value: str) -> Signature:
        return Signature(value, self._origin)

    def call(self, call: types.FunctionCall) -> str:
        """The call's id; before Gemini 3 there was none, and one that repeats from turn to turn would
        join results to the wrong calls."""
        if call.id:
            return call.id
        known = f"{self._response_id}\n{call.name}\n{arguments_text(call.args)}"
        digest = hashlib.blake2s(known.encode(), digest_size=6).hexdigest()
        return f"call_{self._index}_{digest}"

    def result(self, result: types.FunctionResponse) -> str:
        """The id of a result, which no model writes."""
        return result.id or ""


def _end_text(choice: _Choice, events: list[Event]) -> None:
    if choice.text is not None:
        events.append(PartEnd(choice.text))
        choice.text = None


def _end_call(choice: _Choice, events: list[Event]) -> None:
    if choice.call is not None:
        index, arguments = choice.call
        events += (PartDelta(index, arguments_text(arguments.value)), PartEnd(index))
        choice.call = None


def _logprobs(choice: _Choice, result: types.LogprobsResult) -> None:
    """They belong to the text of their chunk; without one they stay as they are."""
    if choice.delta is None:
        choice.left["logprobsResult"] = plain(result)
        return
    choice.delta.logprobs = read_logprobs(result)
    if left := rest(result, _READ_LOGPROBS):
        choice.left["logprobsResult"] = left


def _seconds(time: str | None) -> int | None:
    if time is None:
        return None
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except (ValueError, OverflowError):
        return None
