"""What is wrong with a change, in the terms of ``server.admin.contract``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dragoman.config.problems import Refusal
from dragoman.server.admin.contract import ChangeRefused, NameIsTaken, NoSuchEntry, Storage
from dragoman.store.errors import NameTaken, NoSuchRow, StoreError


@contextmanager
def in_words() -> Iterator[None]:
    """Raise what the configuration's and the store's own exceptions mean."""
    try:
        yield
    except Refusal as refusal:
        raise ChangeRefused(*refusal.problems) from None
    except NameTaken as error:
        raise NameIsTaken(str(error)) from None
    except NoSuchRow as error:
        raise NoSuchEntry(str(error)) from None
    except StoreError as error:
        raise Storage(str(error)) from None


def really_changed(
    changes: Mapping[str, Any], shown: Mapping[str, Any], read_only: Collection[str]
) -> dict[str, Any]:
    """The changes without what is sent back as it was shown, masks as well. Raises ChangeRefused for
    a new value of a field that cannot be changed."""
    # Compared as text, where 1 is not true.
    wanted = {
        name: value
        for name, value in changes.items()
        if name not in shown or json.dumps(value) != json.dumps(shown[name])
    }
    if fixed := [name for name in wanted if name in read_only]:
        raise ChangeRefused(*((name, "cannot be changed") for name in fixed))
    return wanted
