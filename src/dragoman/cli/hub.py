"""Hugging Face's model mapping API, by which a provider says which models of the Hub it serves.

Source: huggingface/hub-docs ``docs/inference-providers/register-as-a-provider.md``, "Model Mapping API".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.cli.output import CommandFailed
from dragoman.cli.remote import Answer, NoAnswer, Site

ENDPOINT = "https://huggingface.co"
Status = Literal["live", "staging"]

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")
_HF_MODEL = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_TOKENS = "https://huggingface.co/settings/tokens"


class Mapping(msgspec.Struct, kw_only=True, frozen=True):
    """A model of the Hub, or all that have certain ``tags``, and the provider's model that serves it.
    ``status`` is ``live``, ``staging`` (for the provider's own organisation only) or what the Hub says
    besides."""

    id: str
    task: str
    hf_model: str
    provider_model: str
    status: str
    adapter_type: str = ""
    tags: tuple[str, ...] = ()


class Partner:
    """The mappings of one provider. Every method raises CommandFailed."""

    def __init__(self, site: Site, provider: str, *, has_token: bool) -> None:
        """``provider`` is the name that Hugging Face has given it."""
        if not _SLUG.fullmatch(provider):
            raise CommandFailed(
                f"{provider!r} is no provider's name: small letters, digits and hyphens, as in the "
                "address huggingface.co/api/partners/NAME/models."
            )
        self._site = site
        self._provider = provider
        self._has_token = has_token
        self._path = f"/api/partners/{provider}/models"

    async def list(self, status: Status | None = None) -> list[Mapping]:
        """All mappings, or those of one status; anybody may read them."""
        query = f"?status={status}" if status else ""
        body = (await self._ask("GET", self._path + query)).json()
        if not isinstance(body, dict):
            raise CommandFailed("The Hub's list of models is not of the documented form.")
        return [
            _mapping(str(task), str(model), row)
            for task, models in body.items()
            if isinstance(models, dict)
            for model, row in models.items()
            if isinstance(row, dict)
        ]

    async def register(
        self, *, task: str, hf_model: str, provider_model: str, status: Status
    ) -> str:
        """Map a model; its mapping's id."""
        if not _HF_MODEL.fullmatch(hf_model):
            raise CommandFailed(f"{hf_model!r} is no model of the Hub: write namespace/model.")
        body = {
            "task": task,
            "hfModel": hf_model,
            "providerModel": provider_model,
            "status": status,
        }
        return _mapping_id(await self._ask("POST", self._path, body))

    async def register_tags(
        self, *, task: str, tags: Sequence[str], provider_model: str, status: Status
    ) -> str:
        """Map every model that has all of these tags, such as the LoRA adapters of a base model; its
        mapping's id."""
        body = {
            "type": "tag-filter",
            "task": task,
            "tags": [*tags],
            "providerModel": provider_model,
            "adapterType": "lora",  # the only one there is
            "status": status,
        }
        return _mapping_id(await self._ask("POST", self._path, body))

    async def set_status(self, mapping_id: str, status: Status) -> None:
        """Switch a mapping; the Hub tests it at once."""
        path = f"{self._path}/{quote(mapping_id, safe='')}/status"
        await self._ask("PUT", path, {"status": status})

    async def delete(self, mapping_id: str) -> None:
        """Take a mapping away."""
        await self._ask("DELETE", f"{self._path}/{quote(mapping_id, safe='')}")

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        if method != "GET" and not self._has_token:
            raise CommandFailed(
                "This needs a token of a member of the provider's organisation with write access: set "
                f"HF_TOKEN. Tokens are made at {_TOKENS}"
            )
        try:
            answer = await self._site.ask(method, path, body)
        except NoAnswer as error:
            raise CommandFailed(f"{self._site.base_url} cannot be reached: {error}") from None
        if not 200 <= answer.status < 300:
            raise CommandFailed(self._advice(answer))
        return answer

    def _advice(self, answer: Answer) -> str:
        what = {
            400: "The Hub refuses this. A model's task must be the one that its page shows; chat models "
            "take the task 'conversational', and must be tagged so.",
            401: f"The Hub does not know the token. Make another at {_TOKENS} and set HF_TOKEN.",
            403: f"The token may not change the models of {self._provider!r}. It must be of a member of "
            "the provider's organisation with write access, the organisation must be on a Team or "
            "Enterprise plan, and Hugging Face must have enabled the provider.",
            404: f"The Hub knows no provider {self._provider!r}, or no such model or mapping there "
            "(dragoman hf models list). Hugging Face enters providers on request.",
            409: "There is such a mapping already: change its status, or delete it first (dragoman hf "
            "models list).",
            429: "The Hub takes no more requests just now. Try again in a minute.",
        }.get(answer.status, "The Hub failed. Try again later.")
        return f"{what} (HTTP {answer.status}: {answer.said()})"


def _mapping(task: str, model: str, row: dict[str, Any]) -> Mapping:
    tags = row.get("tags")
    return Mapping(
        id=str(row.get("_id", "")),
        task=task,
        hf_model=model,
        provider_model=str(row.get("providerId", "")),
        status=str(row.get("status", "")),
        adapter_type=str(row.get("adapterType", "")),
        tags=tuple(map(str, tags)) if isinstance(tags, list) else (),
    )


def _mapping_id(answer: Answer) -> str:
    """The documentation says that the answer is the id, and not in which form."""
    body = answer.json()
    if isinstance(body, dict):
        body = next((body[name] for name in ("_id", "id", "mappingId") if name in body), None)
    return body if isinstance(body, str) else ""


def token_of(given: str | None, environ: dict[str, str]) -> Secret | None:
    """The operator's token: the one given, else the environment's."""
    text = (given or environ.get("HF_TOKEN") or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CommandFailed("The token has characters that no token has.")
    return Secret(text)
