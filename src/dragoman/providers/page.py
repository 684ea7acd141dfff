"""``docs/providers.md``, written from the catalogue: ``python -m dragoman.providers.page``."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from dragoman.providers.catalog import load_catalog
from dragoman.providers.provider import Provider

_HEAD = """\
# Providers

Written by `make docs` from `src/dragoman/providers/catalog.toml`; change that file, not this one.

A channel's `type` is a provider's id, or one of the other names. With one of its variables in the
environment (or in `.env`) a provider becomes a channel by itself. A client may choose the provider, too:
`"provider": "huggingface"` in the body of any request, or the header `dragoman-provider`.
"""

_TAIL = """\
## One of your own

Whatever speaks one of these protocols is a channel of type `custom` with a `base_url` and a `protocol`.
To have it under a name of its own, with variables and quirks, write a row like those of the catalogue
into `providers.toml` in the data directory, or into a file that `DRAGOMAN_CATALOG` names:

```toml
[house]
name = "The house's own"
protocols.openai_chat = "https://llm.example.com/v1"
env_key = ["HOUSE_API_KEY"]
```

Under an id that exists, a row changes only the fields that it names. The file is read at the start.

## Who gets a model that no channel states

A channel without `models` takes any. Where several do, those come first whose provider lists the model;
as long as a list is not known, its provider's patterns stand in for it. Channels that are unlikely to
have the model stay as the last resort.

| id | patterns |
|---|---|
"""


def page(catalog: Mapping[str, Provider]) -> str:
    """The whole page, in Markdown."""
    rows = [
        "| id | provider | other names | protocols and base URLs | variables | key |",
        "|---|---|---|---|---|---|",
        *(_row(provider) for provider in catalog.values()),
    ]
    patterns = [
        f"| `{provider.id}` | {_code(provider.model_patterns)} |"
        for provider in catalog.values()
        if provider.model_patterns
    ]
    return "\n".join([_HEAD, *rows, "", _TAIL + "\n".join(patterns), ""])


def _row(provider: Provider) -> str:
    addresses = [
        f"`{protocol}` {url or 'your own'}" for protocol, url in provider.protocols.items()
    ]
    cells = (
        f"`{provider.id}`",
        provider.name,
        _code(provider.aliases),
        "<br>".join(addresses) or "any, at your own address",
        _code((*provider.env_key, *provider.env_base_url)),
        provider.key_page or "–",
    )
    return f"| {' | '.join(cells)} |"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


if __name__ == "__main__":
    sys.stdout.write(page(load_catalog()))
