"""A change as it is asked for: some fields of a channel, a token or the settings. Pure.

null stands for a field's default. The mask stands for the secret that is set already: whoever shows a
channel masks its secrets, and gets the mask back from a person who changed something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dragoman.config.channels import Catalog, read_channel, resolve
from dragoman.config.checks import MASK
from dragoman.config.export import shown
from dragoman.config.load import read_settings
from dragoman.config.problems import Findings, Refusal
from dragoman.config.roster import Roster
from dragoman.config.schema import TOKEN, ChannelEntry, Settings, Token, read_fields
from dragoman.config.stored import token_of
from dragoman.governance.keys import VirtualKey
from dragoman.governance.users import DEFAULT_USER, User

KEY_FIELDS = tuple(name for name in TOKEN if name not in ("id", "key"))
"""What of a virtual key can be changed; the names are those of a token."""

Difference = dict[str, list[Any]]
"""Field → [before, after], secrets masked."""


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A raw channel or token with the changes made to it. Raises Refusal."""
    findings = Findings()
    result = dict(document)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = findings.check(name, _unmasked, name, value, document.get(name))
    findings.refuse()
    if changes.get("proxy_url", MASK) != MASK and "proxy_enabled" not in changes:
        result.pop("proxy_enabled", None)  # as where a channel is read: a proxy given is used
    return result


def _unmasked(name: str, value: Any, present: Any) -> Any:
    match name, value:
        case (("api_key" | "proxy_url"), str()) if value == MASK:
            return _kept(present)
        case "api_keys", list():
            return _kept_items(value, present if isinstance(present, list) else [])
        case "oauth", dict():
            return _kept_secret(value, present if isinstance(present, dict) else {})
        case "headers", dict():
            return _kept_headers(value, present if isinstance(present, dict) else {})
    return value


def _kept_items(value: list[Any], present: list[Any]) -> list[Any]:
    """A mask keeps the item of its place, null takes it out: so the others keep theirs."""
    kept = dict(enumerate(dict.fromkeys(present)))
    findings = Findings()
    items = [
        findings.check(place, _kept, kept.get(place)) if item == MASK else item
        for place, item in enumerate(value)
        if item is not None
    ]
    findings.refuse()
    return items


def _kept_secret(value: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    if value.get("client_secret") != MASK:
        return value
    findings = Findings()
    kept = findings.check("client_secret", _kept, present.get("client_secret"))
    findings.refuse()
    return {**value, "client_secret": kept}


def _kept_headers(value: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    kept = {name.casefold(): text for name, text in present.items()}
    findings = Findings()
    headers = {
        name: findings.check(name, _kept, kept.get(name.casefold())) if text == MASK else text
        for name, text in value.items()
    }
    findings.refuse()
    return headers


def _kept(present: Any) -> Any:
    if not present:
        raise Refusal(f"is {MASK!r}, which keeps the secret there is; but there is none")
    return present


def checked_settings(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as a file would have them, None for what goes back to its default. Raises Refusal."""
    defaults = shown(Settings(), Settings.__struct_fields__)
    filled = {name: defaults.get(name) if v is None else v for name, v in changes.items()}
    checked = shown(read_settings(filled), Settings.__struct_fields__)
    return {name: None if value is None else checked[name] for name, value in changes.items()}


def changed_settings(present: Mapping[str, Any], values: Mapping[str, Any]) -> Difference:
    """What it changes to put ``values`` (None: nothing) where ``present`` stands."""
    defaults = shown(Settings(), Settings.__struct_fields__)
    return {
        name: [present.get(name, defaults[name]), defaults[name] if value is None else value]
        for name, value in values.items()
        if present.get(name) != value
    }


def checked_channel(raw: Any, catalog: Catalog) -> ChannelEntry:
    """A channel that can be used, by the checks of a file. Raises Refusal."""
    entry = read_channel(raw)
    resolve(entry, catalog)
    return entry


def key_document(key: VirtualKey, users: Roster) -> dict[str, Any]:
    """What of a key can be changed, as a token has it in a file."""
    return shown(token_of(key, 0, users), KEY_FIELDS)


def changed_key(key: VirtualKey, changes: Mapping[str, Any], users: Roster) -> VirtualKey:
    """``key`` with the changes made to it. Raises Refusal."""
    present = key_document(key, users).items()
    document = merged({name: value for name, value in present if value is not None}, changes)
    fields = read_fields(document, {name: TOKEN[name] for name in KEY_FIELDS}, required=("name",))
    defaults = {
        field.name: _default(field)
        for field in msgspec.structs.fields(Token)
        if field.name in KEY_FIELDS and field.name not in ("name", "user")
    }
    user_id = users.of_field(fields.pop("user", DEFAULT_USER))
    return msgspec.structs.replace(key, **{**defaults, **fields, "user_id": user_id})


def key_difference(
    before: VirtualKey | None, after: VirtualKey | None, users: Roster
) -> Difference:
    """Where two keys differ, as ``difference`` has it."""
    one, other = (None if key is None else token_of(key, 0, users) for key in (before, after))
    return difference(one, other, KEY_FIELDS)


def difference(
    before: ChannelEntry | Settings | Token | User | None,
    after: ChannelEntry | Settings | Token | User | None,
    fields: tuple[str, ...] = (),
) -> Difference:
    """Where the two differ; None stands for what is not there, and against it only what is not a
    default counts. ``fields`` restricts it to these."""
    one = after if before is None else before
    assert one is not None
    found: Difference = {}
    for field in msgspec.structs.fields(one):
        if (fields and field.name not in fields) or field.name == "id":
            continue
        pair = [
            _default(field) if side is None else getattr(side, field.name)
            for side in (before, after)
        ]
        if pair[0] != pair[1]:
            found[field.name] = [
                None if side is None else shown(side, (field.name,))[field.name]
                for side in (before, after)
            ]
    return found


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if made else field.default
