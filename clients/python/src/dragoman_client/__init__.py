"""The client of a Dragoman gateway's task API (``/hf/tasks``): text, images, embeddings, models, costs.

::

    with DragomanClient("sk-gw-…") as client:
        print(client.text_generation("The future of AI is", model="gpt-4o-mini").generated_text)

``AsyncDragomanClient`` has the same methods, to be awaited.
"""

from __future__ import annotations

from dragoman_client._version import __version__
from dragoman_client.answers import (
    Conversation,
    Cost,
    CostRequest,
    Costs,
    Embedding,
    Entity,
    Image,
    Label,
    Model,
    ModelMapping,
    Models,
    QuestionAnswer,
    Run,
    Served,
    Summary,
    TextClassification,
    TextGeneration,
    TokenClassification,
    Translation,
    Usage,
    UsageRecord,
)
from dragoman_client.asynchronous import AsyncDragomanClient, AsyncTextStream
from dragoman_client.errors import (
    ApiError,
    BadRequest,
    BrokenAnswer,
    Conflict,
    DragomanError,
    Forbidden,
    NoAnswer,
    NotFound,
    PaymentRequired,
    ServerError,
    TimedOut,
    TooManyRequests,
    Unauthorized,
)
from dragoman_client.sync import DragomanClient, TextStream

# The task API's documentation names its clients so: code written for it needs no more than another
# import.
AsyncGatewayzClient = AsyncDragomanClient
GatewayzClient = DragomanClient

__all__ = [
    "ApiError",
    "AsyncDragomanClient",
    "AsyncGatewayzClient",
    "AsyncTextStream",
    "BadRequest",
    "BrokenAnswer",
    "Conflict",
    "Conversation",
    "Cost",
    "CostRequest",
    "Costs",
    "DragomanClient",
    "DragomanError",
    "Embedding",
    "Entity",
    "Forbidden",
    "GatewayzClient",
    "Image",
    "Label",
    "Model",
    "ModelMapping",
    "Models",
    "NoAnswer",
    "NotFound",
    "PaymentRequired",
    "QuestionAnswer",
    "Run",
    "Served",
    "ServerError",
    "Summary",
    "TextClassification",
    "TextGeneration",
    "TextStream",
    "TimedOut",
    "TokenClassification",
    "TooManyRequests",
    "Translation",
    "Unauthorized",
    "Usage",
    "UsageRecord",
    "__version__",
]
