"""What the providers list: fetched for channels that state no models of their own, and of providers
whose lists hold prices; kept, and fetched again now and then."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import GatewayError, UpstreamBroken
from dragoman.engine import local
from dragoman.engine.opening import Openings
from dragoman.engine.probe import list_page
from dragoman.protocols.base import Protocol
from dragoman.providers.listing import MAX_MODELS, ListedModel, read_page
from dragoman.routing.channel import Channel

logger = logging.getLogger("dragoman.models")

_MAX_PAGES = 50
_RETRY_SECONDS = 60.0
_TURN_SECONDS = 1.0
_AT_ONCE = 4


def utc_day() -> str:
    """Today's ISO date."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


class _Entry(msgspec.Struct):
    """What is known of one channel's list. ``due`` is monotonic seconds, ``day`` the day of the latest
    fetch (ISO date), ``folded`` the names by their spelling without case."""

    channel: Channel
    due: float = 0.0
    models: Mapping[str, ListedModel] | None = None
    folded: Mapping[str, str] = {}
    day: str = ""
    broken_prices: tuple[str, ...] = ()


class ModelLists:
    """The lists of all channels. ``changed`` is called whenever one of them has."""

    def __init__(
        self,
        *,
        protocols: Mapping[str, Protocol],
        openings: Openings,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
        today: Callable[[], str] = utc_day,
    ) -> None:
        """``clock`` gives monotonic seconds, ``today`` an ISO date. Nothing is fetched while ``seconds``
        is 0."""
        self.seconds = 0.0
        self.changed = changed
        self._protocols = protocols
        self._openings = openings
        self._clock = clock
        self._today = today
        self._entries: dict[int, _Entry] = {}

    def configure(self, channels: Iterable[Channel]) -> None:
        """Take over a changed configuration; a list that was fetched with what is the same now
        stays."""
        before = self._entries
        self._entries = {}
        for channel in channels:
            has_use = not channel.models or channel.price_list
            if not channel.enabled or not has_use or not self._lists(channel):
                continue
            known = before.get(channel.id)
            same = known is not None and _way(known.channel) == _way(channel)
            if known is None or not same:
                known = _Entry(channel)
            known.channel = channel
            self._entries[channel.id] = known

    def lists(self, channel: Channel, model: str) -> bool | None:
        """Whether the provider lists ``model`` (a public name), or is known to have it; None if that is
        not known."""
        name = channel.upstream_model(model).casefold()
        if any(name == usual.casefold() for usual in channel.usual_models):
            return True
        entry = self._entries.get(channel.id)
        if entry is None or entry.models is None or channel.models:
            return None
        spellings = (name, _without_suffix(name), f"{name}:latest")  # the last is Ollama's
        return any(spelling in entry.folded for spelling in spellings)

    def listed(self, channel: Channel, model: str) -> ListedModel | None:
        """What the provider's list says of ``model`` (a public name); None if nothing."""
        models = self.models(channel)
        name = channel.upstream_model(model)
        return models.get(name) or models.get(_without_suffix(name))

    def offer(self, channel: Channel, upstream_model: str) -> tuple[ListedModel, str] | None:
        """What the provider's list says of a model (by the provider's own name, in any case), and the day
        it was fetched; None if nothing."""
        entry = self._entries.get(channel.id)
        if entry is None or entry.models is None:
            return None
        name = entry.folded.get(upstream_model.casefold())
        return None if name is None else (entry.models[name], entry.day)

    def models(self, channel: Channel) -> Mapping[str, ListedModel]:
        """The channel's list; empty if it is not known."""
        entry = self._entries.get(channel.id)
        return {} if entry is None or entry.models is None else entry.models

    async def run(self) -> None:
        """Fetch what is due, until cancelled."""
        while True:
            if self.seconds:
                await self.round()
            await asyncio.sleep(_TURN_SECONDS)

    async def round(self) -> None:
        """Fetch every list that is due."""
        now = self._clock()
        due = [entry for entry in self._entries.values() if entry.due <= now]
        if not due:
            return
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(entry: _Entry) -> bool:
            async with gate:
                return await self._fetch(entry)

        if any(await asyncio.gather(*(one(entry) for entry in due))):
            self.changed()

    async def _fetch(self, entry: _Entry) -> bool:
        """True if the list is another one now."""
        channel = entry.channel
        try:
            models = await self._all_pages(channel)
        except GatewayError as error:
            entry.due = self._clock() + min(_RETRY_SECONDS, self.seconds)
            logger.info("channel %r: its models are not known: %s", channel.name, error.message)
            return False
        entry.due = self._clock() + self.seconds
        entry.day = self._today()
        _tell_broken_prices(entry, models)
        if entry.models is not None and entry.models == models:
            return False
        entry.models = models
        entry.folded = {name.casefold(): name for name in models}
        logger.info("channel %r lists %d models", channel.name, len(models))
        return True

    async def _all_pages(self, channel: Channel) -> dict[str, ListedModel]:
        endpoint = channel.endpoints[0]
        protocol = self._protocols[endpoint.protocol]
        models: dict[str, ListedModel] = {}
        query = ""
        for _ in range(_MAX_PAGES):
            body = await list_page(channel, protocol, self._openings, query)
            page = read_page(body, channel.price_list)
            models |= {model.id: model for model in page.models}
            if not page.following or page.following == query or len(models) > MAX_MODELS:
                break
            query = page.following
        if not models:
            raise UpstreamBroken("The list of models is empty.")
        return models

    def _lists(self, channel: Channel) -> bool:
        endpoint = channel.endpoints[0]
        protocol = self._protocols[endpoint.protocol]
        is_listed = channel.lists_models and bool(protocol.models_path)
        return is_listed and not endpoint.base_url.startswith(local.SCHEME)


def _tell_broken_prices(entry: _Entry, models: Mapping[str, ListedModel]) -> None:
    """Say once which prices were left out."""
    broken = tuple(name for name, model in models.items() if model.broken_price)
    if broken and broken != entry.broken_prices:
        logger.warning(
            "channel %r: the prices of %d models in its list cannot be used and are left out, that of "
            "%r the first",
            entry.channel.name,
            len(broken),
            broken[0],
        )
    entry.broken_prices = broken


def _without_suffix(name: str) -> str:
    """``org/name:host`` and ``org/name:policy`` are ``org/name`` in the lists of who has such."""
    before, _, last = name.rpartition("/")
    return f"{before}/{last.partition(':')[0]}" if before else name


def _way(channel: Channel) -> tuple[Any, ...]:
    """What a list depends on."""
    return (
        channel.endpoints,
        channel.oauth or channel.credentials,  # a refresh token changes with use, its owner stays
        channel.proxy_url,
        channel.headers,
        channel.opener,
        channel.price_list,
    )
