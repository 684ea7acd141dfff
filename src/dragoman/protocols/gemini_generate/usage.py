"""``usageMetadata`` ⇄ disjoint buckets."""

from __future__ import annotations

from dragoman.canonical.parts import Json
from dragoman.canonical.usage import Usage, split, whole
from dragoman.protocols.gemini_generate.reading import rest
from dragoman.protocols.gemini_generate.types import ModalityTokenCount, UsageMetadata

_REBUILT = frozenset(
    (
        *("prompt_token_count", "cached_content_token_count", "candidates_token_count"),
        *("thoughts_token_count", "total_token_count", "service_tier"),
    )
)


def read_usage(metadata: UsageMetadata) -> Usage | None:
    """The wire's counts → buckets; None if it has none.

    The cached tokens are contained in the prompt, the thoughts are not in the candidates, and what
    server-side tools fed back comes on top of the prompt.
    """
    prompt, written = metadata.prompt_token_count, metadata.candidates_token_count
    total = metadata.total_token_count
    if prompt is None and written is None and total is None:
        return None
    read = (prompt or 0) + (metadata.tool_use_prompt_token_count or 0)
    thoughts = whole(metadata.thoughts_token_count)
    if written is None:
        written = max((total or 0) - read - thoughts, 0)
    elif thoughts and total is not None and total == read + written:
        # Some servers of this protocol count the thoughts among the candidates, as others do.
        written, thoughts = split(written, thoughts)
    heard, seen = _media(metadata.prompt_tokens_details)
    if heard or seen:
        cached = _media(metadata.cache_tokens_details)
        heard, seen = heard - cached[0], seen - cached[1]
    if metadata.tool_use_prompt_tokens_details:
        fed = _media(metadata.tool_use_prompt_tokens_details)
        heard, seen = heard + fed[0], seen + fed[1]
    text, cache_read, audio, image = split(read, metadata.cached_content_token_count, heard, seen)
    output, spoken, drawn = split(written, *_media(metadata.candidates_tokens_details))
    return Usage(
        input=text,
        cache_read=cache_read,
        input_audio=audio,
        input_image=image,
        output=output,
        reasoning=thoughts,
        output_audio=spoken,
        output_image=drawn,
    )


def rest_of_usage(metadata: UsageMetadata) -> dict[str, Json]:
    """The counts and words that buckets cannot hold."""
    return rest(metadata, _REBUILT)


def write_usage(usage: Usage, left: dict[str, Json]) -> dict[str, Json]:
    """Buckets → the wire's counts; ``left`` is what ``rest_of_usage`` gave."""
    fed_back = left.get("toolUsePromptTokenCount") or 0
    written = usage.output + usage.output_audio + usage.output_image
    metadata: dict[str, Json] = {
        "promptTokenCount": max(usage.total_input - fed_back, 0),
        "candidatesTokenCount": written,
        "totalTokenCount": usage.total,
    }
    if usage.cache_read:
        metadata["cachedContentTokenCount"] = usage.cache_read
    if usage.reasoning:
        metadata["thoughtsTokenCount"] = usage.reasoning
    if usage.input_audio or usage.input_image:
        metadata["promptTokensDetails"] = _details(
            usage.total_input - fed_back, usage.input_audio, usage.input_image
        )
    if usage.output_audio or usage.output_image:
        metadata["candidatesTokensDetails"] = _details(
            written, usage.output_audio, usage.output_image
        )
    metadata.update(left)
    return metadata


def _media(details: list[ModalityTokenCount] | None) -> tuple[int, int]:
    """(audio, image) tokens; the other modalities are billed as text."""
    audio = image = 0
    if details is None:
        return audio, image
    for one in details:
        if one.modality == "AUDIO":
            audio += one.token_count or 0
        elif one.modality == "IMAGE":
            image += one.token_count or 0
    return audio, image


def _details(total: int, audio: int, image: int) -> list[Json]:
    counts = {"TEXT": max(total - audio - image, 0), "AUDIO": audio, "IMAGE": image}
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]
