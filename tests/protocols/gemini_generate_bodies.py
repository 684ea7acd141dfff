"""Hypothesis strategies for generateContent bodies as clients and Google write them."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

words = st.text('ab _{}":\\\n\u00fc\u4e16\U0001f44b', max_size=6)
some_words = st.text("abc_AB\u00fc", min_size=1, max_size=4)
names = st.sampled_from(["look_up", "f", "_under", "mcp.server:tool-1", "A9"])
base64s = st.binary(min_size=1, max_size=6).map(lambda data: base64.b64encode(data).decode())
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), words, st.floats(-1e6, 1e6)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(some_words, inner, max_size=3)
    ),
    max_leaves=3,
)
json_objects = st.dictionaries(some_words, json_values, max_size=3)
unknown = st.dictionaries(
    st.sampled_from(["newThing", "other_new_thing", "x-y"]), json_values, max_size=1
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of ``fields``."""
    return st.fixed_dictionaries({}, optional=fields)


def joined(*objects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of all ``objects`` in one."""
    return st.tuples(*objects).map(lambda found: {k: v for one in found for k, v in one.items()})


def one(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with all of ``fields``."""
    return st.fixed_dictionaries(dict(fields))


blobs = joined(
    one(mimeType=st.sampled_from(["image/png", "audio/wav", "application/pdf"]), data=base64s),
    some(displayName=words),
    unknown,
)
files = joined(
    one(
        fileUri=st.sampled_from(
            [
                "https://example.com/a.png",
                "https://example.com/unknown",
                "gs://bucket/film.mp4",
                "https://generativelanguage.googleapis.com/v1beta/files/abc",
                "https://www.youtube.com/watch?v=1",
                "files/abc",
                "whatever",
            ]
        )
    ),
    some(mimeType=st.sampled_from(["image/png", "video/mp4"])),
)
metadata = joined(some(videoMetadata=json_objects, partMetadata=json_objects), unknown)
signatures = some(thoughtSignature=st.one_of(base64s, st.just("skip_thought_signature_validator")))
results = st.one_of(
    one(result=words), one(output=words), one(error=st.one_of(words, json_objects)), json_objects
)
user_parts = st.one_of(
    one(text=words),
    joined(one(text=words), metadata),
    joined(one(inlineData=blobs), metadata),
    joined(one(fileData=files), metadata),
    joined(
        one(
            functionResponse=joined(
                one(name=names, response=results),
                some(id=names, willContinue=st.booleans()),
                some(parts=st.lists(one(inlineData=blobs), max_size=2)),
            )
        ),
        unknown,
    ),
    one(codeExecutionResult=json_objects.filter(bool)),
    one(brandNewPart=json_objects),
)
model_parts = st.one_of(
    joined(one(text=words), signatures),
    joined(one(text=words, thought=st.just(True)), signatures, unknown),
    joined(
        one(functionCall=joined(one(name=names), some(id=names, args=json_objects), unknown)),
        signatures,
    ),
    joined(one(inlineData=blobs), some(thought=st.just(True)), signatures),
    joined(one(executableCode=json_objects.filter(bool)), signatures),
    one(thoughtSignature=base64s),
    st.just({}),
)
user_contents = joined(
    one(parts=st.lists(user_parts, min_size=1, max_size=3)),
    some(role=st.sampled_from(["user", "function"])),
    unknown,
)
model_contents = joined(
    one(parts=st.lists(model_parts, min_size=1, max_size=3), role=st.just("model")), unknown
)
contents = st.builds(
    lambda first, rest: [first, *rest],
    st.just({"parts": [{"text": "hi"}]}),
    st.lists(st.one_of(user_contents, model_contents), max_size=4),
)

openapi = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["OBJECT", "object"]),
        "properties": st.dictionaries(
            some_words,
            some(
                type=st.sampled_from(["STRING", "INTEGER", "string"]),
                nullable=st.booleans(),
                description=words,
                enum=st.just(["a", "b"]),
            ),
            max_size=2,
        ),
    }
)
declarations = joined(
    one(name=names),
    some(description=words, response=json_objects, behavior=st.just("BLOCKING")),
    st.one_of(st.just({}), one(parameters=openapi), one(parametersJsonSchema=json_objects)),
    unknown,
)
tools = st.lists(
    st.one_of(
        one(
            functionDeclarations=st.lists(
                declarations, min_size=1, max_size=2, unique_by=lambda found: found["name"]
            )
        ),
        one(googleSearch=json_objects, urlContext=json_objects),
        one(newHostedTool=json_objects),
    ),
    max_size=2,
    unique_by=tuple,
)
tool_configs = joined(
    some(
        functionCallingConfig=joined(
            some(
                mode=st.sampled_from(["AUTO", "ANY", "NONE", "VALIDATED", "MODE_NEW"]),
                allowedFunctionNames=st.lists(names, min_size=1, max_size=2),
                streamFunctionCallArguments=st.booleans(),
            ),
            unknown,
        ),
        retrievalConfig=json_objects,
    ),
    unknown,
)
outputs = st.one_of(
    st.just({}),
    one(responseMimeType=st.sampled_from(["application/json", "text/plain", "text/x.enum"])),
    one(responseMimeType=st.just("application/json"), responseSchema=openapi),
    one(responseMimeType=st.just("application/json"), responseJsonSchema=json_objects),
    one(responseMimeType=st.just("text/x.enum"), responseSchema=openapi),
)
thinking = st.one_of(
    joined(
        one(thinkingBudget=st.integers(-1, 30_000)),
        some(includeThoughts=st.just(False)),
        unknown,
    ),
    one(includeThoughts=st.booleans()),
    one(thinkingLevel=st.just("THINKING_LEVEL_UNSPECIFIED")),
)
configs = joined(
    some(
        temperature=st.floats(0, 2),
        topP=st.floats(0, 1),
        topK=st.integers(1, 64).map(float),
        maxOutputTokens=st.integers(1, 10**6),
        candidateCount=st.integers(1, 8),
        stopSequences=st.lists(words, max_size=5),
        seed=st.integers(-(2**31) + 1, 2**31 - 1),
        presencePenalty=st.floats(-2, 2),
        responseLogprobs=st.booleans(),
        logprobs=st.integers(0, 20),
        responseModalities=st.lists(st.sampled_from(["TEXT", "IMAGE"]), max_size=2),
        speechConfig=json_objects.filter(bool),
        thinkingConfig=thinking,
    ),
    outputs,
    unknown,
)
requests = joined(
    one(contents=contents),
    some(
        systemInstruction=st.one_of(
            some_words, one(parts=st.lists(one(text=words), max_size=2), role=st.just("user"))
        ),
        tools=tools,
        toolConfig=tool_configs,
        generationConfig=configs,
        safetySettings=st.lists(json_objects, max_size=1),
        cachedContent=words,
        labels=st.dictionaries(some_words, words, max_size=1),
        serviceTier=st.sampled_from(["flex", "standard", "priority"]),
        store=st.booleans(),
    ),
    unknown,
)

counts = st.integers(0, 10_000)
usages = joined(
    one(promptTokenCount=counts, candidatesTokenCount=counts),
    some(
        cachedContentTokenCount=counts,
        thoughtsTokenCount=counts,
        toolUsePromptTokenCount=counts,
        trafficType=st.just("ON_DEMAND"),
        promptTokensDetails=st.lists(
            one(modality=st.sampled_from(["TEXT", "AUDIO", "IMAGE"]), tokenCount=counts), max_size=3
        ),
        candidatesTokensDetails=st.lists(
            one(modality=st.sampled_from(["TEXT", "IMAGE"]), tokenCount=counts), max_size=2
        ),
    ),
    unknown,
).map(
    lambda usage: {
        **usage,
        "totalTokenCount": usage["promptTokenCount"]
        + usage.get("toolUsePromptTokenCount", 0)
        + usage["candidatesTokenCount"]
        + usage.get("thoughtsTokenCount", 0),
    }
)
candidates = joined(
    one(
        finishReason=st.sampled_from(["STOP", "MAX_TOKENS", "RECITATION", "NEW_REASON", "OTHER"]),
        content=one(parts=st.lists(model_parts, max_size=3), role=st.just("model")),
    ),
    some(
        safetyRatings=st.lists(json_objects, max_size=1),
        groundingMetadata=json_objects.filter(bool),
        finishMessage=words,
        avgLogprobs=st.floats(-5, 0),
        logprobsResult=one(
            chosenCandidates=st.lists(
                joined(one(token=words, logProbability=st.floats(-9, -1)), some(tokenId=counts)),
                min_size=1,
                max_size=2,
            ),
            logProbabilitySum=st.floats(-9, -1),
        ),
    ),
    unknown,
)
responses = joined(
    one(
        candidates=st.lists(candidates, min_size=1, max_size=2).map(
            lambda found: [{**one, "index": index} for index, one in enumerate(found)]
        )
    ),
    some(
        usageMetadata=usages,
        modelVersion=words,
        responseId=words,
        createTime=st.just("2026-11-20T10:00:00.123456Z"),
        promptFeedback=one(safetyRatings=st.lists(json_objects, max_size=1)),
        modelStatus=json_objects.filter(bool),
    ),
    unknown,
)
