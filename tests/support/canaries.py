"""Secrets that can be found again: planted where a secret belongs, looked for where none may be.

A canary's core is sixteen hexadecimal digits. No encoding in use changes them but base64 and hexadecimal,
so a text is searched for the core, for its base64 at each of the three places where it may begin, and for
its bytes in hexadecimal. JSON, URLs and shells leave the core as it is.
"""

from __future__ import annotations

import base64
import secrets


class Canaries:
    """``plant`` gives a new canary; ``found`` names those that a text holds."""

    def __init__(self) -> None:
        self._cores: dict[str, str] = {}

    def plant(self, name: str, prefix: str = "sk-canary-") -> str:
        """A secret for the place ``name``; the same one for the same name."""
        core = self._cores.setdefault(name, secrets.token_hex(8))
        return f"{prefix}{core}-and+more/of_it"

    def watch(self, name: str, core: str) -> str:
        """Look for ``core`` as well, which was not made here."""
        self._cores[name] = core
        return core

    @property
    def names(self) -> set[str]:
        """Where canaries are planted."""
        return set(self._cores)

    def found(self, data: bytes | str, *, but: frozenset[str] = frozenset()) -> set[str]:
        """The places whose canaries are in ``data``, in whatever encoding; ``but`` may be."""
        raw = data.encode() if isinstance(data, str) else data
        return {
            name
            for name, core in self._cores.items()
            if name not in but and any(form in raw for form in _forms(core.encode()))
        }


def _forms(core: bytes) -> list[bytes]:
    forms = [core, core.hex().encode(), core.hex().upper().encode()]
    for shift in range(3):
        # What stands before and after spoils the first and the last group of four.
        encoded = base64.b64encode(b"\0" * shift + core)
        forms.append(encoded[4 if shift else 0 :].rstrip(b"=")[:-1])
    return [*forms, *(form.replace(b"+", b"-").replace(b"/", b"_") for form in forms[3:])]
