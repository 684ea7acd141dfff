"""Answering the inference routes: read, decode, hand to the engine."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qsl

import msgspec

from dragoman.canonical.errors import GatewayError, NotFound
from dragoman.engine.bill import Bill
from dragoman.engine.call import Call
from dragoman.engine.gateway_usage import Tail
from dragoman.engine.journey import Journey
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.engine.planning import Wish
from dragoman.engine.records import Trace
from dragoman.engine.side_calls import SideAnswer
from dragoman.engine.stay import Demand
from dragoman.governance.principal import Principal
from dragoman.governance.tokens import quick_count
from dragoman.protocols.base import EmbeddingCodecs, Parsed, Target
from dragoman.protocols.hf_tasks import request as hf_tasks
from dragoman.protocols.hf_tasks.images import IMAGE_FORMS, take_defaults
from dragoman.routing.plan import Plan
from dragoman.server.answer import AsgiAnswer, RawHeaders, Receive, Scope
from dragoman.server.body import ClientLeft, header, read_body
from dragoman.server.client_watch import ClientWatch
from dragoman.server.directives import own_token, take_provider
from dragoman.server.gateway import Gateway, check_model
from dragoman.server.hub import answering_for, task_of_model
from dragoman.server.model_facts import FactsOfModels
from dragoman.server.models import Models, list_models, show_model
from dragoman.server.routes import Operation, Route, protocol_of

_NO_TARGET = Target()
_TELLS_CHARGES = "huggingface"
"""Clients that name this provider are told what they were charged, as its own gateway's were."""
_MOST_OF_AN_IMAGE = 6_240
"""Tokens of gpt-image-1's dearest image (platform.openai.com/docs/guides/image-generation)."""
_TELL_NAMES_ONLY = frozenset({"anthropic_messages", "gemini_generate"})
"""Protocols whose lists have no place for prices."""
_RECORDED = frozenset(
    {Operation.GENERATE, Operation.EMBED, Operation.COUNT_TOKENS, Operation.RUN_TASK}
)
_TASKS_BELOW_MODELS = {"openai_chat": "conversational", "openai_completions": "text-generation"}
"""What is asked for on the paths that Hugging Face's clients append to a model's address."""
_SESSION_HEADERS = frozenset(
    {
        b"x-session-affinity",
        b"session_id",
        b"session-id",
        b"x-session-id",
        b"x-claude-code-session-id",
    }
)


class Incoming:
    """An authenticated request whose body has not been read."""

    __slots__ = ("_sent", "answer", "id", "principal", "receive", "scope")

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        answer: AsgiAnswer,
        principal: Principal,
        request_id: str,
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.answer = answer
        self.principal = principal
        self.id = request_id
        self._sent: bytes | None = None

    @property
    def headers(self) -> RawHeaders:
        headers: RawHeaders = self.scope["headers"]
        return headers

    async def body(self) -> bytes:
        """The whole body; raises as ``read_body``."""
        if self._sent is None:
            self._sent = await read_body(self.headers, self.receive)
        return self._sent


class Inference:
    """One method per operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._facts = FactsOfModels(gateway)

    async def answer(self, route: Route, incoming: Incoming) -> None:
        """Answer an authenticated request. Raises GatewayError while nothing was sent."""
        if route.operation not in _RECORDED:
            side = await self._models(route, incoming)
            ids = {"x-request-id": incoming.id, "inference-id": incoming.id}
            await incoming.answer.whole(200, {**JSON_HEADERS, **ids, **side.headers}, side.body)
            return
        journey = Journey(id=incoming.id, protocol=route.protocol, started=time.monotonic())
        trace = Trace(journey, route.operation.value)
        if self._gateway.tracing is not None:
            self._gateway.tracing.begin(incoming.id, incoming.headers)
        error: GatewayError | None = None
        left = False
        try:
            await self._recorded(route, incoming, trace)
        except GatewayError as failure:
            error = failure
            incoming.answer.about = {**journey.headers(), **self._limits(route, incoming)}
            raise
        except (asyncio.CancelledError, ClientLeft):
            left = True
            raise
        except Exception:  # a defect of ours, which the client shall not pay for as if it had left
            error = GatewayError("The gateway failed.")
            raise
        finally:
            if trace.bill is not None:
                trace.bill.close(left=left)
            self._record(trace, incoming, error, left=left)

    async def _recorded(self, route: Route, incoming: Incoming, trace: Trace) -> None:
        match route.operation:
            case Operation.GENERATE:
                await self._generate(route, incoming, trace)
                return
            case Operation.RUN_TASK:
                trace.operation = await self._task(route, incoming)
                route = msgspec.structs.replace(route, task=trace.operation)
                if route.task == "embedding":
                    side = await self._embed(route, incoming, trace)
                elif route.task == "image-generation":
                    side = await self._draw(route, incoming, trace)
                else:
                    await self._generate(route, incoming, trace)
                    return
            case Operation.EMBED:
                side = await self._embed(route, incoming, trace)
            case _:
                side = await self._count(route, incoming, trace)
        ids = {"x-request-id": incoming.id, "inference-id": incoming.id}
        await incoming.answer.whole(200, {**JSON_HEADERS, **ids, **side.headers}, side.body)

    async def _generate(self, route: Route, incoming: Incoming, trace: Trace) -> None:
        gateway = self._gateway
        sent = await incoming.body()
        body, provider = take_provider(sent, incoming.headers)
        protocol = gateway.pipeline.protocols[route.protocol]
        parsed = protocol.parse_request(body, _target(route, incoming))
        if route.form:
            parsed = self._mapped(route, parsed, incoming.principal)
        trace.model, trace.stream = parsed.model, parsed.stream
        self._keep_transcript(trace, incoming, sent)
        if not gateway.policy.rules.high_availability:
            check_model(incoming.principal, parsed.model)
        call = Call(
            protocol=protocol,
            parsed=parsed,
            principal=incoming.principal,
            strict=header(incoming.headers, b"dragoman-strict") == "true",
            trace=trace,
            caller_credential=own_token(incoming.headers),
            client_headers=incoming.headers,
        )
        session = parsed.session or _session(incoming.headers)
        provider = gateway.provider_id(provider)
        wish = Wish(parsed.model, session, parsed.previous, provider, any_model=True)
        plan = gateway.plan(trace.journey, wish, incoming.principal)
        demand = Demand(
            incoming.id,
            trace.operation,
            lambda: quick_count(body),
            parsed.max_output_tokens,
            parsed.answers,
        )
        call.bill = self._admit(demand, incoming, trace, plan)
        if gateway.policy.gateway_usage or provider == _TELLS_CHARGES:
            call.tail = Tail(array=parsed.target.framing == "json_array")
        call.limit_headers = self._limits(route, incoming)
        watch = ClientWatch(incoming.receive, incoming.answer)
        try:
            await gateway.pipeline.generate(call, plan, incoming.answer)
        finally:
            watch.stop()

    async def _task(self, route: Route, incoming: Incoming) -> str:
        """The task that is asked for: by the path, the model or the body."""
        if route.task:
            return route.task
        if route.form == "native":
            mapped = task_of_model(self._gateway, route.model or "")
            return mapped or hf_tasks.task_like(await incoming.body())
        return hf_tasks.task_in(await incoming.body())

    def _mapped(self, route: Route, parsed: Parsed, principal: Principal) -> Parsed:
        """The request for the model that answers for the one it names."""
        task = parsed.operation or _TASKS_BELOW_MODELS[route.protocol]
        answering = answering_for(self._gateway, parsed.model, task, principal)
        if parsed.operation:
            return hf_tasks.with_mapping(parsed, answering.model, answering.parameters)
        parsed.model = answering.model
        return parsed

    async def _embed(self, route: Route, incoming: Incoming, trace: Trace) -> SideAnswer:
        codecs = self._embedding_codecs(route)
        sent = await incoming.body()
        body, provider = take_provider(sent, incoming.headers)
        request = codecs.decode_request(body, _target(route, incoming))
        if route.form:
            principal = incoming.principal
            request.model = answering_for(self._gateway, request.model, route.task, principal).model
        plan = self._side_plan(Wish(request.model, provider=provider), incoming, trace, sent)
        demand = Demand(incoming.id, trace.operation, lambda: quick_count(body), max_output=0)
        bill = self._admit(demand, incoming, trace, plan)
        side = await self._gateway.side_calls.embed(codecs, request, trace, plan, bill)
        side.headers |= self._limits(route, incoming)
        return side

    async def _draw(self, route: Route, incoming: Incoming, trace: Trace) -> SideAnswer:
        form = IMAGE_FORMS[route.form]
        sent = await incoming.body()
        body, provider = take_provider(sent, incoming.headers)
        request = form.decode_request(body, _target(route, incoming))
        principal = incoming.principal
        answering = answering_for(self._gateway, request.model, route.task, principal)
        request.model = answering.model
        take_defaults(request, answering.parameters)
        plan = self._side_plan(Wish(request.model, provider=provider), incoming, trace, sent)
        demand = Demand(
            incoming.id, trace.operation, lambda: quick_count(body), _MOST_OF_AN_IMAGE, request.n
        )
        bill = self._admit(demand, incoming, trace, plan)
        side = await self._gateway.side_calls.image(form, request, trace, plan, bill)
        side.headers |= self._limits(route, incoming)
        return side

    def _admit(self, demand: Demand, incoming: Incoming, trace: Trace, plan: Plan) -> Bill:
        """Open the request's bill. Raises what limits and money do not allow."""
        accounting = self._gateway.accounting
        trace.bill = Bill(accounting, accounting.admit(demand, incoming.principal, plan), trace)
        return trace.bill

    def _limits(self, route: Route, incoming: Incoming) -> dict[str, str]:
        anthropic = route.protocol == "anthropic_messages"
        return self._gateway.accounting.headers(incoming.principal, anthropic=anthropic)

    def _embedding_codecs(self, route: Route) -> EmbeddingCodecs:
        protocol = self._gateway.pipeline.protocols[route.protocol]
        codecs = protocol.embedding_forms.get(route.verb or route.form, protocol.embeddings)
        if codecs is None:
            raise NotFound(f"{protocol.title} has no embeddings.")
        return codecs

    async def _count(self, route: Route, incoming: Incoming, trace: Trace) -> SideAnswer:
        protocol = self._gateway.pipeline.protocols[route.protocol]
        if protocol.token_count is None:
            raise NotFound(f"{protocol.title} has no token count.")
        sent = await incoming.body()
        body, provider = take_provider(sent, incoming.headers)
        request = protocol.token_count.decode_request(body, _target(route, incoming))
        plan = self._side_plan(Wish(request.model, provider=provider), incoming, trace, sent)
        demand = Demand(incoming.id, trace.operation, lambda: 0, max_output=0, charged=False)
        self._admit(demand, incoming, trace, plan)
        return await self._gateway.side_calls.count_tokens(
            protocol.token_count, request, protocol, trace.journey, plan
        )

    def _side_plan(self, wish: Wish, incoming: Incoming, trace: Trace, sent: bytes) -> Plan:
        """The plan of a request whose wish names the provider as the client does."""
        trace.model = wish.model
        self._keep_transcript(trace, incoming, sent)
        check_model(incoming.principal, wish.model)
        provider = self._gateway.provider_id(wish.provider)
        wish = msgspec.structs.replace(wish, provider=provider)
        return self._gateway.plan(trace.journey, wish, incoming.principal)

    def _keep_transcript(self, trace: Trace, incoming: Incoming, body: bytes) -> None:
        if self._gateway.policy.log_prompts:
            trace.body = body
            incoming.answer.keep()

    def _record(
        self, trace: Trace, incoming: Incoming, error: GatewayError | None, *, left: bool
    ) -> None:
        answer = incoming.answer
        if answer.kept:
            trace.answer = bytes(answer.kept)
        record = trace.record(
            incoming.principal,
            error,
            status=answer.status if error is None else error.status,
            left=left,
            now=time.monotonic(),
            unix_now=time.time(),
        )
        self._gateway.totals.count(record.outcome)
        self._gateway.record(record)

    async def _models(self, route: Route, incoming: Incoming) -> SideAnswer:
        scope = incoming.scope
        names = frozenset(name for name, _ in incoming.headers)
        protocol = route.protocol or protocol_of(scope["path"], names)
        models = _visible(self._gateway.routing.models(), incoming.principal)
        shown = models
        if route.operation is Operation.SHOW_MODEL:
            assert route.model is not None
            shown = {name: models[name] for name in (route.model,) if name in models}
        tells = protocol not in _TELL_NAMES_ONLY
        facts = await self._facts.of(shown, incoming.principal) if tells else {}
        if route.operation is Operation.SHOW_MODEL:
            assert route.model is not None
            return SideAnswer(body=show_model(models, protocol, route.model, facts), headers={})
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        return SideAnswer(body=list_models(models, protocol, query, facts), headers={})


def _visible(models: Models, principal: Principal) -> Models:
    """What the key may use: nobody is shown a name that would be refused."""
    return {
        name: usable
        for name, channels in models.items()
        if principal.may_use_model(name)
        and (
            usable := tuple(
                channel
                for channel in channels
                if principal.may_use_channel(channel.id, channel.name)
            )
        )
    }


def _session(headers: RawHeaders) -> str:
    """The conversation's name in a header, as Codex (``session_id``), opencode
    (``x-session-affinity``) and others send it."""
    for name, value in headers:
        if name in _SESSION_HEADERS:
            return value.decode("latin-1")[:200]
    return ""


def _target(route: Route, incoming: Incoming) -> Target:
    if route.protocol == "hf_tasks":
        return _task_target(route, incoming)
    if route.protocol == "anthropic_messages":
        betas = header(incoming.headers, b"anthropic-beta") or ""
        return Target(
            version=header(incoming.headers, b"anthropic-version"),
            betas=tuple(beta.strip() for beta in betas.split(",") if beta.strip()),
        )
    if route.model is None:
        return _NO_TARGET
    sse = not route.stream or b"alt=sse" in incoming.scope["query_string"]
    return Target(model=route.model, stream=route.stream, framing="sse" if sse else "json_array")


def _task_target(route: Route, incoming: Incoming) -> Target:
    """A stream is asked for in the body or in the query; its form by ``Accept``."""
    query = dict(parse_qsl(incoming.scope["query_string"].decode("latin-1")))
    accepted = header(incoming.headers, b"accept") or ""
    return Target(
        model=route.model,
        stream=query.get("stream", "").lower() in ("true", "1") or None,
        framing="ndjson" if "application/x-ndjson" in accepted else "sse",
        task=route.task,
        form=route.form,
    )
