"""What Hugging Face checks of a provider's model every six hours, and what its contract asks for beside
that. Source: huggingface/hub-docs ``docs/inference-providers/register-as-a-provider.md``, "Automatic
validation" and "Billing".
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from dragoman.cli.hf_samples import SAMPLES, token_text
from dragoman.cli.remote import Answer, NoAnswer, Site

FIRST_TOKEN_SECONDS = 5.0
WHOLE_SECONDS = 30.0
BILLING_SECONDS = 10.0
"""How long costs are waited for; Hugging Face asks every minute, for half an hour."""
_PAUSE_SECONDS = 0.25
_HEADER = "inference-id"
_BILLING = "/hf/billing"

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
_TOOL = {
    "name": "get_weather",
    "description": "The weather of a city at this moment.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """How a check went: ``ok`` None is something to know that Hugging Face does not refuse. ``mend`` is
    what to do."""

    name: str
    ok: bool | None
    found: str
    mend: str = ""


class Checks:
    """The checks of one model at one site, for the task it is to be registered for."""

    def __init__(self, site: Site, model: str, task: str) -> None:
        """``task`` is one of SAMPLES."""
        self._site = site
        self._model = model
        self._task = task
        self._sample = SAMPLES[task]
        self._answers: list[Answer] = []

    async def all(self) -> list[Finding]:
        """Every check that the task has. If nobody answers at all, that is the only finding."""
        findings: list[Finding] = []
        try:
            async for one in self._each():
                findings.append(one)  # noqa: PERF401 - those before a failure are to be kept
        except NoAnswer as error:
            findings.append(
                Finding(
                    name="reachable",
                    ok=False,
                    found=str(error),
                    mend=f"Nobody answers at {self._site.base_url}: start the gateway, or name its "
                    "address with --url.",
                )
            )
        return findings

    async def _each(self) -> AsyncIterator[Finding]:
        listed = await self._listed()
        yield self._pricing(listed)
        if self._sample.streamed:
            yield _context_length(listed)
        yield await self._whole()
        if self._sample.streamed:
            yield await self._stream()
        if self._task == "conversational":
            yield await self._tool_call()
            yield await self._structured()
        await self._ask("POST", "/v1/chat/completions", {"model": "", "messages": []})
        yield self._ids()
        yield await self._billing()

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        answer = await self._site.ask(method, path, body)
        self._answers.append(answer)
        return answer

    async def _listed(self) -> dict[str, Any] | None:
        """The model as the list has it."""
        body = (await self._ask("GET", "/v1/models")).json()
        rows = body.get("data") if isinstance(body, dict) else None
        found = (
            row
            for row in (rows if isinstance(rows, list) else [])
            if isinstance(row, dict) and row.get("id") == self._model
        )
        return next(found, None)

    def _pricing(self, listed: dict[str, Any] | None) -> Finding:
        name = "pricing in /v1/models"
        if listed is None:
            status = self._answers[-1].status
            why = "the model is not in the list" if status == 200 else f"HTTP {status}"
            mend = (
                "Name a model of 'dragoman models' that the key may use."
                if status == 200
                else "Name a key that works with --key (dragoman keys create NAME)."
            )
            return Finding(name=name, ok=False, found=why, mend=mend)
        pricing = listed.get("pricing")
        table = pricing if isinstance(pricing, dict) else {}
        rates = [table.get(side) for side in ("input", "output")]
        if all(_is_amount(rate, (int, float)) for rate in rates):
            return Finding(
                name=name, ok=True, found=f"${rates[0]} in, ${rates[1]} out per million tokens"
            )
        return Finding(
            name=name,
            ok=False,
            found="no price" if pricing is None else "not {input, output} in numbers",
            mend=f"Set one: dragoman prices set CHANNEL {self._model} --input USD --output USD",
        )

    async def _whole(self) -> Finding:
        name = "answer"
        path, body = self._sample.request(self._model)
        answer = await self._ask("POST", path, body)
        if failure := _failure(name, answer):
            return failure
        if wrong := self._sample.unreadable(answer):
            return Finding(
                name=name,
                ok=False,
                found=wrong,
                mend="The official JavaScript client refuses the answer: the upstream does not keep to "
                "the protocol. Try another channel for the model (dragoman explain).",
            )
        late = not self._sample.streamed and answer.seconds >= WHOLE_SECONDS
        return Finding(
            name=name,
            ok=not late,
            found=f"readable, after {answer.seconds:.1f} s",
            mend=f"It must be there within {WHOLE_SECONDS:g} s: use a faster upstream."
            if late
            else "",
        )

    async def _stream(self) -> Finding:
        name = "first token"
        path, body = self._sample.request(self._model, stream=True)
        answer = await self._ask("POST", path, body)
        if failure := _failure(name, answer):
            return failure
        first: float | None = None
        for at, data in answer.events:
            if data == b"[DONE]":
                continue
            event = _decoded(data)
            if not isinstance(event, dict):
                return Finding(name=name, ok=False, found="an event is no JSON object", mend=_ODD)
            if first is None and token_text(event):
                first = at
        if first is None:
            found = "no token came" if answer.events else "the answer is no text/event-stream"
            return Finding(name=name, ok=False, found=found, mend=_ODD)
        late = first >= FIRST_TOKEN_SECONDS
        return Finding(
            name=name,
            ok=not late,
            found=f"after {first:.1f} s",
            mend=f"It must come within {FIRST_TOKEN_SECONDS:g} s: use a faster upstream, or keep the "
            "model loaded."
            if late
            else "",
        )

    async def _tool_call(self) -> Finding:
        name = "tool call"
        answer = await self._chat(
            "What is the weather in Paris? Use the tool get_weather.",
            tools=[{"type": "function", "function": _TOOL}],
            tool_choice="auto",
        )
        if failure := _failure(name, answer):
            return failure
        calls = _message(answer).get("tool_calls")
        call = calls[0].get("function") if isinstance(calls, list) and calls else None
        wrong = ""
        if not isinstance(call, dict) or call.get("name") != _TOOL["name"]:
            wrong = "the model did not call the tool"
        else:
            given = _decoded(call.get("arguments"))
            if not isinstance(given, dict) or not isinstance(given.get("city"), str):
                wrong = "the arguments do not fit the tool's schema"
        mend = "Serve the model by an upstream that supports tools for it." if wrong else ""
        return Finding(
            name=name,
            ok=not wrong,
            found=wrong or f"get_weather in {answer.seconds:.1f} s",
            mend=mend,
        )

    async def _structured(self) -> Finding:
        name = "structured output"
        answer = await self._chat(
            "Of which country is Paris the capital? Answer in JSON.",
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "place", "schema": _SCHEMA, "strict": True},
            },
        )
        if failure := _failure(name, answer):
            return failure
        value = _decoded(_message(answer).get("content"))
        fits = (
            isinstance(value, dict)
            and set(value) == {"city", "country"}
            and all(isinstance(text, str) for text in value.values())
        )
        return Finding(
            name=name,
            ok=fits,
            found="fits the schema" if fits else "the answer does not fit the JSON schema",
            mend=""
            if fits
            else "Serve the model by an upstream that supports JSON schemas for it.",
        )

    async def _chat(self, text: str, **more: Any) -> Answer:
        messages = [{"role": "user", "content": text}]
        body = {"model": self._model, "messages": messages, "max_tokens": 1024, **more}
        return await self._ask("POST", "/v1/chat/completions", body)

    def _ids(self) -> Finding:
        ids = [answer.headers.get(_HEADER, "") for answer in self._answers]
        bad = sum(not _is_uuid(text) for text in ids)
        if not bad and len({*ids}) == len(ids):
            return Finding(name="Inference-Id", ok=True, found=f"on all {len(ids)} answers")
        found = f"{bad} of {len(ids)} answers have no UUID in it" if bad else "ids come twice"
        return Finding(
            name="Inference-Id",
            ok=False,
            found=found,
            mend="Something before the gateway takes the header away: let it through. Hugging Face can "
            "bill no request without it.",
        )

    async def _billing(self) -> Finding:
        name = "billing endpoint"
        served = [one for one in self._answers if one.status < 400][1:]  # not the list of models
        ids = [text for one in served if (text := one.headers.get(_HEADER))]
        if not ids:
            return Finding(name=name, ok=False, found="nothing was served that could be billed")
        unknown = str(uuid.uuid4())
        end = time.monotonic() + BILLING_SECONDS
        while True:
            answer = await self._site.ask("POST", _BILLING, {"requestIds": [*ids, unknown]})
            if failure := _failure(name, answer):
                return failure
            costs = _costs(answer)
            if costs is None or unknown in costs:
                what = (
                    "costs for a request that nobody made" if costs else "not the documented form"
                )
                return Finding(name=name, ok=False, found=what, mend=_NOT_OURS)
            missing = [one for one in ids if one not in costs]
            if not missing:
                total = sum(costs[one] for one in ids)
                return Finding(
                    name=name, ok=True, found=f"{len(ids)} requests, {total} nano-USD in all"
                )
            if time.monotonic() >= end:
                return Finding(
                    name=name,
                    ok=False,
                    found=f"{len(missing)} of {len(ids)} requests have no cost",
                    mend="What has no price is never billed: set one (dragoman prices set). The key "
                    "must be of the user who made the requests.",
                )
            await asyncio.sleep(_PAUSE_SECONDS)


_ODD = "The stream is not readable for the official clients. Something before the gateway may change it."
_NOT_OURS = f"What answers at {_BILLING} is not this gateway's billing endpoint."


def _context_length(listed: dict[str, Any] | None) -> Finding:
    length = (listed or {}).get("context_length")
    if _is_amount(length, (int,)) and length:
        return Finding(name="context length", ok=True, found=f"{length} tokens")
    return Finding(
        name="context length",
        ok=None,
        found="not in /v1/models",
        mend="Hugging Face asks for it and serves the model without it. The gateway lists what the "
        "provider's own list of models tells, or its shipped data.",
    )


def _failure(name: str, answer: Answer) -> Finding | None:
    if answer.status == 200:
        return None
    mends = {
        401: "Name a key that works with --key.",
        403: "The key may not use this model (dragoman keys).",
        404: "The gateway has no such model or route: see 'dragoman models'.",
    }
    mend = mends.get(answer.status, "See why: dragoman requests")
    return Finding(name=name, ok=False, found=f"HTTP {answer.status}: {answer.said()}", mend=mend)


def _message(answer: Answer) -> dict[str, Any]:
    body = answer.json()
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    return message if isinstance(message, dict) else {}


def _costs(answer: Answer) -> dict[str, int] | None:
    """Nano-USD by request id; None if the answer is not of the documented form."""
    body = answer.json()
    if not isinstance(body, dict) or "requests" not in body:
        return None
    rows = body["requests"]
    if rows is None:  # nothing yet
        return {}
    if not isinstance(rows, list) or not all(
        isinstance(row, dict)
        and isinstance(row.get("requestId"), str)
        and _is_amount(row.get("costNanoUsd"), (int,))
        for row in rows
    ):
        return None
    return {row["requestId"]: row["costNanoUsd"] for row in rows}


def _decoded(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _is_amount(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool) or type(value) not in kinds:
        return False
    return bool(value >= 0)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
