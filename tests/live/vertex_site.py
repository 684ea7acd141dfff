"""A gateway set up for Vertex AI by environment variables alone, in front of the stand-in for Google."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tests.live.administered import ADMIN
from tests.support.clients.openai_chat import OpenAIChat
from tests.support.gateway import Gateway
from tests.support.google import Account, Call, Google

API_KEY = "vertex-gateway-key-0123456789"
EXPRESS_KEY = "AQ.express-key-canary-0123456789"
MODEL = "gemini-2.5-flash"


class Site:
    """A gateway in front of Google."""

    def __init__(self, google: Google, gateway: Gateway) -> None:
        self.google = google
        self.gateway = gateway
        self.chat = OpenAIChat(gateway.url, API_KEY)
        self.openai = self.chat.sdk

    @property
    def last(self) -> Call:
        """The newest request that Google let in."""
        return self.google.calls[-1]

    def say(self, model: str = MODEL, prompt: str = "Hello.", **options: Any) -> Any:
        """One chat completion through the SDK."""
        messages = [{"role": "user", "content": prompt}]
        return self.openai.chat.completions.create(model=model, messages=messages, **options)

    def who_answers(self, times: int, model: str = MODEL) -> Counter[str]:
        """How many of so many requests were made by whom."""
        before = len(self.google.calls)
        for _ in range(times):
            self.say(model)
        return Counter(call.who for call in self.google.calls[before:])


@contextlib.contextmanager
def serving(google: Google, environ: Mapping[str, str]) -> Iterator[Site]:
    """A gateway with these variables beside its own key and Google's address."""
    given = {"API_KEY": API_KEY, "DRAGOMAN_ADMIN_KEY": ADMIN, "VERTEX_BASE_URL": google.url}
    with Gateway(None, environ={**given, **environ}) as gateway:
        yield Site(google, gateway)


def accounts(google: Google) -> list[Account]:
    """The two that every test finds."""
    return list(google.tokens.accounts.values())[:2]


def no_secret(text: str, *of: Account) -> bool:
    """Whether no line of any private key is in ``text``."""
    lines = {line for account in of for line in account.private_key.splitlines()[1:-1]}
    return not any(line in text for line in lines if len(line) > 20)
