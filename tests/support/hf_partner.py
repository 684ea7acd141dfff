"""A stand-in for the Hub's model mapping API, by which providers register models.

::

    with PartnerHub() as hub:
        hub.rows["65…01"]["status"]      # mappings by id, as they were sent
        hub.requests[-1].method

Source: huggingface/hub-docs ``docs/inference-providers/register-as-a-provider.md``: reading is open to
everyone, the rest needs a token with write access to the provider's organisation; a new mapping is
``staging`` unless it says otherwise; the list is grouped by task, tag filters by their tags.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple

PROVIDER = "acme"
WRITER = "hf_writer_0123456789"
READER = "hf_reader_0123456789"
KNOWN_MODELS = {"org/chat": "conversational", "org/embed": "feature-extraction"}


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    token: str
    body: Any


class PartnerHub:
    """A context manager; ``url`` is the Hub's address."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.requests: list[Asked] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                asked = Asked(self.command, self.path, token, body)
                hub.requests.append(asked)
                status, answer = hub.answer(asked)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - names of the base class

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> PartnerHub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """(status, body)."""
        path, _, query = asked.path.partition("?")
        parts = path.strip("/").split("/")
        if parts[:2] != ["api", "partners"] or parts[3:4] != ["models"]:
            return 404, {"error": "Not Found"}
        if parts[2] != PROVIDER:
            return 404, {"error": "Provider not found"}
        if asked.method == "GET":
            return 200, self._listed(query.removeprefix("status=") if query else "")
        if asked.token not in (WRITER, READER):
            return 401, {"error": f"Invalid credentials: {asked.token}"}
        if asked.token != WRITER:
            return 403, {"error": "Forbidden"}
        match asked.method, parts[4:]:
            case "POST", []:
                return self._add(asked.body)
            case "PUT", [row_id, "status"] if row_id in self.rows:
                if asked.body not in ({"status": "live"}, {"status": "staging"}):
                    return 400, {"error": "Invalid status"}
                self.rows[row_id].update(asked.body)
                return 200, {"ok": True}
            case "DELETE", [row_id] if row_id in self.rows:
                del self.rows[row_id]
                return 200, {"ok": True}
        return 404, {"error": "Mapping not found"}

    def _add(self, body: dict[str, Any]) -> tuple[int, Any]:
        wanted = {"task", "providerModel"}
        if body.get("type") == "tag-filter":
            wanted |= {"tags", "adapterType", "type"}
            if body.get("adapterType") != "lora":
                return 400, {"error": "Only lora is supported"}
        else:
            wanted |= {"hfModel"}
            known = KNOWN_MODELS.get(body.get("hfModel", ""))
            if known is None:
                return 404, {"error": "Model not found"}
            if known != body.get("task"):
                return 400, {"error": f"The model's task is {known}"}
        if not wanted <= set(body) <= wanted | {"status"}:
            return 400, {"error": f"Expected {sorted(wanted)}"}
        if any(_name(row) == _name(body) for row in self.rows.values()):
            return 409, {"error": "Mapping already exists"}
        row_id = f"{len(self.rows) + 1:024x}"
        self.rows[row_id] = {"status": "staging", **body}
        return 200, {"_id": row_id}

    def _listed(self, status: str) -> dict[str, Any]:
        listed: dict[str, Any] = {}
        for row_id, row in self.rows.items():
            if status in ("", row["status"]):
                shown = {
                    "_id": row_id,
                    "providerId": row["providerModel"],
                    "status": row["status"],
                    **{name: row[name] for name in ("adapterType", "tags") if name in row},
                }
                listed.setdefault(row["task"], {})[_name(row)] = shown
        return listed


def _name(row: dict[str, Any]) -> str:
    tags = row.get("tags")
    return f"tag-filter={','.join(sorted(tags))}" if tags else str(row.get("hfModel"))
