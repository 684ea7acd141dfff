"""Vertex AI: where a request goes, and with what credential.

The channel's credential is an express key or the JSON of a service account. Addresses::

    express key     {base}/v1/publishers/google/models/{model}:{verb}             x-goog-api-key
    account         {host}/v1/projects/{project}/locations/{location}/publishers/…   Bearer token
    … direct mode   {host}/v1/projects/{project}/locations/{location}/endpoints/openapi/chat/completions

    location        host
    global          https://aiplatform.googleapis.com
    us, eu          https://aiplatform.{location}.rep.googleapis.com
    any other       https://{location}-aiplatform.googleapis.com

A channel with a base URL of its own (a private cloud, a test) is asked there whatever the location.

Quirks of the channel: ``project`` and ``location`` go before what the account says (its own project;
``global``); ``api_version`` (``v1``); ``safety_settings``: one threshold for every category, or a list
of Google's ``{category, threshold}``, where the client sends none; ``check_model`` is the model whose
tokens are counted when the channel is tried out; ``think_tag`` the tag around the thoughts in direct
mode.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference, and the pages
on express mode and on the OpenAI libraries beside it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import msgspec

from dragoman.canonical.errors import (
    UpstreamError,
    UpstreamMisconfigured,
    UpstreamRefusedCredential,
)
from dragoman.providers.opening import Draft, Memory, Opened, Opening, Recourse
from dragoman.providers.vertex_account import (
    AccountError,
    ServiceAccount,
    access_token,
    is_account,
    read_account,
    token_name,
)
from dragoman.providers.vertex_variants import DIRECT, shape, split
from dragoman.wire.http import HttpRequest

HOST = "aiplatform.googleapis.com"
_MULTI_REGIONS = ("us", "eu")
_VERSION = re.compile(r"v\d+[a-z0-9]*")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9:.-]{0,99}")
_LOCATION = re.compile(r"[a-z][a-z0-9-]{0,49}")
_EXPRESS_VERBS = ("generateContent", "streamGenerateContent", "countTokens")
_CHECK = b'{"contents":[{"role":"user","parts":[{"text":"Hi."}]}]}'


def open_vertex(draft: Draft, memory: Memory) -> Opening:
    """See the module. Raises GatewayError."""
    credential = draft.credential
    headers = draft.request.headers
    headers.pop("x-goog-api-key", None)  # it may be a whole service account
    headers.pop("authorization", None)
    if credential is None:
        raise UpstreamRefusedCredential(
            "The channel has neither an express key nor a service account.", upstream_status=401
        )
    body, notes = shape(draft)
    if not is_account(credential):
        headers["x-goog-api-key"] = credential.reveal()
        return Opened(request=_request(draft, _express_url(draft), body), notes=notes)
    try:
        account = read_account(credential)
    except AccountError as error:
        message = f"The service account cannot be used: it {error}."
        raise UpstreamRefusedCredential(message, upstream_status=401) from None
    url = _account_url(draft, account)
    token, known = yield from access_token(account, draft.now, memory)
    headers["authorization"] = f"Bearer {token.reveal()}"

    def failed(error: UpstreamError) -> Recourse:
        """A token that is refused before its time was revoked: another is fetched, once."""
        if not isinstance(error, UpstreamRefusedCredential) or error.upstream_status != 401:
            return Recourse(error)
        if memory.get(token_name(account), draft.now) == token:
            memory.forget(token_name(account))
        return Recourse(error, again=open_vertex(draft, memory) if known else None)

    return Opened(request=_request(draft, url, body), notes=notes, failed=failed)


def _request(draft: Draft, url: str, body: bytes) -> HttpRequest:
    request = msgspec.structs.replace(draft.request, method="POST", url=url, body=body)
    if draft.purpose == "models":
        request.headers["content-type"] = "application/json"
        request.body = _CHECK
    return request


def _express_url(draft: Draft) -> str:
    if draft.protocol != "gemini_generate":
        raise _needs_account("OpenAI direct mode")
    verb = _verb(draft)
    if verb.partition("?")[0] not in _EXPRESS_VERBS:
        raise _needs_account(f"The method {verb.partition('?')[0][:40]}")
    return f"{_root(draft, draft.base_url)}/{_resource(_model(draft))}:{verb}"


def _account_url(draft: Draft, account: ServiceAccount) -> str:
    project = _part(draft, "project", account.project, _PROJECT)
    location = _part(draft, "location", "global", _LOCATION)
    base = draft.base_url
    if urlsplit(base).hostname == HOST:
        base = base.replace(HOST, _host(location), 1)
    root = _root(draft, base)
    below = f"projects/{quote(project, safe='')}/locations/{location}"
    if draft.protocol == DIRECT and draft.purpose == "generate":
        return f"{root}/{below}/endpoints/openapi/chat/completions"
    resource = _resource(_model(draft))
    if not resource.startswith("projects/"):
        resource = f"{below}/{resource}"
    return f"{root}/{resource}:{_verb(draft)}"


def _part(draft: Draft, name: str, otherwise: str, pattern: re.Pattern[str]) -> str:
    """A quirk that becomes part of the address."""
    value = draft.quirks.get(name) or otherwise
    if not value:
        raise UpstreamMisconfigured(
            "The service account names no project_id: set the channel's quirk 'project' "
            "(GCP_PROJECT_ID)."
        )
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise UpstreamMisconfigured(f"The {name} of the Vertex AI channel is not a valid name.")
    return value


def _host(location: str) -> str:
    if location == "global":
        return HOST
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-{HOST}"


def _root(draft: Draft, base: str) -> str:
    base = base.rstrip("/")
    if _VERSION.fullmatch(base.rsplit("/", 1)[-1]):
        return base
    version = draft.quirks.get("api_version", "v1")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise UpstreamMisconfigured("The quirk 'api_version' is not a version such as v1beta1.")
    return f"{base}/{version}"


def _verb(draft: Draft) -> str:
    """The method and query that the codec put after the model's name."""
    if draft.purpose == "models":
        return "countTokens"
    return draft.request.url.rpartition(":")[2]


def _model(draft: Draft) -> str:
    if draft.purpose == "models":
        return str(draft.quirks.get("check_model", "gemini-2.5-flash"))
    return split(draft.model)[0]


def _resource(model: str) -> str:
    """The path of a model: Google's own, another publisher's (``meta/llama…``), or one that is
    written out (``endpoints/123`` for a tuned one)."""
    first, slash, _ = model.partition("/")
    if slash and first in ("projects", "publishers", "endpoints"):
        return "/".join(quote(step, safe="") for step in model.split("/"))
    publisher, _, name = model.rpartition("/")
    return f"publishers/{quote(publisher or 'google', safe='')}/models/{quote(name, safe='')}"


def _needs_account(what: str) -> UpstreamRefusedCredential:
    """Another credential of the channel may serve; that this one does not is no fault of the key."""
    return UpstreamRefusedCredential(
        f"{what} needs a service account; an express key has no access to it.", upstream_status=403
    )
