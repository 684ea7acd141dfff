"""An entry and its provider's row become a channel that requests can be routed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dragoman.canonical.naming import Naming
from dragoman.canonical.secret import Secret
from dragoman.config.prices import operator_prices
from dragoman.config.problems import Findings, Problem, Refusal, suggestion
from dragoman.config.schema import CHANNEL, ChannelEntry, Settings, read_fields
from dragoman.protocols.registry import protocols
from dragoman.providers.catalog import find
from dragoman.providers.provider import Provider
from dragoman.routing.channel import Channel, Endpoint

_REWRITTEN = {"openai_chat.forwards": False}
_REFRESHES = "dragoman.providers.refresh_token:open_with_token"

Catalog = Mapping[str, Provider]

# These pass from the entry to the channel as they are.
_SHARED = (
    "id",
    "name",
    "models",
    "aliases",
    "enabled",
    "priority",
    "weight",
    "max_retries",
    "strict",
    "tags",
    "max_concurrency",
    "min_concurrency",
    "max_adaptive_concurrency",
    "response_time_low",
    "response_time_high",
    "error_rate_threshold",
    "increase_step",
    "decrease_factor",
    "stats_window_size",
    "cooldown_seconds",
)


def read_channel(raw: Any) -> ChannelEntry:
    """Check one channel of a configuration, all but what needs the catalogue. Raises Refusal."""
    fields = read_fields(raw, CHANNEL, required=("name", "type"))
    # Who writes a proxy and no switch wants it used.
    fields.setdefault("proxy_enabled", fields.get("proxy_url") is not None)
    entry = ChannelEntry(**{"id": 0, **fields})
    findings = Findings()
    if entry.response_time_low > entry.response_time_high:
        findings.add("response_time_low", "must not be above response_time_high")
    if entry.min_concurrency > entry.max_adaptive_concurrency:
        findings.add("min_concurrency", "must not be above max_adaptive_concurrency")
    if entry.proxy_enabled and entry.proxy_url is None:
        findings.add("proxy_url", "is missing, though proxy_enabled is true")
    findings.refuse()
    return entry


def resolve(
    entry: ChannelEntry,
    catalog: Catalog,
    default_timeout: float = Settings().default_timeout,
    proxy: Secret | None = None,
) -> Channel:
    """The routable channel. Raises Refusal.

    ``proxy`` is the shared one (``PROXY_URL``). It is for every channel without one of its own, be
    that for want of a ``proxy_url`` or because ``proxy_enabled`` is false: the switch turns the
    channel's own proxy off, not the shared one.
    """
    provider = provider_of(entry, catalog)
    _refuse_unusable_oauth(entry, provider)
    naming = _naming(entry, provider)
    return Channel(
        provider=provider.id,
        endpoints=_endpoints(entry, provider, catalog),
        credentials=_credentials(entry),
        # An access token is a bearer token (RFC 6750), whatever header the protocol has for keys.
        credential_header="authorization" if entry.oauth else provider.credential_header,
        timeout=entry.timeout or provider.timeout or default_timeout,
        proxy_url=entry.proxy_url if entry.proxy_enabled else proxy,
        headers={name: value.reveal() for name, value in entry.headers.items()},
        drops=provider.drops | frozenset(entry.drops),
        # What the operator wants dropped is to be dropped from requests that are passed on, as well.
        quirks={**provider.quirks, **(_REWRITTEN if entry.drops else {}), **entry.quirks},
        opener=_REFRESHES if entry.oauth else provider.opener,
        oauth=entry.oauth,
        usual_models=provider.models if naming is None else naming.listed(provider.models),
        naming=naming,
        # Behind an address of the operator's own may be any models.
        model_patterns=() if entry.base_url else provider.model_patterns,
        lists_models=provider.lists_models,
        client_headers=provider.client_headers,
        loading_seconds=provider.loading_seconds,
        price_list=provider.price_list,
        prices=operator_prices(entry.prices),
        **{name: getattr(entry, name) for name in _SHARED},
    )


def provider_of(entry: ChannelEntry, catalog: Catalog) -> Provider:
    """The row of the entry's type. Raises Refusal for an unknown one."""
    if (provider := find(catalog, entry.type)) is not None:
        return provider
    known = {*catalog, *(alias for row in catalog.values() for alias in row.aliases)}
    unknown = f"the provider {entry.type[:40]!r} is unknown{suggestion(entry.type, known)}"
    raise Refusal(Problem("type", unknown))


def lacks_key(entry: ChannelEntry, catalog: Catalog) -> bool:
    """Whether the provider will surely refuse the channel for want of a credential."""
    row = find(catalog, entry.type)
    return (
        row is not None
        and row.key_required
        and not (entry.api_key or entry.api_keys)
        and not entry.base_url
    )


def _refuse_unusable_oauth(entry: ChannelEntry, provider: Provider) -> None:
    if entry.oauth is None:
        return
    if provider.opener:
        raise Refusal(Problem("oauth", f"is not for {provider.id}, which signs in by itself"))
    if not _credentials(entry):
        raise Refusal(Problem("api_key", "is missing: with oauth, it is the refresh token"))


def _credentials(entry: ChannelEntry) -> tuple[Secret, ...]:
    listed = entry.api_keys if entry.api_key is None else (entry.api_key, *entry.api_keys)
    return tuple(dict.fromkeys(listed))


def _naming(entry: ChannelEntry, provider: Provider) -> Naming | None:
    credentials = _credentials(entry)
    if credentials and not any(one.reveal().startswith("{") for one in credentials):
        return provider.key_naming or provider.naming
    return provider.naming


_USUAL_PROTOCOL = "openai_chat"
"""What a server of one's own speaks, unless it is said: nearly all of them do."""


def _endpoints(entry: ChannelEntry, provider: Provider, catalog: Catalog) -> tuple[Endpoint, ...]:
    """What the channel speaks, and where.

    Without a word on it: what the provider's row says. An own base URL speaks one protocol only
    (``protocol``, else the row's first), because a proxy or a local server seldom has them all;
    ``protocols`` adds more, and a blank URL there means the same address.
    """
    _refuse_unknown(entry, catalog)
    row = provider.protocols or ({} if entry.protocols else {_USUAL_PROTOCOL: ""})
    first = entry.protocol or next(iter([*row, *entry.protocols]))
    given = entry.protocols.get(first, "")
    if entry.base_url and given not in ("", entry.base_url):
        raise Refusal(Problem(f"protocols.{first}", "differs from base_url, which is for it too"))

    plain = not entry.protocol and not entry.protocols
    if plain and (entry.base_url in ("", _cut(row.get(first, ""))) or not row.get(first)):
        urls = dict(row)
    elif plain and provider.opener and len(set(row.values())) == 1:
        urls = dict.fromkeys(row, entry.base_url)  # its opener makes the paths below any address
    else:
        urls = {first: entry.base_url or given} if entry.protocol or entry.base_url else {}
        for name, url in entry.protocols.items():
            urls.setdefault(name, url)
    return tuple(
        _endpoint(name, url or entry.base_url or row.get(name, ""), provider.base_path)
        for name, url in urls.items()
    )


def _endpoint(protocol: str, url: str, usual_path: str) -> Endpoint:
    if not url:
        raise Refusal(Problem("base_url", f"is missing; no address is known for {protocol}"))
    url = _cut(url)
    return Endpoint(protocol, url if urlsplit(url).path else url + usual_path)


def _refuse_unknown(entry: ChannelEntry, catalog: Catalog) -> None:
    named = {f"protocols.{name}": name for name in entry.protocols}
    if entry.protocol:
        named["protocol"] = entry.protocol
    known = {protocol for row in catalog.values() for protocol in row.protocols}
    if not known.issuperset(named.values()):
        # Installed packages may add more; importing them all is left to the rare case.
        known |= {name for name, one in protocols().items() if one.upstream_side}
    findings = Findings()
    for path, name in named.items():
        if name not in known:
            findings.add(path, f"is not a known protocol{suggestion(name, known)}")
    findings.refuse()


def _cut(url: str) -> str:
    return url.rstrip("/")
