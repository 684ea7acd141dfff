"""What the endings of Vertex model names change in a request, and what a channel adds to each.

::

    ending              in the native protocol                       in OpenAI direct mode
    -search             Google Search as a tool
    -nothinking         as little thinking as the model takes
    -max                as much as it takes
    -2k, -4k            the size of images that it draws
    -openai                                                          (the ending chooses the mode)
    -openaisearch                                                    web_search_options

Direct mode has Google write its thoughts into the text, between tags that are taken out again
(``protocols.think_tags``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from dragoman.canonical.errors import InvalidRequest, UpstreamMisconfigured, UpstreamModelMissing
from dragoman.canonical.notes import Note, Notes
from dragoman.protocols.base import ModelProfile
from dragoman.protocols.think_tags import QUIRK as THINK_TAG
from dragoman.providers.opening import Draft
from dragoman.providers.profiles import profile_for

DIRECT = "openai_chat"
"""The protocol of direct mode."""

Json = dict[str, Any]

OBFUSCATING = ("-encrypt", "-encrypt-full", "-auto")
"""Endings that another program knows, which disguise prompts from the provider's filters."""

THRESHOLDS = (
    "OFF",
    "BLOCK_NONE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_LOW_AND_ABOVE",
)
"""From which probability of harm on an answer is blocked."""

_CATEGORIES = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
_TOKENS = {"none": 0, "minimal": 512, "low": 1_024, "medium": 8_192}
_MOST_TOKENS = 24_576
_LEVELS = ("minimal", "low", "medium", "high")
_ENCODER = msgspec.json.Encoder()


def split(model: str) -> tuple[str, str]:
    """(the model's own name, the ending after it)."""
    folded = model.casefold()
    for ending in ENDINGS:
        if folded.endswith(ending) and len(folded) > len(ending):
            return model[: -len(ending)], ending
    return model, ""


def shape(draft: Draft) -> tuple[bytes, list[Note]]:
    """The request's body as the model's ending and the channel's quirks want it, and notes on what was
    changed. Raises InvalidRequest for a model that the ending does not suit, UpstreamModelMissing for
    an ending that is refused."""
    model, ending = split(draft.model)
    _refuse_obfuscation(draft.model)
    if draft.purpose != "generate":
        return draft.request.body, []
    safety = _safety(draft.quirks.get("safety_settings"))
    if draft.protocol == DIRECT:
        return _direct(draft, model, ending, safety)
    if not ending and not safety:
        return draft.request.body, []
    notes = Notes()
    body: Json = msgspec.json.decode(draft.request.body)
    if ending:
        change = ENDINGS[ending]
        if change is None:
            raise UpstreamModelMissing(
                f"'{ending}' asks for OpenAI direct mode, which this channel does not speak."
            )
        change(body, _profile(draft, model), notes)
    if safety and _spelled(body, "safetySettings") not in body:
        body["safetySettings"] = safety
        notes.kept("safety_settings", "the channel's")
    return _ENCODER.encode(body), notes.items


def _profile(draft: Draft, model: str) -> ModelProfile:
    return profile_for(draft.provider, protocol="gemini_generate", model=model, quirks=draft.quirks)


def _refuse_obfuscation(model: str) -> None:
    ending = next((one for one in OBFUSCATING if model.casefold().endswith(one)), None)
    if ending is not None:
        raise UpstreamModelMissing(
            f"There is no '{ending}' here: it would disguise the prompt from the provider's safety "
            "filters. Ask for the model without it."
        )


# --- The native protocol ---------------------------------------------------------------------------


def _search(body: Json, profile: ModelProfile, notes: Notes) -> None:
    tools = body.setdefault("tools", [])
    if not isinstance(tools, list):
        tools = body["tools"] = [tools]
    if not any(isinstance(tool, dict) and _spelled(tool, "googleSearch") in tool for tool in tools):
        tools.append({"googleSearch": {}})
    notes.emulated("tools", "the ending -search adds Google Search")


def _no_thinking(body: Json, profile: ModelProfile, notes: Notes) -> None:
    span, levels = _thinking(profile, "-nothinking")
    config = _thinking_config(body)
    if levels:
        config["thinkingLevel"] = levels[0].upper()
    else:
        config["thinkingBudget"] = span[0]
        if span[0] == 0:
            config["includeThoughts"] = False
    notes.emulated("reasoning", "the ending -nothinking asks for the least")


def _most_thinking(body: Json, profile: ModelProfile, notes: Notes) -> None:
    span, levels = _thinking(profile, "-max")
    config = _thinking_config(body)
    if levels:
        config["thinkingLevel"] = levels[-1].upper()
    else:
        config["thinkingBudget"] = span[1]
    config["includeThoughts"] = True
    notes.emulated("reasoning", "the ending -max asks for the most")


def _image_size(size: str) -> Callable[[Json, ModelProfile, Notes], None]:
    def change(body: Json, profile: ModelProfile, notes: Notes) -> None:
        if "-image" not in profile.model or not _levels(profile):
            raise InvalidRequest(
                f"{profile.model} does not draw images in {size}: leave the ending off.",
                param="model",
            )
        config = _object(body, "generationConfig")
        config[_spelled(config, "responseModalities")] = ["TEXT", "IMAGE"]
        image = _object(config, "imageConfig")
        image[_spelled(image, "imageSize")] = size
        notes.emulated("settings.modalities", f"the ending asks for images in {size}")

    return change


ENDINGS: Mapping[str, Callable[[Json, ModelProfile, Notes], None] | None] = {
    "-search": _search,
    "-nothinking": _no_thinking,
    "-max": _most_thinking,
    "-2k": _image_size("2K"),
    "-4k": _image_size("4K"),
    "-openaisearch": None,
    "-openai": None,
}
"""What each ending does to a native body; None: it is for direct mode."""


def _thinking(profile: ModelProfile, ending: str) -> tuple[tuple[int, int], tuple[str, ...]]:
    """(least and most tokens, levels) that the model takes; one of the two is empty."""
    levels, span = _levels(profile), profile.quirks.get("thinking_budget_range")
    if "-image" in profile.model or not (levels or span):
        raise InvalidRequest(
            f"How {profile.model} thinks cannot be set, so '{ending}' is not for it.", param="model"
        )
    return ((int(span[0]), int(span[1])) if span else (0, 0)), levels


def _levels(profile: ModelProfile) -> tuple[str, ...]:
    """The levels that the model takes, lowest first."""
    known = profile.quirks.get("thinking_level", ())
    if known is True:
        return _LEVELS
    return tuple(level for level in _LEVELS if known and level in known)


def _thinking_config(body: Json) -> Json:
    """``thinkingConfig`` without what the client said of how much."""
    config = _object(_object(body, "generationConfig"), "thinkingConfig")
    for name in ("thinkingBudget", "thinkingLevel", "includeThoughts"):
        value = config.pop(_spelled(config, name), None)
        if name == "includeThoughts" and value is not None:
            config[name] = value
    return config


def _object(body: Json, name: str) -> Json:
    """The object of that name, in whichever spelling is there; made if there is none."""
    spelled = _spelled(body, name)
    if not isinstance(body.get(spelled), dict):
        body[spelled] = {}
    found: Json = body[spelled]
    return found


def _spelled(body: Json, name: str) -> str:
    """Google takes snake_case, too, and a client's own body may be written so."""
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return snake if snake in body else name


# --- OpenAI direct mode ----------------------------------------------------------------------------


def _direct(draft: Draft, model: str, ending: str, safety: list[Json]) -> tuple[bytes, list[Note]]:
    if ending and ENDINGS[ending] is not None:
        raise InvalidRequest(
            f"'{ending}' is for the native protocol, and this channel speaks OpenAI's.",
            param="model",
        )
    notes = Notes()
    body: Json = msgspec.json.decode(draft.request.body)
    body["model"] = model if "/" in model else f"google/{model}"
    extra = _object(body, "extra_body")
    google = _object(extra, "google")
    tag = draft.quirks.get(f"{DIRECT}.{THINK_TAG}", draft.quirks.get(THINK_TAG))
    if tag:
        google["thought_tag_marker"] = tag
    if thinking := _direct_thinking(body, google, _profile(draft, model), notes):
        google["thinking_config"] = thinking
    if safety:
        google.setdefault("safety_settings", safety)
    if ending == "-openaisearch":
        body.setdefault("web_search_options", {})
        notes.emulated("tools", "the ending -openaisearch adds a web search")
    if not google:
        del extra["google"]
    if not extra:
        del body["extra_body"]
    return _ENCODER.encode(body), notes.items


def _direct_thinking(body: Json, google: Json, profile: ModelProfile, notes: Notes) -> Json:
    """``thinking_config``, which stands in for ``reasoning_effort``: Google takes one of the two, and
    only with the first are thoughts shown."""
    known = google.get("thinking_config")
    span, levels = profile.quirks.get("thinking_budget_range"), _levels(profile)
    if isinstance(known, dict):
        if body.pop("reasoning_effort", None) is not None:
            notes.dropped("reasoning.effort", "the request has a thinking_config")
        return known
    if not (span or levels):
        return {}
    effort = body.pop("reasoning_effort", None)
    config: Json = {"include_thoughts": True}
    if not isinstance(effort, str):
        return config
    if not span:
        nearest = next((level for level in levels if _rank(level) >= _rank(effort)), levels[-1])
        config["thinking_level"] = nearest
    else:
        tokens = min(max(_TOKENS.get(effort, _MOST_TOKENS), int(span[0])), int(span[1]))
        config["thinking_budget"] = tokens
        config["include_thoughts"] = tokens > 0
    notes.renamed("reasoning.effort", "thinking_config")
    return config


def _rank(effort: str) -> int:
    return _LEVELS.index(effort) if effort in _LEVELS else -1 if effort == "none" else len(_LEVELS)


def _safety(wanted: Any) -> list[Json]:
    """The channel's safety settings as Google writes them. Raises UpstreamMisconfigured."""
    if not wanted:
        return []
    if isinstance(wanted, str) and wanted.upper() in THRESHOLDS:
        threshold = wanted.upper()
        return [
            {"category": f"HARM_CATEGORY_{name}", "threshold": threshold} for name in _CATEGORIES
        ]
    if isinstance(wanted, list) and all(
        isinstance(one, dict) and one.keys() >= {"category", "threshold"} for one in wanted
    ):
        return wanted
    raise UpstreamMisconfigured(
        f"The quirk 'safety_settings' must be one of {', '.join(THRESHOLDS)}, or a list of objects "
        "with category and threshold."
    )
