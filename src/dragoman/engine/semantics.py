"""Words of OpenTelemetry's GenAI conventions (semantic-conventions-genai, read 2026-11-21)."""

from __future__ import annotations

from dragoman.protocols.hf_tasks.text_tasks import TEXT_TASKS

_OPERATIONS = {
    ("generate", "gemini_generate"): "generate_content",
    ("generate", "openai_completions"): "text_completion",
}
_PROVIDERS = {
    "azure-openai": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshot-cn": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


def operation_name(operation: str, protocol: str = "") -> str:
    """``gen_ai.operation.name`` of one of our operations; ours where the conventions have none."""
    match operation:
        case "generate":
            return _OPERATIONS.get((operation, protocol), "chat")
        case "embed" | "embedding":
            return "embeddings"
        case "text-generation":
            return "text_completion"
    return "chat" if operation in TEXT_TASKS else operation


def provider_name(provider: str) -> str:
    """``gen_ai.provider.name`` of a provider's id; the id where the conventions have none."""
    return _PROVIDERS.get(provider, provider)
