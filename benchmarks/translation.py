"""The cost of translation alone: bytes in, bytes out, no socket, every pair of protocols.

The streams are written by the protocols' own encoders, so a new protocol is measured as soon as it is
registered.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import material
from benchmarks.options import Options
from benchmarks.report import Table
from dragoman.canonical.events import (
    Event,
    Finished,
    PartDelta,
    PartEnd,
    PartStart,
    Start,
    UsageUpdate,
)
from dragoman.canonical.parts import Text
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, FinishReason
from dragoman.canonical.signature import Origin
from dragoman.canonical.usage import Usage
from dragoman.protocols.base import ModelProfile, Parsed, Protocol, Target
from dragoman.protocols.registry import protocols

_WORDS = material.WORDS * 4
_ORIGIN = Origin("", "", material.MODEL)
_PROFILE = ModelProfile(provider="bench", model=material.MODEL, max_output_tokens=8192)


@dataclass(frozen=True)
class Timing:
    """Microseconds of one run of something: the least and the median of the repeats."""

    least: float
    median: float

    def per(self, count: int) -> str:
        """As text, divided by ``count``."""
        return f"{self.least / count:.1f} / {self.median / count:.1f}"


def measure(options: Options) -> list[Table]:
    """Time every pair."""
    watch = Stopwatch(
        repeats=options.choose(options.rounds, full=25, quick=3),
        seconds=options.choose(options.seconds, full=0.03, quick=0.002),
    )
    speaking = {
        name: one
        for name, one in sorted(protocols().items())
        if one.client_side and one.upstream_side
    }
    return [_streams(speaking, watch), _requests(speaking, watch)]


@dataclass(frozen=True)
class Stopwatch:
    """Times something in ``repeats`` batches of ``seconds`` each, long enough for the clock."""

    repeats: int
    seconds: float

    def time(self, work: Callable[[], object]) -> Timing:
        """Processor time of one run of ``work``."""
        count = 1
        while (taken := _batch(work, count)) < self.seconds / 4:
            count *= 2
        count = max(1, round(count * self.seconds / taken))
        each = [_batch(work, count) / count * 1e6 for _ in range(self.repeats)]
        return Timing(min(each), statistics.median(each))


def _batch(work: Callable[[], object], count: int) -> float:
    started = time.process_time()
    for _ in range(count):
        work()
    return time.process_time() - started


def _streams(speaking: dict[str, Protocol], watch: Stopwatch) -> Table:
    recorded = {name: _recorded(one) for name, one in speaking.items()}
    table = Table(
        "Microseconds per streamed event (least / median)",
        ["upstream ↓ · client →", *speaking],
    )
    table.notes.append(
        f"{len(_WORDS)} text events in a stream, each arriving alone; decoding and encoding "
        "together, in processor time. On the diagonal the bytes pass through and are only looked at."
    )
    for name, upstream in speaking.items():
        cells = []
        for client in speaking.values():
            chunks = recorded[name]
            run = (
                _relay(upstream, chunks)
                if client is upstream
                else _translate(upstream, client, chunks)
            )
            cells.append(watch.time(run).per(len(chunks)))
        table.rows.append([name, *cells])
    return table


def _requests(speaking: dict[str, Protocol], watch: Stopwatch) -> Table:
    chat, messages = speaking["openai_chat"], speaking["anthropic_messages"]
    cases = [
        ("small OpenAI request", chat, material.chat_request()),
        ("Claude Code's first turn", messages, material.agent_request()),
    ]
    table = Table(
        "Microseconds per request (least / median)",
        ["", *(f"{title}, {len(body) / 1000:.1f} kB" for title, _, body in cases)],
    )
    table.notes.append(
        "Reading validates the bytes and suffices for forwarding; decoding makes the canonical form "
        "of what was read, encoding writes it for an upstream."
    )
    parsed = [(client, body, client.parse_request(body, Target())) for _, client, body in cases]

    def row(title: str, work: Callable[[Protocol, bytes, Parsed], Callable[[], object]]) -> None:
        table.rows.append([title, *(watch.time(work(*case)).per(1) for case in parsed)])

    row("read", lambda client, body, _: lambda: client.parse_request(body, Target()))
    row("forward", lambda client, _, one: lambda: client.repeat_request(one, _PROFILE))
    row("decode", lambda client, _, one: lambda: client.decode_request(one))
    for name, target in speaking.items():
        row(f"encode for {name}", functools.partial(_encode, target))
    return table


def _encode(
    target: Protocol, client: Protocol, body: bytes, parsed: Parsed
) -> Callable[[], object]:
    request = client.decode_request(parsed)
    return lambda: target.encode_request(request, _PROFILE)


def _recorded(protocol: Protocol) -> list[bytes]:
    """A streamed answer as ``protocol`` writes it, cut as its events were."""
    encoder = protocol.stream_encoder(_request())
    chunks = [encoder.feed(event) for event in _events()]
    return [chunk for chunk in [*chunks, encoder.finish()] if chunk]


def _events() -> list[Event]:
    usage = Usage(input=42, output=len(_WORDS))
    return [
        Start(id="chatcmpl-CkYp3sQnVt0aR8uJ5fXw7zLb2eGdM", model=material.MODEL, created=1),
        PartStart(0, Text(text="")),
        *(PartDelta(0, word) for word in _WORDS),
        PartEnd(0),
        UsageUpdate(usage),
        Finished(Finish(reason=FinishReason.STOP)),
    ]


def _request() -> Request:
    client = protocols()["openai_chat"]
    return client.decode_request(client.parse_request(material.chat_request(stream=True), Target()))


def _relay(protocol: Protocol, chunks: list[bytes]) -> Callable[[], object]:
    # The relay needs the client's own request, which the protocol can write itself.
    body = protocol.encode_request(_request(), _PROFILE).body
    parsed = protocol.parse_request(body, Target(model=material.MODEL, stream=True))

    def run() -> None:
        relay = protocol.stream_relay(parsed, _ORIGIN)
        for chunk in chunks:
            relay.feed(chunk)
        relay.finish()

    return run


def _translate(upstream: Protocol, client: Protocol, chunks: list[bytes]) -> Callable[[], object]:
    request = _request()

    def run() -> None:
        decoder, encoder = upstream.stream_decoder(_ORIGIN), client.stream_encoder(request)
        for chunk in chunks:
            b"".join([encoder.feed(event) for event in decoder.feed(chunk)])
        for event in decoder.finish():
            encoder.feed(event)
        encoder.finish()

    return run
