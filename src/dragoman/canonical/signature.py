"""Opaque proofs of reasoning, and where they came from.

Providers sign or encrypt their reasoning (Anthropic ``signature`` and ``redacted_thinking.data``,
OpenAI ``encrypted_content``, Gemini ``thoughtSignature``) and refuse a later turn that lacks or
alters it. A signature is worth something only to the provider that made it, so it travels with its
origin. A client of another protocol carries it *sealed*: the value and its origin packed into one
base64 string that fits every protocol's signature field. Nothing is ever minted.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

_MAGIC = b"dragoman\x00sig"  # twelve bytes: a multiple of three keeps the base64 prefix constant
_PREFIX = base64.b64encode(_MAGIC).decode()
_PREFIX_BYTES = _PREFIX.encode()


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who produced something: protocol id, provider id, and the upstream's model name."""

    protocol: str
    provider: str = ""
    model: str = ""


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """An opaque value together with its origin."""

    value: str
    origin: Origin

    def belongs_to(self, protocol: str, provider: str = "") -> bool:
        """Whether this may be sent to ``provider`` over ``protocol``.

        An origin or a target without a provider (a client's own protocol says nothing about who
        answered) matches on the protocol alone.
        """
        if self.origin.protocol != protocol:
            return False
        return not provider or not self.origin.provider or self.origin.provider == provider


def seal(signature: Signature) -> str:
    """Pack a signature and its origin into one standard-base64 string."""
    packed = msgspec.json.encode(
        [
            signature.origin.protocol,
            signature.origin.provider,
            signature.origin.model,
            signature.value,
        ]
    )
    return base64.b64encode(_MAGIC + packed).decode()


def unseal(value: str, protocol: str) -> Signature:
    """Read a signature that a client of ``protocol`` sent back.

    A sealed value yields its true origin; any other value is native to the client's protocol.
    """
    if value.startswith(_PREFIX):
        try:
            fields = msgspec.json.decode(
                base64.b64decode(value, validate=True)[len(_MAGIC) :],
                type=tuple[str, str, str, str],
            )
        except (binascii.Error, msgspec.MsgspecError):
            return Signature(value, Origin(protocol))
        return Signature(fields[3], Origin(fields[0], fields[1], fields[2]))
    return Signature(value, Origin(protocol))


def carries_sealed(body: bytes) -> bool:
    """Whether ``body`` may hold a sealed signature: cheap enough to ask of every request that would
    otherwise be forwarded as it is."""
    return _PREFIX_BYTES in body


def for_client(signature: Signature, protocol: str) -> str:
    """The form in which a client of ``protocol`` should carry ``signature``: bare if it is native
    there, sealed otherwise."""
    return signature.value if signature.origin.protocol == protocol else seal(signature)
