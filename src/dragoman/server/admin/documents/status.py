"""The gateway itself, and what it knows."""

from __future__ import annotations

from pydantic import Field, SecretStr

from dragoman.server.admin.documents.common import Given, Shown


class SignIn(Given):
    """A key to sign in with."""

    key: SecretStr = Field(min_length=1, max_length=512, description="An admin key.")


class SessionShown(Shown):
    """Who one is."""

    name: str = Field(description="The key's name.")
    key_id: str = Field(description="The key's id.")
    via: str = Field(description="`key` (sent with the request) or `session`.")
    csrf_token: str | None = Field(
        None, description="To be sent as `x-csrf-token` with every change by session."
    )
    ends_in: float | None = Field(None, description="Seconds until the session ends at the latest.")
    idles_out_in: float | None = Field(
        None, description="Seconds until it ends if nothing happens."
    )


class RequestCounts(Shown):
    """Clients' requests since the start, by how they ended."""

    ok: int = Field(description="Answered.")
    error: int = Field(description="Refused or failed.")
    broken: int = Field(description="Failed after content had left for the client.")
    left: int = Field(description="The client left before the end.")


class AttemptCounts(Shown):
    """What was sent to providers, over all channels."""

    total: int = Field(description="Since the start.")
    errors: int = Field(description="Those of them that failed.")
    in_flight: int = Field(description="Under way at this moment.")
    waiting: int = Field(description="Requests that wait for a free place at this moment.")


class ChannelCounts(Shown):
    """How many channels there are."""

    total: int = Field(description="All of them.")
    enabled: int = Field(description="Those that are switched on.")
    healthy: int = Field(description="Enabled, and with at least one credential that is well.")


class Status(Shown):
    """How the gateway is."""

    version: str = Field(description="Of the gateway.")
    uptime_seconds: float = Field(description="Since it was started.")
    draining: bool = Field(description="Whether it is shutting down and takes no new requests.")
    active_requests: int = Field(description="Clients' requests under way, streams included.")
    channels: ChannelCounts = Field(description="How many there are.")
    requests: RequestCounts = Field(description="Clients' requests, by how they ended.")
    attempts: AttemptCounts = Field(description="What was sent to providers.")


class Provider(Shown):
    """Someone whose models can be used."""

    id: str = Field(description="What a channel's `type` says.")
    title: str = Field(description="Its name for people.")
    aliases: list[str] = Field([], description="Other names for it.")
    protocols: dict[str, str] = Field({}, description="What it speaks, and at which base URL.")
    key_page: str = Field("", description="Where to get a key.")
    key_required: bool = Field(True, description="Whether it answers nobody without a key.")
    models: list[str] = Field([], description="Models that are known by name.")


class Providers(Shown):
    """The catalogue."""

    providers: list[Provider] = Field(description="The providers.")


class Model(Shown):
    """A model that the gateway lists."""

    id: str = Field(description="The name to ask for.")
    channels: list[str] = Field(description="The channels that serve it.")


class Models(Shown):
    """Every model that an enabled channel names, or its provider lists."""

    models: list[Model] = Field(description="The models.")
