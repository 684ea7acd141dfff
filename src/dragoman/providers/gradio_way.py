"""The requests of one opening: the right headers for the right host, and the cookies kept."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dragoman.canonical.secret import Secret
from dragoman.providers.gradio_place import may_have_token
from dragoman.providers.opening import Draft
from dragoman.wire.http import HttpReply, HttpRequest

_NOT_PASSED_ON = frozenset({"accept", "content-type", "content-length", "host"})


class Way:
    """Makes requests. ``token`` goes to the Hub and its Spaces, the operator's own headers to the
    channel's own address, and neither to any other host."""

    def __init__(self, draft: Draft, hub: str, token: Secret | None) -> None:
        self._hub = hub
        self._token = token
        self._home = _origin(draft.base_url)
        self._own = {
            name: value
            for name, value in draft.request.headers.items()
            if name not in _NOT_PASSED_ON
            and not (name == "authorization" and draft.credential is not None)
        }
        self._cookies: dict[str, str] = {}

    def get(self, url: str, accept: str = "application/json") -> HttpRequest:
        """A GET."""
        return HttpRequest(method="GET", url=url, headers=self._headers(url, accept))

    def post(self, url: str, value: Any) -> HttpRequest:
        """A POST of JSON."""
        headers = {**self._headers(url), "content-type": "application/json"}
        return HttpRequest(method="POST", url=url, headers=headers, body=msgspec.json.encode(value))

    def upload(self, url: str, name: str, media_type: str, content: bytes) -> HttpRequest:
        """A POST of one file as a form."""
        boundary = f"dragoman-{hashlib.sha256(content).hexdigest()}"
        head = (
            f"--{boundary}\r\n"
            f'content-disposition: form-data; name="files"; filename="{name}"\r\n'
            f"content-type: {media_type}\r\n\r\n"
        )
        headers = {
            **self._headers(url),
            "content-type": f"multipart/form-data; boundary={boundary}",
        }
        body = b"".join([head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
        return HttpRequest(method="POST", url=url, headers=headers, body=body)

    def seen(self, reply: HttpReply) -> HttpReply:
        """Keep an answer's cookies: they lead to the replica that has the job."""
        for name, value in reply.headers:
            if name == "set-cookie":
                key, equals, content = value.partition(";")[0].partition("=")
                if equals and _is_cookie(key.strip()) and _is_cookie(content.strip()):
                    self._cookies[key.strip()] = content.strip()
        return reply

    def _headers(self, url: str, accept: str = "application/json") -> dict[str, str]:
        headers = {"accept": accept}
        if _origin(url) == self._home:
            headers |= self._own
        if self._token is not None and may_have_token(url, self._hub):
            bearer = f"Bearer {self._token.reveal()}"
            headers |= {"authorization": bearer, "x-hf-authorization": bearer}
        if self._cookies:
            headers["cookie"] = "; ".join(f"{key}={value}" for key, value in self._cookies.items())
        return headers


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _is_cookie(text: str) -> bool:
    return text.isascii() and text.isprintable() and len(text) < 4096 and ";" not in text
