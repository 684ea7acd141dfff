"""What generateContent looks like on the wire.

Source: ``google/genai/types.py`` and the ``_to_mldev`` / ``_to_vertex`` converters in
``google/genai/models.py`` (google-genai 3.4), and https://ai.google.dev/api/generate-content.

Enumerations are plain strings, because Google adds words to them without notice. Where Google's
parser takes one object in place of a list (its own curl examples write ``"parts": {"text": …}``),
so do these types. The structs refuse unknown fields: ``reading`` relies on it to notice that a body
holds something new, or snake_case names, and then gathers the unknown ones in ``extra``.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from dragoman.canonical.parts import Json

PROTOCOL_ID = "gemini_generate"
EXTRA = "*"


class Wire(
    msgspec.Struct, rename="camel", omit_defaults=True, forbid_unknown_fields=True, kw_only=True
):
    """Base of every wire object; ``extra`` holds the fields that its type does not know."""

    extra: dict[str, Json] | None = msgspec.field(default=None, name=EXTRA)


W = TypeVar("W", bound=Wire)


def several(value: list[W] | W | None) -> list[W]:
    """A repeated field as a list, whichever way it was written."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class Blob(Wire):
    mime_type: str | None = None
    data: str | None = None
    display_name: str | None = None


class FileData(Wire):
    mime_type: str | None = None
    file_uri: str | None = None
    display_name: str | None = None


class PartialArg(Wire):
    """A piece of a streamed function call's arguments (Vertex AI only)."""

    json_path: str | None = None
    string_value: str | None = None
    number_value: float | None = None
    bool_value: bool | None = None
    null_value: Json = None
    will_continue: bool | None = None


class FunctionCall(Wire):
    id: str | None = None
    name: str | None = None
    args: dict[str, Json] | None = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool | None = None


class FunctionResponsePart(Wire):
    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(Wire):
    id: str | None = None
    name: str | None = None
    response: dict[str, Json] | None = None
    parts: list[FunctionResponsePart] | None = None
    will_continue: bool | None = None
    scheduling: str | None = None


class Part(Wire):
    """One of the data fields, and metadata about it."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Json = None
    code_execution_result: Json = None
    tool_call: Json = None
    tool_response: Json = None
    video_metadata: Json = None
    media_resolution: Json = None
    media_processing: Json = None
    part_metadata: Json = None
    audio_transcription: Json = None
    audio_metadata: Json = None
    document_metadata: Json = None
    spreadsheet_metadata: Json = None
    speech_metadata: Json = None


class Content(Wire):
    role: str | None = None
    parts: list[Part] | Part | None = None


class FunctionDeclaration(Wire):
    name: str
    description: str | None = None
    parameters: dict[str, Json] | None = None
    parameters_json_schema: dict[str, Json] | None = None
    response: Json = None
    response_json_schema: Json = None
    behavior: str | None = None


class Tool(Wire):
    """Function declarations and hosted tools may share one object."""

    function_declarations: list[FunctionDeclaration] | FunctionDeclaration | None = None
    google_search: Json = None
    google_search_retrieval: Json = None
    google_maps: Json = None
    code_execution: Json = None
    url_context: Json = None
    file_search: Json = None
    computer_use: Json = None
    retrieval: Json = None
    enterprise_web_search: Json = None
    parallel_ai_search: Json = None
    exa_ai_search: Json = None
    mcp_servers: Json = None


class FunctionCallingConfig(Wire):
    mode: str | None = None
    allowed_function_names: list[str] | None = None
    stream_function_call_arguments: bool | None = None


class ToolConfig(Wire):
    function_calling_config: FunctionCallingConfig | None = None
    retrieval_config: Json = None
    include_server_side_tool_invocations: bool | None = None


class ThinkingConfig(Wire):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(Wire):
    """``top_k`` is a float, because Google's SDKs write ``40.0``."""

    candidate_count: int | None = None
    stop_sequences: list[str] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_modalities: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Json] | None = None
    response_json_schema: dict[str, Json] | None = None
    thinking_config: ThinkingConfig | None = None
    response_format: Json = None
    speech_config: Json = None
    image_config: Json = None
    media_resolution: Json = None
    audio_timestamp: Json = None
    audio_transcription_config: Json = None
    translation_config: Json = None
    routing_config: Json = None
    model_config: Json = None
    model_selection_config: Json = None
    enable_affective_dialog: Json = None
    enable_enhanced_civic_answers: Json = None


class GenerateContentRequest(Wire):
    """``model`` is written by some clients though it stands in the path, and by ``countTokens``.
    ``stream`` is no field of Google's: a body that says so asks ``:generateContent`` to stream."""

    model: str | None = None
    contents: list[Content] | Content | None = None
    system_instruction: Content | str | None = None
    tools: list[Tool] | Tool | None = None
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None
    service_tier: str | None = None
    safety_settings: Json = None
    cached_content: Json = None
    labels: Json = None
    store: Json = None
    model_armor_config: Json = None
    continuation_token: Json = None
    stream: bool | None = None


class CountTokensRequest(GenerateContentRequest):
    """Vertex AI writes the request's fields beside ``contents``, the Gemini API inside
    ``generate_content_request``."""

    generate_content_request: GenerateContentRequest | None = None


class ModalityTokenCount(Wire):
    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(Wire):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokenCount] | None = None
    cache_tokens_details: list[ModalityTokenCount] | None = None
    candidates_tokens_details: list[ModalityTokenCount] | None = None
    tool_use_prompt_tokens_details: list[ModalityTokenCount] | None = None
    traffic_type: str | None = None
    service_tier: str | None = None


class LogprobsCandidate(Wire):
    token: str | None = None
    token_id: int | None = None
    log_probability: float | None = None


class TopCandidates(Wire):
    candidates: list[LogprobsCandidate] | None = None


class LogprobsResult(Wire):
    chosen_candidates: list[LogprobsCandidate] | None = None
    top_candidates: list[TopCandidates] | None = None
    log_probability_sum: float | None = None


class Candidate(Wire):
    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    token_count: int | None = None
    avg_logprobs: Json = None
    logprobs_result: LogprobsResult | None = None
    citation_metadata: Json = None
    grounding_metadata: Json = None
    grounding_attributions: Json = None
    url_context_metadata: Json = None
    safety_ratings: Json = None
    continuation_token: Json = None


class PromptFeedback(Wire):
    block_reason: str | None = None
    block_reason_message: str | None = None
    safety_ratings: Json = None


class GenerateContentResponse(Wire):
    """A whole answer, or one chunk of a stream; ``error`` comes in its place."""

    candidates: list[Candidate] | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    service_tier: str | None = None
    prompt_feedback: PromptFeedback | None = None
    model_status: Json = None
    error: Json = None


class EmbedContentConfig(Wire):
    """Where Vertex AI's ``embedContent`` has what the Gemini API writes beside the content."""

    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None
    auto_truncate: bool | None = None


class EmbedContentRequest(Wire):
    model: str | None = None
    content: Content | str | None = None
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None
    embed_content_config: EmbedContentConfig | None = None


class BatchEmbedContentsRequest(EmbedContentRequest):
    """Either of the two requests: ``requests`` makes it a batch."""

    requests: list[EmbedContentRequest] | None = None


class ContentEmbedding(Wire):
    values: list[float]


class EmbedContentResponse(Wire):
    """Either of the two answers."""

    embedding: ContentEmbedding | None = None
    embeddings: list[ContentEmbedding] | None = None
    usage_metadata: UsageMetadata | None = None
    error: Json = None


class PredictInstance(Wire):
    content: str
    task_type: str | None = None
    title: str | None = None


class PredictParameters(Wire):
    output_dimensionality: int | None = None
    auto_truncate: bool | None = None


class PredictRequest(Wire):
    instances: list[PredictInstance]
    parameters: PredictParameters | None = None


class PredictStatistics(Wire):
    token_count: float | None = None
    truncated: bool | None = None


class PredictEmbedding(Wire):
    values: list[float]
    statistics: PredictStatistics | None = None


class Prediction(Wire):
    embeddings: PredictEmbedding


class PredictResponse(Wire):
    predictions: list[Prediction] | None = None
    usage_metadata: UsageMetadata | None = None
    error: Json = None


class CountTokensResponse(Wire):
    total_tokens: int | None = None
    error: Json = None
