"""One request on its way through the gateway, and what is to be known of it afterwards."""

from __future__ import annotations

from dragoman.canonical.errors import GatewayError
from dragoman.canonical.events import Event, Finished, PartStart, Start, UsageUpdate
from dragoman.canonical.notes import Note, summary
from dragoman.canonical.request import Request
from dragoman.canonical.response import Finish, Response
from dragoman.canonical.usage import Usage
from dragoman.engine.flow import Flow
from dragoman.governance.principal import Principal
from dragoman.protocols.base import Parsed, Protocol
from dragoman.routing.channel import Channel, Endpoint


class Attempt:
    """One try at one channel."""

    __slots__ = ("channel", "endpoint", "error", "upstream_model")

    def __init__(self, channel: Channel, endpoint: Endpoint, upstream_model: str) -> None:
        self.channel = channel
        self.endpoint = endpoint
        self.upstream_model = upstream_model
        self.error: GatewayError | None = None


class Call:
    """State of one generation request. ``started`` and ``first_content`` are monotonic seconds."""

    __slots__ = (
        "_request",
        "attempts",
        "finish",
        "first_content",
        "flow",
        "id",
        "notes",
        "parsed",
        "principal",
        "protocol",
        "response_model",
        "started",
        "strict",
        "usage",
    )

    def __init__(
        self,
        *,
        id: str,
        protocol: Protocol,
        parsed: Parsed,
        principal: Principal,
        strict: bool,
        started: float,
    ) -> None:
        self.id = id
        self.protocol = protocol
        self.parsed = parsed
        self.principal = principal
        self.strict = strict or principal.strict
        self.started = started
        self.first_content: float | None = None
        self.attempts: list[Attempt] = []
        self.notes: list[Note] = []
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.response_model = ""
        self.flow: Flow | None = None
        self._request: Request | None = None

    @property
    def request(self) -> Request:
        """The canonical request, decoded when first needed: forwarding never needs it."""
        if self._request is None:
            self._request = self.protocol.decode_request(self.parsed)
        return self._request

    def attempt(self, channel: Channel, protocol: str) -> Attempt:
        """Begin a try at ``channel`` for a client of ``protocol``."""
        attempt = Attempt(
            channel, channel.endpoint_for(protocol), channel.upstream_model(self.parsed.model)
        )
        self.attempts.append(attempt)
        return attempt

    def seen(self, events: list[Event]) -> bool:
        """Take what is worth remembering off ``events``; True if they hold content."""
        content = False
        for event in events:
            if isinstance(event, UsageUpdate):
                self.usage = event.usage
            elif isinstance(event, Start):
                self.response_model = event.model or self.response_model
            elif isinstance(event, Finished):
                self.finish = event.finish
                content = True
            elif not isinstance(event, PartStart):
                content = True
        return content

    def answered(self, response: Response) -> None:
        """Remember what a whole answer says."""
        self.usage = response.usage
        self.response_model = response.model
        if response.choices:
            self.finish = response.choices[0].finish

    def headers(self) -> dict[str, str]:
        """What every answer to this call carries."""
        headers = {"x-request-id": self.id, "inference-id": self.id}
        if self.attempts:
            last = self.attempts[-1]
            headers["dragoman-channel"] = header_text(last.channel.name)
            headers["dragoman-model"] = header_text(last.upstream_model)
        if self.notes:
            headers["dragoman-translation"] = summary(self.notes)
        return headers


def header_text(text: str) -> str:
    """``text`` as a header value: visible ASCII only, anything else replaced."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)
