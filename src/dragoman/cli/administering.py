"""Changing the configuration from the command line: by way of the same administration as the admin
API, so that every change is checked, audited, and written where it belongs."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from dragoman.cli.options import with_runtime
from dragoman.cli.output import CommandFailed

if TYPE_CHECKING:
    from dragoman.runtime import Options, Runtime
    from dragoman.runtime.administration import Administrator
    from dragoman.server.admin.contract import Actor


class Desk:
    """What a command works with."""

    def __init__(self, runtime: Runtime) -> None:
        from dragoman.runtime.administration import Administrator  # noqa: PLC0415 - not for --help
        from dragoman.server.admin.contract import Actor  # noqa: PLC0415

        self.runtime: Runtime = runtime
        self.admin: Administrator = Administrator(runtime)
        self.actor: Actor = Actor(name=user_name(), via="cli")


def administer(options: Options, work: Callable[[Desk], Coroutine[Any, Any, None]]) -> None:
    """Open the runtime, do ``work`` with its administration, close it. Raises ConfigurationRefused for
    a change that is not valid, CommandFailed for one that cannot be made."""
    from dragoman.config.problems import ConfigurationRefused, Problem  # noqa: PLC0415
    from dragoman.server.admin.contract import (  # noqa: PLC0415
        ChangeRefused,
        NameIsTaken,
        NoSuchEntry,
        NotEditable,
        Storage,
    )

    async def run(runtime: Runtime) -> None:
        try:
            await work(Desk(runtime))
        except ChangeRefused as error:
            problems = [Problem(path, message) for path, message in error.problems]
            raise ConfigurationRefused("The change", problems) from None
        except (NameIsTaken, NoSuchEntry, NotEditable, Storage) as error:
            raise CommandFailed(str(error)) from None

    with_runtime(options, run)


def user_name() -> str:
    """Who sits at the terminal, as the system knows them."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        return "unknown"
