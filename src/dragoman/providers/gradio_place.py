"""Where a model's Gradio app runs, and whose credential goes there."""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from urllib.parse import urlsplit

from dragoman.canonical.errors import UpstreamMisconfigured, UpstreamModelMissing
from dragoman.canonical.secret import Secret
from dragoman.providers.gradio_config import (
    BadModelConfig,
    SpaceModel,
    is_server_url,
    is_space_id,
    read_spaces,
)
from dragoman.providers.opening import Draft

PUBLIC_HUB = "https://huggingface.co"
_HUB_HOSTS = frozenset({"huggingface.co", "hf.co", "www.huggingface.co"})
_TOKEN = "hf_"  # noqa: S105 - how tokens begin
SPACES_HOST = ".hf.space"


class Place(NamedTuple):
    """``space`` is an id on the ``hub``, or empty; then ``server`` is the app's own URL. ``named``: the
    operator has chosen it. ``strict``: wrong flags are an error, not a wish."""

    hub: str
    space: str
    server: str
    flags: str
    api_name: str
    named: bool
    strict: bool


class Bearer(NamedTuple):
    """A Hugging Face token. ``callers``: the client's own, not the channel's."""

    secret: Secret
    callers: bool

    @property
    def digest(self) -> str:
        """Stands for the token where it must not be kept."""
        return hashlib.sha256(self.secret.reveal().encode()).hexdigest()


def place_of(draft: Draft) -> Place:
    """Where ``draft.model`` runs. Raises UpstreamModelMissing, UpstreamMisconfigured."""
    hub, on_hub = hub_of(draft)
    spaces = _table(draft, "spaces")
    builtin = _table(draft, "builtin_spaces") if on_hub else {}
    model = draft.model.casefold()
    strict = model in spaces
    if (known := spaces.get(model) or builtin.get(model)) is not None:
        named = True
    else:
        named = draft.listed
        known = SpaceModel(space=_space_named(draft, on_hub=on_hub, known=[*spaces, *builtin]))
    is_url = "://" in known.space
    return Place(
        hub=hub,
        space="" if is_url else known.space,
        server=known.space.rstrip("/") if is_url else "",
        flags=known.flags,
        api_name=known.api_name,
        named=named,
        strict=strict,
    )


def hub_of(draft: Draft) -> tuple[str, bool]:
    """(the Hub's URL, whether the channel is one for it and not for a server of its own). The quirk
    ``hub`` names another, such as a mirror."""
    on_hub = urlsplit(draft.base_url).hostname in _HUB_HOSTS
    hub = str(draft.quirks.get("hub") or (draft.base_url if on_hub else PUBLIC_HUB))
    return hub.rstrip("/"), on_hub


def bearer_of(draft: Draft, place: Place) -> Bearer | None:
    """The token for ``place``: the caller's own before the channel's. The channel's does not go to a
    Space that only a client has named: its author could keep it. What a caller brings and is no token
    of Hugging Face's is somebody else's secret, and goes nowhere."""
    own = draft.caller_credential
    if own is not None and own.reveal().startswith(_TOKEN):
        return Bearer(own, callers=True)
    if draft.credential is not None and place.named:
        return Bearer(draft.credential, callers=False)
    return None


def may_have_token(url: str, hub: str) -> bool:
    """Whether a Hugging Face token may be sent to ``url``: to the Hub and to its Spaces only."""
    parts, home = urlsplit(url), urlsplit(hub)
    host = parts.hostname or ""
    if host == home.hostname:
        return parts.scheme == home.scheme
    return parts.scheme == "https" and host.endswith(SPACES_HOST)


def is_host_of_space(host: str, hub: str) -> bool:
    """Whether the Hub may name ``host`` as a Space's: the public one has them all in one domain."""
    if not is_server_url(host):
        return False
    if urlsplit(hub).hostname not in _HUB_HOSTS:
        return True  # a Hub of the operator's own choice
    parts = urlsplit(host)
    return parts.scheme == "https" and (parts.hostname or "").endswith(SPACES_HOST)


def _table(draft: Draft, quirk: str) -> dict[str, SpaceModel]:
    try:
        table = read_spaces(draft.quirks.get(quirk) or {})
    except BadModelConfig as error:
        raise UpstreamMisconfigured(f"The channel's {quirk}: {error}.") from None
    return {name.casefold(): model for name, model in table.items()}


def _space_named(draft: Draft, *, on_hub: bool, known: list[str]) -> str:
    """The Space or server that the model's own name stands for."""
    model = draft.model
    if is_server_url(model):
        if draft.listed:
            return model
        raise UpstreamModelMissing(
            "A Gradio server's address must be written into the channel; clients cannot choose one."
        )
    if is_space_id(model):
        return model
    if not on_hub:
        return draft.base_url
    hint = f" This channel knows {', '.join(known[:20])}." if known else ""
    raise UpstreamModelMissing(
        f"{model[:100]!r} is no model of this channel: a Space is named owner/name.{hint}"
    )
