"""What is sent and answered: an ordinary chat, and a coding agent's first turn."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MODEL = "bench-model"
CLIENT_KEY = "sk-gw-bench-7Jq2mWx9Lr4Tz8Vb6Nk3Hd5Pc1Fs0Gy"
UPSTREAM_KEY = "sk-upstream-bench"

CAPTURE = Path(__file__).parent.parent / "tests" / "fixtures" / "captures" / "claude-code.json"

_QUESTION = "In two sentences, what should I see in Lisbon if I have only one rainy afternoon?"
_ANSWER = (
    "Start under the roofs of the Museu Nacional do Azulejo, where five centuries of painted tiles "
    "tell the city's story better than any guide, then ride the old number 28 tram through Alfama "
    "while the rain runs down its windows. End the afternoon with a coffee and a warm pastel de "
    "nata in Belém, beside the cloister of the Jerónimos monastery."
)
WORDS = re.findall(r"\S+\s*", _ANSWER)
"""The answer as a stream brings it, about a token at a time."""


def dumps(value: Any) -> bytes:
    """Compact JSON, as vendors write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def chat_request(*, stream: bool = False) -> bytes:
    """A small OpenAI chat request."""
    return dumps(
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "You are a terse and friendly travel guide."},
                {"role": "user", "content": _QUESTION},
            ],
            "temperature": 0.7,
            "max_tokens": 256,
            **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
        }
    )


def messages_request(*, stream: bool = False) -> bytes:
    """The same request as Anthropic's clients write it."""
    return dumps(
        {
            "model": MODEL,
            "max_tokens": 256,
            "temperature": 0.7,
            "system": "You are a terse and friendly travel guide.",
            "messages": [{"role": "user", "content": _QUESTION}],
            **({"stream": True} if stream else {}),
        }
    )


def agent_request() -> bytes:
    """Claude Code's first turn, at its true size.

    The capture keeps the structure and stands a placeholder for each longer text; those are filled
    up evenly until the body is as long as it was on the wire.
    """
    exchanges = json.loads(CAPTURE.read_text(encoding="utf-8"))["exchanges"]
    request = next(
        one["request"]
        for one in exchanges
        if isinstance(one["request"]["body"], dict) and one["request"]["body"].get("tools")
    )
    body, size = request["body"], request["body_bytes"]
    placeholder = re.compile(r"<text, (\d+) characters>")
    text = dumps(body).decode()
    count = len(placeholder.findall(text))
    kept = len(placeholder.sub("", text).encode())
    prose = (_ANSWER.encode("ascii", "ignore").decode() + " ") * (1 + size // len(_ANSWER))
    return placeholder.sub(prose[: max(0, size - kept) // count], text).encode()


def chat_answer() -> bytes:
    """A whole OpenAI chat completion of about 1 kB, as api.openai.com writes it."""
    return dumps(
        {
            "id": "chatcmpl-CkYp3sQnVt0aR8uJ5fXw7zLb2eGdM",
            "object": "chat.completion",
            "created": 1_795_000_000,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": _ANSWER,
                        "refusal": None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 42,
                "completion_tokens": 89,
                "total_tokens": 131,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": "fp_5f0a3c9d21",
        }
    )


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One event of a streamed OpenAI chat completion, as api.openai.com writes it."""
    return b"data: %b\n\n" % dumps(
        {
            "id": "chatcmpl-CkYp3sQnVt0aR8uJ5fXw7zLb2eGdM",
            "object": "chat.completion.chunk",
            "created": 1_795_000_000,
            "model": MODEL,
            "service_tier": "default",
            "system_fingerprint": "fp_5f0a3c9d21",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
            "usage": None,
        }
    )
