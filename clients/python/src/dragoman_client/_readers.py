"""From the answers' bytes to what the clients' methods return; each raises BrokenAnswer."""

from __future__ import annotations

import base64
import datetime
from typing import TypedDict

from dragoman_client import answers
from dragoman_client._reading import Node, Reply, read_json


class _Served(TypedDict):
    request_id: str
    cost_nano_usd: int | None


def _served(reply: Reply) -> _Served:
    return {"request_id": reply.request_id, "cost_nano_usd": reply.cost_nano_usd}


def _output(reply: Reply) -> Node:
    return read_json(reply).at("output")


def read_generated(reply: Reply) -> answers.TextGeneration:
    """An answer of text generation."""
    text = _output(reply).only().at("generated_text").text()
    return answers.TextGeneration(generated_text=text, **_served(reply))


def read_conversation(reply: Reply) -> answers.Conversation:
    """An answer of a conversation."""
    whole = read_json(reply)
    both = whole.at("conversation")
    warnings = whole.maybe("warnings")
    responses = both.at("generated_responses")
    responses.only()  # there is one to this call at least
    return answers.Conversation(
        past_user_inputs=both.at("past_user_inputs").texts(),
        generated_responses=responses.texts(),
        warnings=[] if warnings is None else warnings.texts(),
        **_served(reply),
    )


def read_summary(reply: Reply) -> answers.Summary:
    """An answer of summarization."""
    text = _output(reply).at("summary_text").text()
    return answers.Summary(summary_text=text, **_served(reply))


def read_translation(reply: Reply) -> answers.Translation:
    """An answer of translation."""
    text = _output(reply).at("translation_text").text()
    return answers.Translation(translation_text=text, **_served(reply))


def read_answer(reply: Reply) -> answers.QuestionAnswer:
    """An answer of question answering; the best if there are several."""
    output = _output(reply)
    if isinstance(output.value, list):  # several were asked for; the best is the first
        output = output.only()
    score = output.maybe("score")
    return answers.QuestionAnswer(
        answer=output.at("answer").text(),
        score=None if score is None else score.number(),
        start=_count(output, "start"),
        end=_count(output, "end"),
        **_served(reply),
    )


def read_labels(reply: Reply) -> answers.TextClassification:
    """An answer of text classification."""
    labels = [
        answers.Label(label=one.at("label").text(), score=one.at("score").number())
        for one in _output(reply).only()
    ]
    return answers.TextClassification(labels=labels, **_served(reply))


def read_entities(reply: Reply) -> answers.TokenClassification:
    """An answer of token classification."""
    entities = [
        answers.Entity(
            entity=one.at("entity").text(),
            score=one.at("score").number(),
            word=one.at("word").text(),
            index=_count(one, "index"),
            start=_count(one, "start"),
            end=_count(one, "end"),
        )
        for one in _output(reply)
    ]
    return answers.TokenClassification(entities=entities, **_served(reply))


def read_image(reply: Reply) -> answers.Image:
    """An answer of image generation."""
    whole = read_json(reply)
    picture = whole.at("image")
    kind = whole.maybe("content_type")
    try:
        data = base64.b64decode(picture.text(), validate=True)
    except ValueError:
        raise picture.broken("is not base64") from None
    return answers.Image(
        data, content_type="image/png" if kind is None else kind.text(), **_served(reply)
    )


def read_vectors(reply: Reply) -> answers.Embedding:
    """An answer of embedding."""
    vectors = [[one.number() for one in item.at("embedding")] for item in _output(reply)]
    return answers.Embedding(vectors=vectors, **_served(reply))


def read_run(reply: Reply) -> answers.Run:
    """An answer of the route for any task."""
    whole = read_json(reply)
    return answers.Run(
        output=whole.at("output").value,
        task=whole.at("task").text(),
        model=_name(whole, "model"),
        **_served(reply),
    )


def read_models(reply: Reply) -> answers.Models:
    """A list of models."""
    whole = read_json(reply)
    models = [
        answers.Model(
            model_id=one.at("model_id").text(),
            hub_model_id=_name(one, "hub_model_id"),
            task_type=one.at("task_type").text(),
        )
        for one in whole.at("models")
    ]
    return answers.Models(
        models=models, count=whole.at("count").whole(), task_types=whole.at("task_types").texts()
    )


def read_mapping(reply: Reply) -> answers.ModelMapping:
    """What became of a mapping."""
    whole = read_json(reply)
    return answers.ModelMapping(
        success=whole.at("success").truth(),
        provider_model_id=whole.at("provider_model_id").text(),
        hub_model_id=whole.at("hub_model_id").text(),
        message=whole.at("message").text(),
    )


def read_costs(reply: Reply) -> answers.Costs:
    """What requests would cost."""
    whole = read_json(reply, exact=True)
    warnings = whole.maybe("warnings")
    return answers.Costs(
        total_cost_nano_usd=whole.at("total_cost_nano_usd").whole(),
        costs=[_cost(one) for one in whole.at("costs")],
        currency=whole.at("currency").text(),
        warnings=[] if warnings is None else warnings.texts(),
    )


def _cost(item: Node) -> answers.Cost:
    dollars = item.maybe("cost_usd")
    return answers.Cost(
        task=item.at("task").text(),
        model=item.at("model").text(),
        input_tokens=item.at("input_tokens").whole(),
        output_tokens=item.at("output_tokens").whole(),
        cost_nano_usd=_count(item, "cost_nano_usd"),
        cost_usd=None if dollars is None else dollars.exact(),
    )


def read_usage(reply: Reply) -> answers.Usage:
    """A page of usage."""
    whole = read_json(reply)
    return answers.Usage(
        records=[_record(one) for one in whole.at("records")],
        total_records=whole.at("total_records").whole(),
        total_cost_nano_usd=whole.at("total_cost_nano_usd").whole(),
    )


def _record(item: Node) -> answers.UsageRecord:
    moment = item.at("timestamp")
    try:
        timestamp = datetime.datetime.fromisoformat(moment.text())
    except ValueError:
        raise moment.broken("is no time") from None
    return answers.UsageRecord(
        request_id=item.at("request_id").text(),
        timestamp=timestamp,
        task=item.at("task").text(),
        model=item.at("model").text(),
        input_tokens=_count(item, "input_tokens"),
        output_tokens=_count(item, "output_tokens"),
        cost_nano_usd=_count(item, "cost_nano_usd"),
        user_id=_name(item, "user_id"),
    )


def _count(item: Node, name: str) -> int | None:
    found = item.maybe(name)
    return None if found is None else found.whole()


def _name(item: Node, name: str) -> str | None:
    found = item.maybe(name)
    return None if found is None else found.text()
