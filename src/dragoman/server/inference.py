"""Answering the inference routes: read, decode, hand to the engine."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

from dragoman.canonical.errors import NotFound
from dragoman.engine.call import Call
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.engine.side_calls import SideAnswer
from dragoman.governance.principal import Principal
from dragoman.protocols.base import EmbeddingCodecs, Target
from dragoman.server.answer import AsgiAnswer, RawHeaders, Receive, Scope
from dragoman.server.body import header, read_body
from dragoman.server.client_watch import ClientWatch
from dragoman.server.gateway import Gateway, check_model
from dragoman.server.models import Models, list_models, show_model
from dragoman.server.routes import Operation, Route, protocol_of

_NO_TARGET = Target()


class Incoming:
    """An authenticated request whose body has not been read."""

    __slots__ = ("answer", "id", "principal", "receive", "scope")

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

    @property
    def headers(self) -> RawHeaders:
        headers: RawHeaders = self.scope["headers"]
        return headers

    async def body(self) -> bytes:
        """The whole body; raises as ``read_body``."""
        return await read_body(self.headers, self.receive)


class Inference:
    """One method per operation."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def answer(self, route: Route, incoming: Incoming) -> None:
        """Answer an authenticated request. Raises GatewayError while nothing was sent."""
        match route.operation:
            case Operation.GENERATE:
                await self._generate(route, incoming)
                return
            case Operation.EMBED:
                side = await self._embed(route, incoming)
            case Operation.COUNT_TOKENS:
                side = await self._count(route, incoming)
            case _:
                side = self._models(route, incoming)
        ids = {"x-request-id": incoming.id, "inference-id": incoming.id}
        await incoming.answer.whole(200, {**JSON_HEADERS, **ids, **side.headers}, side.body)

    async def _generate(self, route: Route, incoming: Incoming) -> None:
        started = time.monotonic()
        body = await incoming.body()
        protocol = self._gateway.pipeline.protocols[route.protocol]
        parsed = protocol.parse_request(body, _target(route, incoming))
        check_model(incoming.principal, parsed.model)
        call = Call(
            id=incoming.id,
            protocol=protocol,
            parsed=parsed,
            principal=incoming.principal,
            strict=header(incoming.headers, b"dragoman-strict") == "true",
            started=started,
        )
        watch = ClientWatch(incoming.receive, incoming.answer)
        try:
            await self._gateway.pipeline.generate(
                call,
                self._gateway.routing,
                incoming.answer,
                fallback=self._gateway.policy.enable_fallback,
            )
        finally:
            watch.stop()

    async def _embed(self, route: Route, incoming: Incoming) -> SideAnswer:
        codecs = self._embedding_codecs(route)
        request = codecs.decode_request(await incoming.body(), _target(route, incoming))
        check_model(incoming.principal, request.model)
        return await self._gateway.side_calls.embed(
            codecs, request, incoming.principal, self._gateway.routing
        )

    def _embedding_codecs(self, route: Route) -> EmbeddingCodecs:
        protocol = self._gateway.pipeline.protocols[route.protocol]
        codecs = protocol.embedding_forms.get(route.verb, protocol.embeddings)
        if codecs is None:
            raise NotFound(f"{protocol.title} has no embeddings.")
        return codecs

    async def _count(self, route: Route, incoming: Incoming) -> SideAnswer:
        protocol = self._gateway.pipeline.protocols[route.protocol]
        if protocol.token_count is None:
            raise NotFound(f"{protocol.title} has no token count.")
        body = await incoming.body()
        request = protocol.token_count.decode_request(body, _target(route, incoming))
        check_model(incoming.principal, request.model)
        return await self._gateway.side_calls.count_tokens(
            protocol.token_count, request, protocol, incoming.principal, self._gateway.routing
        )

    def _models(self, route: Route, incoming: Incoming) -> SideAnswer:
        scope = incoming.scope
        names = frozenset(name for name, _ in incoming.headers)
        protocol = route.protocol or protocol_of(scope["path"], names)
        models = _visible(self._gateway.routing.models(), incoming.principal)
        if route.operation is Operation.SHOW_MODEL:
            assert route.model is not None
            return SideAnswer(body=show_model(models, protocol, route.model), headers={})
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        return SideAnswer(body=list_models(models, protocol, query), headers={})


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


def _target(route: Route, incoming: Incoming) -> Target:
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
