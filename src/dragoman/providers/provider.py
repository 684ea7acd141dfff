"""A provider: an upstream vendor or kind of server, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Provider(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One row of ``catalog.toml``.

    ``protocols`` maps protocol ids to base URLs, preferred first; a channel that sets its own base
    URL is assumed to speak the first only. ``env_key`` and ``env_base_url`` name the environment
    variables that configure it, first match wins. ``credential_header`` empty means the protocol's
    own. ``models`` is the list shown where the provider lists none. ``drops`` and ``quirks`` go to
    ``protocols.base.ModelProfile`` by way of ``profiles``; ``key_page`` is where a person gets a key.
    ``opener`` names what must be done before an answer can be had (``providers.opening``), as
    ``module:function``. ``aliases`` are other names that people and older configurations use for it.
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
