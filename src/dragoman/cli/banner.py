"""What ``serve`` says when it is ready: where it is, what it has, and a line to try it with."""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

from dragoman import __version__
from dragoman.config.checks import is_loopback
from dragoman.config.environment import API_KEY
from dragoman.runtime import DEMO_MODEL

if TYPE_CHECKING:
    from dragoman.runtime import Runtime

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104
_SHOWN_CHANNELS = 8


def banner(runtime: Runtime, new_key: str | None) -> str:
    """The whole text. ``new_key`` was made just now and is shown here, once."""
    state = runtime.state
    lines = [
        f"Dragoman {__version__} is ready.",
        "",
        f"  Address   {'  '.join(addresses(state.settings.host, state.settings.port))}",
        f"  Channels  {_channels(runtime)}",
        f"  Models    {_models(runtime)}",
        f"  Keys      {_keys(runtime)}",
        f"  Dashboard {_dashboard(runtime)}",
        f"  Data      {runtime.data_dir.resolve()}",
    ]
    if runtime.store.is_remote:
        away = " (cannot be reached just now)" if runtime.outage.is_known else ""
        lines.append(f"  Database  {runtime.store.place}{away}")
    lines.append("")
    if new_key is not None:
        lines += [
            "  Your first key. It is kept only as a digest and never shown again:",
            "",
            f"    {new_key}",
            "",
        ]
    if runtime.demo_key is not None:
        lines += [
            f"  Demonstration: the model '{DEMO_MODEL}' answers without any provider. For trying",
            "  out only; the key in the line below is good for it alone and ends with this process.",
            "",
        ]
    lines += ["  Try it:", "", f"    {curl(runtime, new_key)}", ""]
    lines += [f"  ! {warning}" for warning in runtime.assembly.warnings]
    if not state.channels:
        lines += [
            "  ! No channel is configured yet: dragoman channels add --type openai",
            "    (a running gateway notices), or set OPENAI_API_KEY and the like and start again.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def addresses(host: str, port: int) -> list[str]:
    """Where the gateway is reached: from here, and from other machines if it listens to them."""
    if host not in _WILDCARDS:
        return [_url(host, port)]
    found = [_url("localhost", port)]
    if (outward := _outward_address(host)) is not None:
        found.append(_url(outward, port))
    return found


def curl(runtime: Runtime, new_key: str | None) -> str:
    """A command line ready to be pasted; it answers at once with the demonstration channel."""
    settings = runtime.state.settings
    url = addresses(settings.host, settings.port)[0] + "/v1/chat/completions"
    body = {"model": _model(runtime), "messages": [{"role": "user", "content": "Hello!"}]}
    parts = ["curl", url]
    if settings.require_auth:
        parts += ["-H", f'"Authorization: Bearer {_shown_key(runtime, new_key)}"']
    parts += ["-H", '"Content-Type: application/json"', "-d", shlex.quote(json.dumps(body))]
    return " ".join(parts)


def _model(runtime: Runtime) -> str:
    if runtime.demo_key is not None:
        return DEMO_MODEL
    for channel in runtime.state.channels:
        provider = runtime.catalog.get(channel.provider)
        names = (*channel.models, *channel.aliases, *(provider.models if provider else ()))
        if channel.enabled and names:
            return names[0]
    return "MODEL"


def _shown_key(runtime: Runtime, new_key: str | None) -> str:
    """Only a key that is new is written out; the others are known to their owners alone."""
    if shown := new_key or runtime.demo_key:
        return shown
    ids = {key.id for key in runtime.assembly.keys}
    return f"${API_KEY}" if "environment" in ids else "YOUR_KEY"


def _channels(runtime: Runtime) -> str:
    named = [f"{one.entry.name} ({one.source})" for one in runtime.assembly.channels]
    if runtime.demo_key is not None:
        named.append("demo")
    more = len(named) - _SHOWN_CHANNELS
    listed = ", ".join(named[:_SHOWN_CHANNELS]) + (f" and {more} more" if more > 0 else "")
    return f"{len(named)}: {listed}" if named else "none"


def _models(runtime: Runtime) -> str:
    enabled = [channel for channel in runtime.state.channels if channel.enabled]
    named = {name for channel in enabled for name in (*channel.models, *channel.aliases)}
    whole = [c.name for c in enabled if not c.models and not c.aliases]
    parts = [f"{len(named)} by name"] if named or not whole else []
    if whole:
        parts.append(f"every model of {', '.join(whole[:_SHOWN_CHANNELS])}")
    return ", and ".join(parts)


def _keys(runtime: Runtime) -> str:
    now = time.time()
    places = Counter(
        _place_of_key(key.id, runtime)
        for key in runtime.assembly.keys
        if key.refusal(now) is None and not key.admin
    )
    if runtime.demo_key is not None:
        places["demonstration"] += 1
    if not places:
        return "none (make one: dragoman keys create NAME)"
    listed = ", ".join(f"{count} from the {place}" for place, count in places.items())
    return f"{places.total()} usable: {listed}"


def _dashboard(runtime: Runtime) -> str:
    """Where it is, and who gets in: admin keys open it and no model, so they count apart."""
    settings, now = runtime.state.settings, time.time()
    url = addresses(settings.host, settings.port)[0] + "/admin"
    admins = sum(key.admin and key.refusal(now) is None for key in runtime.assembly.keys)
    if not admins:
        return f"{url}  (no admin key yet; make one: dragoman keys create NAME --admin)"
    return f"{url}  ({admins} admin key{'s' if admins > 1 else ''})"


def _place_of_key(key_id: str, runtime: Runtime) -> str:
    if key_id.isdecimal():
        return "database"
    return f"file {runtime.config_path}" if key_id.startswith("file-") else "environment"


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _outward_address(host: str) -> str | None:
    """This machine's address on its network. Connecting a UDP socket sends nothing; it only asks
    the system which way it would go."""
    family, target = (
        (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    )
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if is_loopback(found) or found in _WILDCARDS else found
