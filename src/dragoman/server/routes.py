"""From a method and a path to what is asked of the gateway: one pure function.

Clients build paths in many ways (base URLs with and without a version, with a prefix per protocol,
Gemini in three spellings), so the rule is: take off a known prefix, take off a version, look at the
rest.
"""

from __future__ import annotations

import enum
import re

import msgspec

from dragoman.canonical.errors import MethodNotAllowed, RouteNotFound
from dragoman.protocols.hf_tasks.tasks import canonical_task


class Operation(enum.Enum):
    """What a route does."""

    GENERATE = "generate"
    EMBED = "embed"
    COUNT_TOKENS = "count_tokens"
    LIST_MODELS = "list_models"
    SHOW_MODEL = "show_model"
    ASK_COST = "ask_cost"
    SHOW_USAGE = "show_usage"
    BILL_REQUESTS = "bill_requests"
    RUN_TASK = "run_task"
    LIST_TASK_MODELS = "list_task_models"
    MAP_MODEL = "map_model"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved path. ``protocol`` decides how errors look even where the route is unknown. ``task`` and
    ``form`` are of the task API: none means that the body, or the model, tells the task."""

    operation: Operation
    protocol: str
    model: str | None = None
    stream: bool | None = None
    verb: str = ""
    task: str = ""
    form: str = ""


_PREFIXES = {
    "openai": "openai_chat",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_generate",
    "google": "gemini_generate",
    "genai": "gemini_generate",
    "ollama": "ollama_chat",
}
_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?")

_POST = {
    "chat/completions": (Operation.GENERATE, "openai_chat"),
    "completions": (Operation.GENERATE, "openai_completions"),
    "responses": (Operation.GENERATE, "openai_responses"),
    "responses/input_tokens": (Operation.COUNT_TOKENS, "openai_responses"),
    "embeddings": (Operation.EMBED, "openai_chat"),
    "messages": (Operation.GENERATE, "anthropic_messages"),
    "messages/count_tokens": (Operation.COUNT_TOKENS, "anthropic_messages"),
    "api/chat": (Operation.GENERATE, "ollama_chat"),
    "api/embed": (Operation.EMBED, "ollama_chat"),
}
_GET = {
    "models": Operation.LIST_MODELS,
    "api/tags": Operation.LIST_MODELS,
}
_HUGGING_FACE = "hf/"
"""How the paths of the task API begin, which has an error shape of its own for all of them."""
_TASKS = {
    "hf/tasks/billing/cost": (("POST",), Operation.ASK_COST),
    "hf/tasks/billing/usage": (("GET", "HEAD"), Operation.SHOW_USAGE),
    "hf/billing": (("POST",), Operation.BILL_REQUESTS),
    "hf/tasks/models": (("GET", "HEAD"), Operation.LIST_TASK_MODELS),
    "hf/tasks/models/map": (("POST",), Operation.MAP_MODEL),
}
_TASK = re.compile(r"^hf/tasks/(?P<task>[^/]+)$")
_NO_TASKS = frozenset({"billing"})
"""What has routes below it, but is none itself."""
_HUB_MODEL = re.compile(
    r"^hf/models/(?P<model>.+?)"
    r"(?:/pipeline/(?P<task>[^/]+)|/(?:v1/)?(?P<rest>chat/completions|completions))?$"
)
_GEMINI_VERBS = {
    "generateContent": (Operation.GENERATE, False),
    "streamGenerateContent": (Operation.GENERATE, True),
    "countTokens": (Operation.COUNT_TOKENS, None),
    "embedContent": (Operation.EMBED, None),
    "batchEmbedContents": (Operation.EMBED, None),
    "predict": (Operation.EMBED, None),
}
# Vertex AI puts the project, the location and the publisher before the model.
_VERTEX = re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/")
# huggingface_hub with a model URL appends the chat path to it and sends the model "dummy".
_MODEL_FIRST = re.compile(r"^models/(?P<model>.+?)/v1/(?P<rest>chat/completions|completions)$")


def resolve(method: str, path: str) -> Route:
    """Resolve a percent-decoded ``path``. Raises RouteNotFound or MethodNotAllowed."""
    prefix_protocol, rest = strip(path)
    if match := _MODEL_FIRST.match(rest):
        return _post(method, match["rest"], path, match["model"])
    if rest in _TASKS:
        methods, operation = _TASKS[rest]
        _require(method, methods, path)
        return Route(operation=operation, protocol="hf_tasks")
    if rest.startswith(_HUGGING_FACE):
        return _hugging_face(method, rest, path)
    vertex = _VERTEX.sub("", rest)
    if vertex.startswith(("models/", "tunedModels/")) and ":" in vertex:
        route = _gemini(method, vertex.partition("/")[2])
        if route is not None:
            return route
    if rest in _POST:
        return _post(method, rest, path, None)
    protocol = prefix_protocol or ("ollama_chat" if rest.startswith("api/tags") else "")
    if rest in _GET:
        _require(method, ("GET", "HEAD"), path)
        return Route(operation=_GET[rest], protocol=protocol)
    if method == "POST" and vertex.startswith("models/") and ":" in vertex:
        known = ", ".join(_GEMINI_VERBS)
        raise RouteNotFound(f"There is no route {_shown(path)}; a model knows {known}.")
    if vertex.startswith("models/") and len(vertex) > len("models/"):
        _require(method, ("GET", "HEAD"), path)
        return Route(
            operation=Operation.SHOW_MODEL, protocol=protocol, model=vertex[len("models/") :]
        )
    if rest.startswith("responses/"):
        raise RouteNotFound(
            "The gateway stores no responses: they cannot be fetched, cancelled or deleted later."
        )
    raise RouteNotFound(f"There is no route {method} {_shown(path)}.")


def strip(path: str) -> tuple[str, str]:
    """(protocol named by the path's prefix or empty, the path without prefix and version)."""
    segments = [segment for segment in path.split("/") if segment]
    protocol = ""
    if segments and segments[0] in _PREFIXES:
        protocol = _PREFIXES[segments.pop(0)]
    if segments and _VERSION.fullmatch(segments[0]):
        segments.pop(0)
        # Gemini's OpenAI-compatible base ends in /v1beta/openai.
        if segments and segments[0] == "openai":
            protocol = _PREFIXES[segments.pop(0)]
    return protocol, "/".join(segments)


def protocol_of(path: str, header_names: frozenset[bytes]) -> str:
    """Whose error shape to use when nothing else is known: by prefix, then headers, then path."""
    prefix_protocol, rest = strip(path)
    if prefix_protocol:
        return prefix_protocol
    if rest.startswith(_HUGGING_FACE):
        return "hf_tasks"
    if b"anthropic-version" in header_names or rest.startswith("messages"):
        return "anthropic_messages"
    if b"x-goog-api-key" in header_names or "v1beta" in path[:8] or ":" in rest:
        return "gemini_generate"
    if rest.startswith("responses"):
        return "openai_responses"
    if rest.startswith("api/"):
        return "ollama_chat"
    return "openai_chat"


def _hugging_face(method: str, rest: str, path: str) -> Route:
    """The task API's tasks, and its models with the routes that Hugging Face's own clients append."""
    if (match := _TASK.match(rest)) and match["task"] not in _NO_TASKS:
        _require(method, ("POST",), path)
        if match["task"] == "run":
            return Route(operation=Operation.RUN_TASK, protocol="hf_tasks", form="run")
        task = canonical_task(match["task"], "task")
        return Route(operation=Operation.RUN_TASK, protocol="hf_tasks", task=task, form="seed")
    if match := _HUB_MODEL.match(rest):
        if match["rest"]:
            route = _post(method, match["rest"], path, match["model"])
            return msgspec.structs.replace(route, form="native")
        _require(method, ("POST",), path)
        return Route(
            operation=Operation.RUN_TASK,
            protocol="hf_tasks",
            model=match["model"],
            task=canonical_task(match["task"], "task") if match["task"] else "",
            form="native",
        )
    raise RouteNotFound(f"There is no route {method} {_shown(path)}.")


def _post(method: str, rest: str, path: str, model: str | None) -> Route:
    _require(method, ("POST",), path)
    operation, protocol = _POST[rest]
    return Route(operation=operation, protocol=protocol, model=model)


def _gemini(method: str, name: str) -> Route | None:
    model, _, verb = name.rpartition(":")
    known = _GEMINI_VERBS.get(verb)
    if known is None or not model:
        return None
    _require(method, ("POST",), f"…:{verb}")
    operation, stream = known
    return Route(
        operation=operation, protocol="gemini_generate", model=model, stream=stream, verb=verb
    )


def _require(method: str, allowed: tuple[str, ...], path: str) -> None:
    if method not in allowed:
        raise MethodNotAllowed(f"{_shown(path)} takes {' or '.join(allowed)}, not {method}.")


def _shown(path: str) -> str:
    return path if len(path) <= 200 else path[:200] + "…"
