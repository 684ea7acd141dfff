"""The gateway as an ASGI application.

Inference routes are resolved by one pure function (``routes.resolve``): nothing but a table look-up
and the client's key stands between the socket and the pipeline.
"""

from __future__ import annotations

import asyncio
import logging

from dragoman.canonical.errors import GatewayError, Unavailable, UpgradeRequired
from dragoman.engine.pipeline import JSON_HEADERS
from dragoman.server import status
from dragoman.server.admin.mount import AdminMount, is_admin_path
from dragoman.server.answer import AsgiAnswer, Receive, Scope, Send, raw_headers
from dragoman.server.billing import OPERATIONS, Billing, Bills
from dragoman.server.body import ClientLeft, check_headers
from dragoman.server.gateway import Gateway
from dragoman.server.idempotency import Idempotency
from dragoman.server.ids import new_id
from dragoman.server.inference import Incoming, Inference
from dragoman.server.routes import Operation, protocol_of, resolve
from dragoman.server.task_models import OPERATIONS as MODEL_OPERATIONS
from dragoman.server.task_models import TaskModels

logger = logging.getLogger("dragoman.server")


class App:
    """The ASGI callable."""

    def __init__(
        self,
        gateway: Gateway,
        admin: AdminMount | None = None,
        idempotency: Idempotency | None = None,
        bills: Bills | None = None,
        task_models: TaskModels | None = None,
    ) -> None:
        """``admin`` answers below ``/admin``; without it there is nothing there. Without
        ``idempotency``, an Idempotency-Key is ignored. ``bills`` is what users are shown of the
        books, ``task_models`` maps its models."""
        self._gateway = gateway
        self._task_models = task_models or TaskModels(gateway)
        self._inference = Inference(gateway)
        self._billing = Billing(gateway, bills)
        self._admin = admin
        self._idempotency = idempotency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._refuse_websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_id()
        answer = AsgiAnswer(send, request_id, head=scope["method"] == "HEAD")
        self._gateway.enter()
        try:
            if self._admin is not None and is_admin_path(scope["path"]):
                await self._admin(scope, receive, send)
            elif not await status.answer(self._gateway, scope, answer):
                await self._infer(scope, receive, answer, request_id)
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            # The client left and the watcher cancelled us; a cancellation from elsewhere must go on.
            if not answer.client_left:
                raise
        except GatewayError as error:
            await self._fail(scope, answer, error, request_id)
        except (
            Exception
        ):  # the last line of defence: a defect must not take the connection down bare
            logger.exception("request %s: unexpected failure", request_id)
            await self._fail(scope, answer, GatewayError("The gateway failed."), request_id)
        finally:
            self._gateway.leave()

    async def _infer(
        self, scope: Scope, receive: Receive, answer: AsgiAnswer, request_id: str
    ) -> None:
        headers = scope["headers"]
        check_headers(headers)
        route = resolve(scope["method"], scope["path"])
        if self._gateway.draining:
            raise Unavailable("The gateway is shutting down.", retry_after=1)
        if route.operation is Operation.MAP_MODEL:
            principal = self._task_models.admit(headers)
        else:
            principal = self._gateway.authenticate(headers, scope["query_string"])
        incoming = Incoming(scope, receive, answer, principal, request_id)
        if route.operation in OPERATIONS:
            await self._billing.answer(route, incoming)
            return
        if route.operation in MODEL_OPERATIONS:
            await self._task_models.answer(route, incoming)
            return
        keyed = self._idempotency
        if keyed is None or not keyed.concerns(route, headers):
            await self._inference.answer(route, incoming)
            return

        async def fail(error: GatewayError) -> None:
            await self._fail(scope, answer, error, request_id)

        await keyed.answer(route, incoming, self._inference.answer, fail)

    async def _fail(
        self, scope: Scope, answer: AsgiAnswer, error: GatewayError, request_id: str
    ) -> None:
        names = frozenset(name for name, _ in scope["headers"])
        name = protocol_of(scope["path"], names)
        reply = self._gateway.pipeline.protocols[name].encode_error(error, request_id)
        if answer.begun:
            return
        headers = {
            **dict(reply.headers),
            **answer.about,
            **error.headers,
            "inference-id": request_id,
        }
        if error.status in (413, 408):
            headers["connection"] = "close"  # the rest of the body is not going to be read
        await answer.whole(reply.status, headers, reply.body)

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Codex tries a WebSocket first; 426 sends it to HTTP at once, any other status only after
        seven attempts (measured 2026-11-20)."""
        await receive()
        protocol = self._gateway.pipeline.protocols["openai_responses"]
        error = UpgradeRequired("The gateway answers over HTTP, not over WebSocket.")
        request_id = new_id()
        reply = protocol.encode_error(error, request_id)
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 426,
                "headers": raw_headers({**JSON_HEADERS, "inference-id": request_id}),
            }
        )
        await send({"type": "websocket.http.response.body", "body": reply.body})
