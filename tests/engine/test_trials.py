"""Requests of the gateway's own, at channels whose provider wants something done first."""

from __future__ import annotations

import asyncio
import json

import pytest

from dragoman.canonical.secret import Secret
from dragoman.cli.wiring import profile_of
from dragoman.engine.opening import Openings
from dragoman.engine.probe import check_credential, probe_channel
from dragoman.protocols.registry import protocol
from dragoman.routing.channel import Channel, Endpoint
from tests.engine.scripted import Script, ScriptedTransport
from tests.support.google_accounts import Account

ACCOUNT = Account("one", 1)
TOKEN = Script(b'{"access_token":"ya29.t","expires_in":3600}')
COUNT = Script(b'{"totalTokens":3}')
ANSWER = Script(
    b'{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}],'
    b'"modelVersion":"m-1"}'
)


def channel_to(account: Account) -> Channel:
    return Channel(
        id=1,
        name="vertex",
        provider="vertex",
        endpoints=(Endpoint("gemini_generate", "https://vertex.test"),),
        credentials=(Secret(json.dumps(account.document("https://token.test/"))),),
        opener="dragoman.providers.vertex:open_vertex",
    )


@pytest.mark.parametrize("model", [None, "gemini-2.5-flash"])
def test_a_trial_has_a_token_and_sends_no_private_key(model: str | None) -> None:
    transport = ScriptedTransport([TOKEN, ANSWER if model else COUNT])
    channel = channel_to(ACCOUNT)
    result = asyncio.run(
        probe_channel(
            channel,
            protocol("gemini_generate"),
            Openings(transport),
            model=model,
            profile_of=profile_of,
            credential=channel.first_credential,
        )
    )
    assert result.ok, result
    token, trial = transport.requests
    assert token.url == "https://token.test/"
    assert trial.headers["authorization"] == "Bearer ya29.t"
    assert ACCOUNT.private_key.splitlines()[1] not in repr((token, trial))


def test_trials_share_the_tokens_of_the_requests() -> None:
    transport = ScriptedTransport([TOKEN, COUNT, COUNT])
    channel = channel_to(ACCOUNT)

    async def twice() -> None:
        openings = Openings(transport)
        for _ in range(2):
            await check_credential(
                channel, protocol("gemini_generate"), openings, channel.first_credential
            )

    asyncio.run(twice())
    assert [one.url for one in transport.requests].count("https://token.test/") == 1
