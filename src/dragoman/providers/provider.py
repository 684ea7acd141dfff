"""A provider: an upstream vendor or kind of server, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.canonical.naming import Naming


class Provider(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One row of ``catalog.toml``.

    ``protocols`` maps protocol ids to base URLs, preferred first; a channel that sets its own base
    URL is assumed to speak the first only. ``env_key`` and ``env_base_url`` name the environment
    variables that configure it, first match wins. ``credential_header`` empty means the protocol's
    own. ``models`` is the list shown where the provider lists none. ``drops`` and ``quirks`` go to
    ``protocols.base.ModelProfile`` by way of ``profiles``; ``key_page`` is where a person gets a key.
    ``opener`` names what must be done before an answer can be had (``providers.opening``), as
    ``module:function``. ``aliases`` are other names that people and older configurations use for it.

    ``base_path`` is added to a channel's base URL that has no path: its variable holds less than the
    API's address. A protocol with an empty URL has no address but the channel's. ``model_patterns``
    (globs, in lower case) say which models it is likely to have, for as long as its list is not known;
    ``lists_models`` is false where the list is not of what may be asked for. ``client_headers`` are
    passed on from a client's request. ``timeout`` is for channels that set none, and
    ``loading_seconds`` the longest wait for a model that the provider is loading. ``missing`` is said
    to a client that asks for the provider when no channel reaches it. ``price_list`` says how its list of
    models writes prices (``price_listing.WAYS``), empty if it has none.

    ``naming`` tells what else its models are called (``canonical.naming``); ``key_naming`` is the same
    for a channel without a JSON object (a service account) among its credentials, and a row writes
    there what differs.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    protocols: Mapping[str, str] = {}
    env_key: tuple[str, ...] = ()
    env_base_url: tuple[str, ...] = ()
    key_required: bool = True
    key_page: str = ""
    credential_header: str = ""
    models: tuple[str, ...] = ()
    drops: frozenset[str] = frozenset()
    quirks: Mapping[str, Any] = {}
    opener: str = ""
    base_path: str = ""
    model_patterns: tuple[str, ...] = ()
    lists_models: bool = True
    client_headers: tuple[str, ...] = ()
    timeout: float | None = None
    loading_seconds: float = 10.0
    missing: str = ""
    price_list: str = ""
    naming: Naming | None = None
    key_naming: Naming | None = None
