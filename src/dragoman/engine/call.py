"""One request on its way through the gateway, and what is to be known of it afterwards."""

from __future__ import annotations

import time

from dragoman.canonical.events import Event, Finished, PartStart, Start, UsageUpdate
from dragoman.canonical.notes import summary
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, Response
from dragoman.canonical.secret import Secret
from dragoman.engine.bill import Bill
from dragoman.engine.fetch import Fetched
from dragoman.engine.flow import Flow
from dragoman.engine.gateway_usage import Tail, into_object, member
from dragoman.engine.outbound import ClientHeaders
from dragoman.engine.planning import answer_name
from dragoman.engine.records import Trace
from dragoman.governance.principal import Principal
from dragoman.protocols.base import Parsed, Protocol


class Call:
    """State of one generation request; what the request log should know goes to ``trace``."""

    __slots__ = (
        "_request",
        "bill",
        "caller_credential",
        "client_headers",
        "fetched",
        "finish",
        "flow",
        "journey",
        "limit_headers",
        "parsed",
        "principal",
        "protocol",
        "response_id",
        "strict",
        "tail",
        "trace",
    )

    def __init__(
        self,
        *,
        protocol: Protocol,
        parsed: Parsed,
        principal: Principal,
        strict: bool,
        trace: Trace,
        caller_credential: Secret | None = None,
        client_headers: ClientHeaders = (),
    ) -> None:
        """``caller_credential`` is the client's own for the upstream, where a provider takes such."""
        self.protocol = protocol
        self.parsed = parsed
        self.principal = principal
        self.strict = strict or principal.strict
        self.trace = trace
        self.caller_credential = caller_credential
        self.client_headers = client_headers
        self.journey = trace.journey
        self.finish: Finish | None = None
        self.response_id = ""
        self.flow: Flow | None = None
        self.fetched: Fetched | None = None
        self.bill: Bill | None = None
        self.limit_headers: dict[str, str] = {}
        self.tail: Tail | None = None
        self._request: Request | None = None

    @property
    def request(self) -> Request:
        """The canonical request, decoded when first needed: forwarding never needs it."""
        if self._request is None:
            self._request = self.protocol.decode_request(self.parsed)
        return self._request

    def entitle(self, answer: Start | Response) -> None:
        """Give an answer the id and the time that its upstream left out: clients file it by them."""
        if not answer.id:
            answer.id = self.protocol.answer_prefix + self.journey.id.replace("-", "")
        if answer.created is None:
            answer.created = int(time.time())

    def seen(self, events: list[Event]) -> bool:
        """Take what is worth remembering off ``events``; True if they hold content."""
        if self.bill is not None:
            self.bill.produced.see(events)
        content = False
        for event in events:
            if isinstance(event, UsageUpdate):
                self.trace.usage = event.usage
            elif isinstance(event, Start):
                self.trace.response_model = event.model or self.trace.response_model
                self.response_id = event.id or self.response_id
            elif isinstance(event, Finished):
                self.finish = event.finish
                self.trace.finish = event.finish.reason.value
                content = True
            elif not isinstance(event, PartStart):
                content = True
        return content

    def answered(self, response: Response) -> None:
        """Remember what a whole answer says."""
        self.trace.usage = response.usage
        if self.bill is not None and (response.usage is None or not response.usage.total):
            self.bill.produced.see_response(response)
        self.trace.response_model = response.model
        self.response_id = response.id
        if response.choices:
            self.finish = response.choices[0].finish
            if self.finish is not None:
                self.trace.finish = self.finish.reason.value

    def settle(self) -> None:
        """Book the answer, before its last byte leaves."""
        if self.bill is not None:
            self.bill.settle()

    def last(self, data: bytes) -> bytes:
        """The last bytes of a stream, which has been settled, as they leave."""
        return data if self.tail is None else self.tail.finish(data, self._told())

    def whole(self, body: bytes) -> bytes:
        """A whole answer, which has been settled, as it leaves."""
        return body if self.tail is None else into_object(body, self._told())

    def _told(self) -> bytes:
        assert self.bill is not None, "charges are told of bills only"
        return member(self.bill, (time.monotonic() - self.journey.started) * 1000)

    def remember_answer(self, upstream: Protocol) -> None:
        """If the provider keeps the answer, the request that continues it must go there, too."""
        if upstream.keeps_answers and upstream is self.protocol and self.response_id:
            self.journey.sessions.append(answer_name(self.principal, self.response_id))

    def headers(self) -> dict[str, str]:
        """What every answer to this call carries."""
        journey, notes = self.journey, self.trace.notes
        headers = {
            "x-request-id": journey.id,
            "inference-id": journey.id,
            **journey.headers(),
        }
        if notes:
            headers["dragoman-translation"] = summary(notes)
        if self.bill is not None:
            headers |= self.bill.headers()
        if self.limit_headers:
            headers |= self.limit_headers
        return headers
