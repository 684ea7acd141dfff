"""What the client's methods return. Money is integer nano-USD (1e-9 USD), never a float."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Every task's answer. ``request_id`` is the one in ``get_usage()``; ``cost_nano_usd`` is what was
    charged, None if the gateway does not say."""

    request_id: str = ""
    cost_nano_usd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGeneration(Served):
    """The text that a model wrote."""

    generated_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation(Served):
    """A conversation, with the last turn in it: hand both lists over for the next one."""

    past_user_inputs: list[str]
    generated_responses: list[str]
    warnings: list[str]

    @property
    def response(self) -> str:
        """What was answered last."""
        return self.generated_responses[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Served):
    """A text made short."""

    summary_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation(Served):
    """A text in another language."""

    translation_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswer(Served):
    """An answer found in a context: ``context[start:end]``, if that is known. ``score`` is from 0 to
    1."""

    answer: str
    score: float | None
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A class that a text may belong to. ``score`` is from 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassification(Served):
    """The classes of a text, the likeliest first."""

    labels: list[Label]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A name in a text: ``text[start:end]`` is ``word``. ``index`` counts words where the gateway says
    so."""

    entity: str
    score: float
    word: str
    index: int | None
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClassification(Served):
    """The names in a text, in its order."""

    entities: list[Entity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding(Served):
    """A vector for each text, in the order they were given."""

    vectors: list[list[float]]


class Image(bytes):
    """A picture: its bytes, ready to be written to a file."""

    content_type: str
    request_id: str
    cost_nano_usd: int | None

    def __new__(
        cls,
        data: bytes,
        *,
        content_type: str = "image/png",
        request_id: str = "",
        cost_nano_usd: int | None = None,
    ) -> Image:
        """``request_id`` and ``cost_nano_usd`` as in ``Served``."""
        image = super().__new__(cls, data)
        image.content_type = content_type
        image.request_id = request_id
        image.cost_nano_usd = cost_nano_usd
        return image

    def __repr__(self) -> str:
        return f"<Image {self.content_type}, {len(self)} bytes>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Served):
    """What ``run`` returns: ``output`` in the task's own shape, as JSON gives it."""

    output: object
    task: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model and a task that it can do. ``hub_model_id`` is its name on the Hub, if it is mapped."""

    model_id: str
    hub_model_id: str | None
    task_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What the key may use."""

    models: list[Model]
    count: int
    task_types: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMapping:
    """A Hub model's name that now leads to a provider's model."""

    success: bool
    provider_model_id: str
    hub_model_id: str
    message: str


class CostRequest(TypedDict):
    """A request to be, for ``calculate_cost``."""

    task: str
    model: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a request would cost; None without a price, which is not the same as zero."""

    task: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int | None
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What requests would cost, each and in all. ``warnings`` name the models without a price."""

    total_cost_nano_usd: int
    costs: list[Cost]
    currency: str
    warnings: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRecord:
    """A request that was served. Counts that nobody knows are None, and so is the cost without a
    price."""

    request_id: str
    timestamp: datetime.datetime
    task: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost_nano_usd: int | None
    user_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A page of the records, newest first, and the totals of all that there are."""

    records: list[UsageRecord]
    total_records: int
    total_cost_nano_usd: int
