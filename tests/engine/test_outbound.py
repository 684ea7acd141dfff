"""Base URLs as people write them."""

import pytest

from dragoman.engine.outbound import join_url


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        (
            "https://api.openai.com/v1",
            "/chat/completions",
            "https://api.openai.com/v1/chat/completions",
        ),
        (
            "https://api.openai.com/v1/",
            "/chat/completions",
            "https://api.openai.com/v1/chat/completions",
        ),
        ("https://api.anthropic.com", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://x.test/anthropic", "/v1/messages", "https://x.test/anthropic/v1/messages"),
        (
            "https://g.test",
            "/v1beta/models/m:generateContent",
            "https://g.test/v1beta/models/m:generateContent",
        ),
        (
            "https://g.test/v1",
            "/v1beta/models/m:generateContent",
            "https://g.test/v1/models/m:generateContent",
        ),
        ("http://localhost:11434", "/api/chat", "http://localhost:11434/api/chat"),
        ("http://localhost:11434/api", "/api/chat", "http://localhost:11434/api/chat"),
        (
            "https://api.z.ai/api/paas/v4",
            "/chat/completions",
            "https://api.z.ai/api/paas/v4/chat/completions",
        ),
    ],
)
def test_join_url(base: str, path: str, url: str) -> None:
    assert join_url(base, path) == url
