"""The paths that real clients build, and what each is taken for."""

import pytest

from dragoman.canonical.errors import InvalidRequest, MethodNotAllowed, RouteNotFound
from dragoman.server.routes import Operation, protocol_of, resolve

GEMINI = "gemini_generate"


@pytest.mark.parametrize(
    ("path", "operation", "protocol"),
    [
        ("/v1/chat/completions", Operation.GENERATE, "openai_chat"),
        ("/chat/completions", Operation.GENERATE, "openai_chat"),
        ("/openai/v1/chat/completions", Operation.GENERATE, "openai_chat"),
        ("/openai/chat/completions", Operation.GENERATE, "openai_chat"),
        ("/v1beta/openai/chat/completions", Operation.GENERATE, "openai_chat"),
        ("/v1//chat/completions", Operation.GENERATE, "openai_chat"),
        ("/v1/completions", Operation.GENERATE, "openai_completions"),
        ("/v1/responses", Operation.GENERATE, "openai_responses"),
        ("/v1/responses/input_tokens", Operation.COUNT_TOKENS, "openai_responses"),
        ("/v1/embeddings", Operation.EMBED, "openai_chat"),
        ("/v1/messages", Operation.GENERATE, "anthropic_messages"),
        ("/messages", Operation.GENERATE, "anthropic_messages"),
        ("/anthropic/v1/messages", Operation.GENERATE, "anthropic_messages"),
        ("/v1/messages/count_tokens", Operation.COUNT_TOKENS, "anthropic_messages"),
        ("/api/chat", Operation.GENERATE, "ollama_chat"),
    ],
)
def test_post_routes(path: str, operation: Operation, protocol: str) -> None:
    route = resolve("POST", path)
    assert (route.operation, route.protocol) == (operation, protocol)


@pytest.mark.parametrize("version", ["/v1", "/v1beta", "/v1alpha", "", "/gemini/v1beta", "/gemini"])
@pytest.mark.parametrize(
    ("verb", "operation", "stream"),
    [
        ("generateContent", Operation.GENERATE, False),
        ("streamGenerateContent", Operation.GENERATE, True),
        ("countTokens", Operation.COUNT_TOKENS, None),
        ("embedContent", Operation.EMBED, None),
        ("batchEmbedContents", Operation.EMBED, None),
    ],
)
@pytest.mark.row("S2-12")
def test_gemini_routes(version: str, verb: str, operation: Operation, stream: bool | None) -> None:
    route = resolve("POST", f"{version}/models/gemini-3-pro:{verb}")
    assert route.operation is operation
    assert (route.protocol, route.model, route.stream) == (GEMINI, "gemini-3-pro", stream)


@pytest.mark.parametrize(
    "path",
    [
        "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-3-pro:generateContent",
        "/v1beta1/publishers/google/models/gemini-3-pro:generateContent",
    ],
)
def test_vertex_form(path: str) -> None:
    assert resolve("POST", path).model == "gemini-3-pro"


def test_vertex_predict_is_embedding() -> None:
    route = resolve("POST", "/v1beta1/publishers/google/models/text-embedding-005:predict")
    assert (route.operation, route.verb) == (Operation.EMBED, "predict")


def test_model_names_may_hold_slashes_and_colons() -> None:
    route = resolve("POST", "/v1beta/models/org/name:fastest:generateContent")
    assert route.model == "org/name:fastest"


def test_model_before_the_chat_path_as_huggingface_hub_builds_it() -> None:
    route = resolve("POST", "/models/org/name/v1/chat/completions")
    assert (route.protocol, route.model) == ("openai_chat", "org/name")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1beta/models", "/openai/v1/models"])
@pytest.mark.row("S2-6")
def test_model_list(method: str, path: str) -> None:
    assert resolve(method, path).operation is Operation.LIST_MODELS


@pytest.mark.parametrize("name", ["gpt-5", "org/name", "org/name:fastest"])
def test_one_model(name: str) -> None:
    route = resolve("GET", f"/v1/models/{name}")
    assert (route.operation, route.model) == (Operation.SHOW_MODEL, name)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("PUT", "/v1/models"), ("DELETE", "/v1/messages")],
)
def test_wrong_method(method: str, path: str) -> None:
    with pytest.raises(MethodNotAllowed):
        resolve(method, path)


@pytest.mark.parametrize(
    "path", ["/v2/nothing", "/v1", "/v1/models/x:doSomething", "/" + "a" * 5000]
)
def test_unknown_route(path: str) -> None:
    with pytest.raises(RouteNotFound) as caught:
        resolve("POST", path)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/hf/tasks/billing/cost", Operation.ASK_COST),
        ("GET", "/hf/tasks/billing/usage", Operation.SHOW_USAGE),
        ("HEAD", "/hf/tasks/billing/usage/", Operation.SHOW_USAGE),
        ("POST", "/hf/billing", Operation.BILL_REQUESTS),
    ],
)
def test_billing_routes(method: str, path: str, operation: Operation) -> None:
    route = resolve(method, path)
    assert (route.operation, route.protocol) == (operation, "hf_tasks")


@pytest.mark.parametrize(
    ("path", "task", "model", "form"),
    [
        ("/hf/tasks/summarization", "summarization", None, "seed"),
        ("/hf/tasks/feature-extraction/", "embedding", None, "seed"),
        ("/hf/tasks/run", "", None, "run"),
        ("/hf/models/org/name", "", "org/name", "native"),
        ("/hf/models/org/name/pipeline/feature-extraction", "embedding", "org/name", "native"),
    ],
)
def test_task_routes(path: str, task: str, model: str | None, form: str) -> None:
    route = resolve("POST", path)
    assert (route.operation, route.protocol) == (Operation.RUN_TASK, "hf_tasks")
    assert (route.task, route.model, route.form) == (task, model, form)


@pytest.mark.parametrize(
    ("rest", "protocol"),
    [
        ("v1/chat/completions", "openai_chat"),
        ("chat/completions", "openai_chat"),
        ("v1/completions", "openai_completions"),
    ],
)
def test_chat_below_a_model_of_the_hub(rest: str, protocol: str) -> None:
    route = resolve("POST", f"/hf/models/org/name/{rest}")
    assert (route.protocol, route.model, route.form) == (protocol, "org/name", "native")


def test_unknown_tasks_and_methods() -> None:
    with pytest.raises(InvalidRequest, match="Unsupported task type: 'magic'"):
        resolve("POST", "/hf/tasks/magic")
    with pytest.raises(InvalidRequest, match="Unsupported task type: 'magic'"):
        resolve("POST", "/hf/models/m/pipeline/magic")
    with pytest.raises(MethodNotAllowed):
        resolve("GET", "/hf/tasks/summarization")
    with pytest.raises(MethodNotAllowed):
        resolve("GET", "/hf/tasks/models/map")
    with pytest.raises(RouteNotFound):
        resolve("POST", "/hf/models")


def test_billing_routes_take_no_other_method() -> None:
    with pytest.raises(MethodNotAllowed):
        resolve("GET", "/hf/tasks/billing/cost")
    with pytest.raises(MethodNotAllowed):
        resolve("POST", "/hf/tasks/billing/usage")
    with pytest.raises(RouteNotFound):
        resolve("POST", "/hf/tasks/billing")


def test_stored_responses_are_refused_by_name() -> None:
    with pytest.raises(RouteNotFound, match="stores no responses"):
        resolve("GET", "/v1/responses/resp_123")


@pytest.mark.parametrize(
    ("path", "headers", "protocol"),
    [
        ("/v1/models", {b"anthropic-version"}, "anthropic_messages"),
        ("/v1/models", {b"x-goog-api-key"}, GEMINI),
        ("/v1beta/models", set(), GEMINI),
        ("/v1/models", set(), "openai_chat"),
        ("/anthropic/v1/models", set(), "anthropic_messages"),
        ("/openai/v1/models", {b"anthropic-version"}, "openai_chat"),
        ("/v1/messages/x", set(), "anthropic_messages"),
        ("/v1/responses/x", set(), "openai_responses"),
        ("/api/other", set(), "ollama_chat"),
        ("/hf/tasks/text-generation", {b"anthropic-version"}, "hf_tasks"),
        ("/hf/tasks/models/a:b", {b"x-goog-api-key"}, "hf_tasks"),
        ("/hf/billing", set(), "hf_tasks"),
        ("/hf", set(), "openai_chat"),
    ],
)
def test_whose_error_shape(path: str, headers: set[bytes], protocol: str) -> None:
    assert protocol_of(path, frozenset(headers)) == protocol
