"""What a Gradio server says about itself, and the question that is to be put to it.

Source: gradio 4.9 to 6.31, ``gradio/{routes,blocks,queueing}.py`` and ``gradio_client/client.py``.
Fields that one version has and another has not are optional here.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from dragoman.canonical.parts import Json, MediaKind

PROTOCOL_ID = "gradio"


class File(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A file of the conversation, in base64. ``where`` is its path in the request, for notes."""

    kind: MediaKind
    where: str = ""
    media_type: str | None = None
    name: str | None = None
    data: str


class Turn(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one side said."""

    role: Literal["user", "assistant"]
    text: str = ""
    files: list[File] = []


class Question(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The "body" that the codec writes: everything a Gradio app might take an interest in.

    No server reads it. Which arguments an app has is known only when it has been asked, so the
    provider's opener makes its call of this (``arguments``). ``settings`` are numbers under the
    names of ``roles``; ``thinking`` says whether it was switched on or off.
    """

    system: str = ""
    turns: list[Turn]
    settings: dict[str, float] = {}
    effort: str | None = None
    thinking: bool | None = None


class Component(msgspec.Struct):
    """A component of ``/config``. ``skip_api`` components have no place in ``/info``."""

    id: int
    type: str = ""
    props: dict[str, Json] | None = None
    skip_api: bool | None = None


class Dependency(msgspec.Struct):
    """A function of ``/config``; ``id`` is its index where older versions give none."""

    id: int | None = None
    api_name: str | bool | None = None
    inputs: list[int] = []
    outputs: list[int] = []


class Config(msgspec.Struct):
    """``GET /config``. ``api_prefix`` is ``/gradio_api`` from version 5 on."""

    version: str = ""
    protocol: str = ""
    api_prefix: str | None = None
    root: str | None = None
    dependencies: list[Dependency] = []
    components: list[Component] = []


class Parameter(msgspec.Struct):
    """One argument of an endpoint; before 4.2x it has a label only."""

    parameter_name: str | None = None
    label: str | None = None
    component: str = ""
    type: Any = None
    parameter_has_default: bool = False
    parameter_default: Json = None


class Return(msgspec.Struct):
    """One result of an endpoint."""

    label: str | None = None
    component: str = ""


class EndpointInfo(msgspec.Struct):
    """An endpoint of ``/info``."""

    parameters: list[Parameter] = []
    returns: list[Return] = []


class Info(msgspec.Struct):
    """``GET {api_prefix}/info``."""

    named_endpoints: dict[str, EndpointInfo] = {}
