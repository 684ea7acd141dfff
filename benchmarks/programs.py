"""What is measured: how each program is configured and started in front of the same upstream."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from pathlib import Path

from benchmarks import material
from benchmarks.http1 import Address, Ask

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"


@dataclass(frozen=True)
class Place:
    """Where a program shall run: its own directory and port, and the upstream it shall serve."""

    directory: Path
    port: int
    upstream: Address


@dataclass(frozen=True)
class Launch:
    """A command line, and variables to add to the environment."""

    argv: list[str | Path]
    environ: Mapping[str, str] = field(default_factory=dict)


class Program:
    """A program under measurement; ``lacking`` is empty or says why it cannot be measured."""

    title: str
    lacking: str = ""

    @property
    def version(self) -> str:
        """Name and version for the report."""
        raise NotImplementedError

    def prepare(self, place: Place) -> Launch:
        """Write its configuration into the place; how to start it there."""
        raise NotImplementedError

    def asks(self, upstream: Address, *, stream: bool = False) -> dict[str, Ask]:
        """The requests to measure it with, by what they show ("" if there is only one)."""
        return {"": chat_ask({"authorization": f"Bearer {material.CLIENT_KEY}"}, stream=stream)}


def chat_ask(headers: Mapping[str, str], *, stream: bool = False) -> Ask:
    """The OpenAI request under a program's own headers."""
    return Ask(CHAT_PATH, material.chat_request(stream=stream), headers)


class Dragoman(Program):
    """This repository's gateway, with a key required, as ``dragoman serve`` starts it."""

    title = "Dragoman"

    @property
    def version(self) -> str:
        return f"Dragoman {package_version('dragoman')}"

    def prepare(self, place: Place) -> Launch:
        config = place.directory / "config.json"
        channel = {
            "name": "upstream",
            "type": "custom",
            "protocol": "openai_chat",
            "base_url": f"{place.upstream.url}/v1",
            "api_key": material.UPSTREAM_KEY,
            "models": [material.MODEL],
            "max_concurrency": 100_000,  # the default learns, beginning with one
        }
        token = {"name": "bench", "key": material.CLIENT_KEY}
        config.write_text(json.dumps({"channels": [channel], "tokens": [token]}), encoding="utf-8")
        argv = [sys.executable, "-m", "dragoman", "serve", "--host", "127.0.0.1"]
        argv += ["--port", str(place.port), "--config", str(config)]
        argv += ["--data-dir", str(place.directory / "data")]
        return Launch(list(argv), _trust("SSL_CERT_FILE", place))

    def asks(self, upstream: Address, *, stream: bool = False) -> dict[str, Ask]:
        chat = chat_ask({"authorization": f"Bearer {material.CLIENT_KEY}"}, stream=stream)
        messages = Ask(
            MESSAGES_PATH,
            material.messages_request(stream=stream),
            {"x-api-key": material.CLIENT_KEY, "anthropic-version": "2023-06-01"},
        )
        return {"OpenAI passed through": chat, "Anthropic translated": messages}


class Nginx(Program):
    """nginx as a plain reverse proxy in one process: no keys, no limits, no look at the body."""

    title = "nginx"

    def __init__(self) -> None:
        # Debian keeps it where only the administrator's PATH looks.
        self._path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        self.lacking = "" if self._path else "nginx is not on the PATH"

    @property
    def version(self) -> str:
        shown = subprocess.run([str(self._path), "-v"], capture_output=True, text=True, check=False)
        return shown.stderr.strip().rpartition(" ")[2].replace("/", " ")

    def prepare(self, place: Place) -> Launch:
        authority = place.upstream.authority
        tls = f"""
            proxy_ssl_verify on;
            proxy_ssl_name localhost;
            proxy_ssl_trusted_certificate {authority};"""
        temporary = "\n".join(
            f"{kind}_temp_path {place.directory}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = place.directory / "nginx.conf"
        config.write_text(
            f"""
            daemon off;
            master_process off;
            pid {place.directory}/nginx.pid;
            error_log stderr error;
            worker_rlimit_nofile 16384;
            events {{ worker_connections 8192; }}
            http {{
                access_log off;
                {temporary}
                upstream provider {{
                    server 127.0.0.1:{place.upstream.port};
                    keepalive 256;
                    keepalive_requests 10000000;
                }}
                server {{
                    listen 127.0.0.1:{place.port} backlog=4096;
                    keepalive_requests 10000000;
                    location / {{
                        proxy_pass {place.upstream.url.partition(":")[0]}://provider;
                        proxy_http_version 1.1;
                        proxy_set_header Connection "";
                        proxy_set_header Authorization "Bearer {material.UPSTREAM_KEY}";
                        proxy_buffering off;{tls if authority else ""}
                    }}
                }}
            }}
            """,
            encoding="utf-8",
        )
        return Launch([str(self._path), "-e", "stderr", "-p", place.directory, "-c", config])


class LiteLLM(Program):
    """LiteLLM's proxy with one worker and a master key, without a database."""

    title = "LiteLLM"

    def __init__(self, python: Path | None) -> None:
        """``python``: an interpreter that has ``litellm[proxy]``; None for this one."""
        self._python = str(python or sys.executable)
        if python is None and importlib.util.find_spec("litellm") is None:
            self.lacking = "litellm is not installed; give a Python that has it: --litellm PYTHON"

    @functools.cached_property
    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        shown = subprocess.run(
            [self._python, "-c", code], capture_output=True, text=True, check=True
        )
        return f"LiteLLM {shown.stdout.strip()}"

    def prepare(self, place: Place) -> Launch:
        config = place.directory / "litellm.json"  # JSON is YAML
        params = {
            "model": f"openai/{material.MODEL}",
            "api_base": f"{place.upstream.url}/v1",
            "api_key": material.UPSTREAM_KEY,
        }
        content = {
            "model_list": [{"model_name": material.MODEL, "litellm_params": params}],
            "general_settings": {"master_key": material.CLIENT_KEY},
        }
        config.write_text(json.dumps(content), encoding="utf-8")
        code = "import sys; from litellm import run_server; sys.exit(run_server())"
        argv = [self._python, "-c", code, "--config", str(config), "--host", "127.0.0.1"]
        argv += ["--port", str(place.port), "--num_workers", "1", "--telemetry", "False"]
        quiet = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # nothing is fetched at the start
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        }
        return Launch(list(argv), {**quiet, **_trust("SSL_CERT_FILE", place)})


class Portkey(Program):
    """Portkey's open-source gateway on Node; it takes the provider's key from the client."""

    title = "Portkey"

    def __init__(self, package: Path | None) -> None:
        """``package``: the folder of the npm package ``@portkey-ai/gateway``."""
        self._package = package
        if package is None:
            self.lacking = "no --portkey FOLDER was given"
        elif shutil.which("node") is None:
            self.lacking = "node is not on the PATH"

    @property
    def version(self) -> str:
        assert self._package is not None
        manifest = json.loads((self._package / "package.json").read_text(encoding="utf-8"))
        return f"Portkey gateway {manifest['version']}"

    def prepare(self, place: Place) -> Launch:
        assert self._package is not None
        server = self._package.absolute() / "build" / "start-server.js"
        argv: list[str | Path] = ["node", server, "--headless", f"--port={place.port}"]
        environ = {"NODE_ENV": "production", **_trust("NODE_EXTRA_CA_CERTS", place)}
        return Launch(argv, environ)

    def asks(self, upstream: Address, *, stream: bool = False) -> dict[str, Ask]:
        headers = {
            "authorization": f"Bearer {material.UPSTREAM_KEY}",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{upstream.url}/v1",
        }
        return {"": chat_ask(headers, stream=stream)}


def _trust(variable: str, place: Place) -> dict[str, str]:
    """The variable that makes a program trust the upstream's certificate, if it has one."""
    return {variable: str(place.upstream.authority)} if place.upstream.authority else {}


def plain_name(title: str) -> str:
    """``title`` as a directory's name."""
    return re.sub(r"\W+", "-", title.lower())
