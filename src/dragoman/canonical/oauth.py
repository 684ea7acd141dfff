"""How a refresh token becomes an access token."""

from __future__ import annotations

import msgspec

from dragoman.canonical.secret import Secret


class OAuth(msgspec.Struct, kw_only=True, frozen=True):
    """An operator's words on a token endpoint (RFC 6749, section 6). No vendor's client id is built in:
    most vendors keep theirs for their own programs."""

    token_url: str
    client_id: str = ""
    client_secret: Secret | None = None
    scope: str = ""
