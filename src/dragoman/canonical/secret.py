"""A secret that cannot print itself."""

from __future__ import annotations

from typing import Any, NoReturn


class Secret:
    """Wraps a credential. Printing, formatting, pickling or encoding it shows ``***`` or fails; only
    ``reveal()`` gives the text, and it is called where the secret leaves for its owner."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret text."""
        return self._value

    @property
    def hint(self) -> str:
        """Enough to recognise it by: the last four characters of a long secret."""
        return f"…{self._value[-4:]}" if len(self._value) >= 12 else "…"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not pickle")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self
