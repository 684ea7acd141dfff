"""An upstream's stream of ``chat.completion.chunk``, as events."""

from __future__ import annotations

import itertools

import msgspec

from dragoman.canonical.events import Start
from dragoman.canonical.signature import Origin
from dragoman.protocols.base import Parsed
from dragoman.protocols.openai_chat.answer_types import Chunk
from dragoman.protocols.openai_chat.choice_reader import ChoiceReader
from dragoman.protocols.openai_chat.response import sign_as
from dragoman.protocols.openai_chat.tools import made_up_id
from dragoman.protocols.openai_chat.types import PROTOCOL_ID
from dragoman.protocols.openai_shared.relay import ChunkRelay
from dragoman.protocols.openai_shared.stream_decoder import ChunkStreamDecoder


class ChatStreamDecoder(ChunkStreamDecoder):
    """Reads the answer of ``origin``."""

    chunks = msgspec.json.Decoder(Chunk)
    object = "chat.completion.chunk"

    def __init__(self, origin: Origin) -> None:
        super().__init__(PROTOCOL_ID)
        self._sign = sign_as(origin)
        self._numbers = itertools.count()

    def add_choice(self, index: int, start: Start) -> ChoiceReader:
        """A reader for a choice that begins."""
        call_id = made_up_id(start.id, start.created, index)
        return ChoiceReader(index, self._numbers, self._sign, call_id)


def stream_relay(parsed: Parsed, origin: Origin) -> ChunkRelay:
    """Forwards the answer of ``origin`` and reads along."""
    return ChunkRelay(ChatStreamDecoder(origin), parsed)
