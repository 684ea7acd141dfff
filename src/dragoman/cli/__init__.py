"""The command line: the composition root, and the only place that sees every room.

``dragoman --help`` must be quick, so the modules here import little, and each command imports what it
needs when it runs.
"""

from __future__ import annotations


def main() -> None:
    """The ``dragoman`` command."""
    from dragoman.cli.app import app  # noqa: PLC0415 - importing the package must cost nothing

    app(prog_name="dragoman")
