"""How the functions that make calls become methods of both clients, seen by ``help()`` and editors."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any


def describe(method: Callable[..., Any], build: Callable[..., Any], answer: object = None) -> None:
    """Give ``method`` the name, the description and the arguments of ``build``. It returns ``answer``,
    or what the call's reader gives."""
    if answer is None:
        (answer,) = typing.get_args(typing.get_type_hints(build)["return"])
    signature = inspect.signature(build)
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = method.__qualname__ = build.__name__
    method.__doc__ = build.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[me, *signature.parameters.values()], return_annotation=answer
    )
