"""A Gradio server, read out of its ``/config`` and ``/info``."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from dragoman.canonical.errors import UpstreamBroken, UpstreamMisconfigured
from dragoman.canonical.parts import Json
from dragoman.protocols.gradio.types import (
    Component,
    Config,
    Dependency,
    EndpointInfo,
    Info,
    Parameter,
)
from dragoman.protocols.wire_json import read_upstream

_CONFIG = msgspec.json.Decoder(Config, strict=False)
_INFO = msgspec.json.Decoder(Info, strict=False)
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")

# Wordings of the queue: until 4.8 a call has to be handed over in the middle of the stream.
_TOO_OLD = frozenset({"", "ws", "sse"})
_QUEUE = frozenset({"sse_v1", "sse_v2", "sse_v2.1", "sse_v3"})
_FIRST_WITH_CANCEL = (4, 37)  # before it, /reset does the same

_PROPS = ("minimum", "maximum", "step", "precision", "choices")
_MOST_DOORS = 100
# Components that hold no argument of their own (gradio_client before 4.30; later "skip_api").
_HIDDEN = frozenset(
    {"state", "row", "column", "tabs", "tab", "tabitem", "box", "form", "accordion", "group"}
    | {"interpretation", "dataset"}
)


class Slot(msgspec.Struct, kw_only=True, frozen=True):
    """One place in a call's list of arguments.

    ``hidden`` ones belong to the server and are sent as null. ``key`` is the argument's name (or its
    label, made a name), ``type`` its JSON type, ``props`` what the component was built with.
    ``multimodal``: an object of text and files. ``messages`` is what a history is made of: messages
    whose content is a ``text`` or a list of ``parts``, or ``pairs``.
    """

    hidden: bool = False
    key: str = ""
    label: str = ""
    component: str = ""
    type: str = ""
    multimodal: bool = False
    messages: Literal["pairs", "text", "parts"] = "pairs"
    has_default: bool = False
    default: Json = None
    props: dict[str, Json] = {}

    @property
    def shown(self) -> str:
        """The name for people."""
        return self.key or self.label or self.component or "?"


class Door(msgspec.Struct, kw_only=True, frozen=True):
    """A named endpoint. ``name`` begins with a slash; ``returns`` are its results' components, in
    lower case."""

    name: str
    fn_index: int
    slots: tuple[Slot, ...]
    returns: tuple[str, ...]


class Site(msgspec.Struct, kw_only=True, frozen=True):
    """A server and what can be called there. ``queued``: the queue's dialect is one we know, else
    only the simpler API is used; ``cancel`` is the path that ends a job."""

    version: str
    prefix: str
    queued: bool
    cancel: str
    doors: tuple[Door, ...]


def read_config(body: bytes, base: str, *, ours: bool) -> Config:
    """``/config`` of the server at ``base``. ``ours``: it is the operator's own.

    Raises UpstreamBroken for what is no configuration, or one that would lead elsewhere, and
    UpstreamMisconfigured for a Gradio that is too old.
    """
    config = read_upstream(body, _CONFIG, "configuration")
    if not config.version and not config.dependencies:
        raise UpstreamMisconfigured("This is no Gradio server: its /config is something else.")
    if not _PREFIX.fullmatch(config.api_prefix or ""):
        raise UpstreamBroken("The Gradio server's configuration names an API outside of itself.")
    # Behind a proxy of one's own a server knows itself by another name; on the Hub it does not.
    if not ours and config.root and _host(config.root) not in (None, _host(base)):
        raise UpstreamBroken("The Gradio server's configuration points to another host.")
    if config.protocol in _TOO_OLD:
        raise UpstreamMisconfigured(
            f"The Gradio app runs version {config.version[:20]}, which is too old to be called: "
            "4.9 or newer is needed."
        )
    return config


def read_site(config: Config, info_body: bytes) -> Site:
    """The server with its endpoints. Raises UpstreamBroken."""
    info = read_upstream(info_body, _INFO, "API description")
    components = {component.id: component for component in config.components}
    doors = []
    for index, dependency in enumerate(config.dependencies):
        name = f"/{dependency.api_name}" if isinstance(dependency.api_name, str) else ""
        if (endpoint := info.named_endpoints.get(name)) is None:
            continue
        slots = _slots(dependency, endpoint, components)
        if slots is None:
            continue  # what it takes cannot be told
        doors.append(
            Door(
                name=name,
                fn_index=index if dependency.id is None else dependency.id,
                slots=slots,
                returns=tuple(one.component.lower() for one in endpoint.returns),
            )
        )
    return Site(
        version=config.version[:20],
        prefix=(config.api_prefix or "").rstrip("/"),
        queued=config.protocol in _QUEUE,
        cancel="/cancel" if _numbers(config.version) >= _FIRST_WITH_CANCEL else "/reset",
        doors=tuple(doors[:_MOST_DOORS]),
    )


def as_key(name: str) -> str:
    """``Top-p (nucleus sampling)`` → ``top_p_nucleus_sampling``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _slots(
    dependency: Dependency, endpoint: EndpointInfo, components: dict[int, Component]
) -> tuple[Slot, ...] | None:
    """The arguments in order, hidden ones among them; None if the two descriptions differ."""
    described = iter(endpoint.parameters)
    slots: list[Slot] = []
    for id in dependency.inputs:
        component = components.get(id)
        if component is None:
            return None
        if component.skip_api or component.type in _HIDDEN:
            slots.append(Slot(hidden=True))
        elif (parameter := next(described, None)) is not None:
            slots.append(_slot(parameter, component))
        else:
            return None
    return None if next(described, None) else tuple(slots)


def _slot(parameter: Parameter, component: Component) -> Slot:
    props = component.props or {}
    schema = parameter.type if isinstance(parameter.type, dict) else {}
    has_default, default = parameter.parameter_has_default, parameter.parameter_default
    if parameter.parameter_name is None:  # an old version: what a browser would show
        default = props.get("value")
        has_default = default is not None
    label = parameter.label or ""
    return Slot(
        key=as_key(parameter.parameter_name or label),
        label=label,
        component=parameter.component.lower(),
        type=kind if isinstance(kind := schema.get("type"), str) else "",
        multimodal=_is_multimodal(parameter, schema),
        messages=_messages(schema),
        has_default=has_default,
        default=default,
        props={name: props[name] for name in _PROPS if name in props},
    )


def _is_multimodal(parameter: Parameter, schema: dict[str, Json]) -> bool:
    properties = schema.get("properties")
    shaped = isinstance(properties, dict) and {"text", "files"} <= properties.keys()
    return shaped or parameter.component.lower() == "multimodaltextbox"


def _messages(schema: Json) -> Literal["pairs", "text", "parts"]:
    """What a history's schema says of its messages: none until version 5, texts in version 5, lists of
    parts in version 6."""
    left = [schema]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            properties = found.get("properties")
            if isinstance(properties, dict) and {"role", "content"} <= properties.keys():
                content = properties["content"]
                is_list = isinstance(content, dict) and content.get("type") == "array"
                return "parts" if is_list else "text"
            left += found.values()
        elif isinstance(found, list):
            left += found
    return "pairs"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version[:20])[:2])


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return ""
