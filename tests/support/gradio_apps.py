"""Real Gradio apps, all in one process, and beside them the few paths of the Hub that name Spaces.

``python -m tests.support.gradio_apps`` prints its URL when it is up. An app answers below its name
(``/text``), a Space is ``team/<app>``; the built-in models' Spaces are there, too. ``/seen`` tells
which tokens came where, ``/slow-progress`` how far the slow app has got.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

QUOTA = "You have exceeded your GPU quota (60s requested vs. 41s left). Try again in 1:02:03"
HIDDEN = "a secret of the app's own"
STAGES = {"asleep": "PAUSED", "building": "BUILDING"}
BUILT_IN = {  # Space → app
    "merterbak/gpt-oss-20b-demo": "reasoner",
    "huggingface-projects/gemma-3-12b-it": "looker",
    "huggingface-projects/gemma-2-9b-it": "tuned",
    "huggingface-projects/gemma-2-2b-it": "text",  # its arguments have changed since
    "daniel-dona/gemma-3-270m": "tuned",
    "Kingoteam/Qwen2.5-vl-3B-demo": "files",
}
progress = {"steps": 0, "ended": 0}
seen: list[list[str]] = []


def words(text: str) -> Iterator[str]:
    """A text that grows."""
    grown = ""
    for word in text.split(" "):
        grown = f"{grown} {word}".lstrip() if grown else word
        time.sleep(0.01)
        yield grown


def text(message: str, history: list[Any]) -> Iterator[str]:
    yield from words(f"You said: {message}")


def files(message: dict[str, Any], history: list[Any]) -> Iterator[str]:
    sizes = [len(Path(path).read_bytes()) for path in message["files"]]
    names = [Path(path).name for path in message["files"]]
    yield from words(json.dumps({"text": message["text"], "names": names, "sizes": sizes}))


def tuned(
    message: str,
    history: list[Any],
    system_message: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    repetition_penalty: float,
) -> str:
    return json.dumps(
        [message, system_message, max_new_tokens, temperature, top_p, top_k, repetition_penalty]
    )


def reasoner(
    input_data: str,
    history: list[Any],
    system_prompt: str,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    repetition_penalty: float,
) -> Iterator[str]:
    thought = "<details open><summary>Thinking</summary>\nLet me see.\n</details>\n\n"
    said = json.dumps([input_data, system_prompt, max_new_tokens, temperature])
    yield from words(thought + said)


def looker(
    message: dict[str, Any], history: list[Any], system_prompt: str, max_new_tokens: int
) -> str:
    return json.dumps([message["text"], len(message["files"]), system_prompt, max_new_tokens])


def thinker(message: str, history: list[Any]) -> Iterator[Any]:
    for grown in words("Let me see."):
        yield gr.ChatMessage(content=grown, metadata={"title": "Thinking", "status": "pending"})
    done = gr.ChatMessage(content="Let me see.", metadata={"title": "Thinking", "status": "done"})
    for grown in words("It is four."):
        yield [done, gr.ChatMessage(content=grown)]


def quota(message: str, history: list[Any], request: gr.Request) -> Iterator[str]:
    """As on ZeroGPU: whoever the token is of has used up what is granted to them."""
    if request.headers.get("x-hf-authorization") or "always" in message:
        raise gr.Error(QUOTA, title="ZeroGPU quota exceeded")
    yield from words("Nobody knows you.")


def broken(message: str, history: list[Any]) -> Iterator[str]:
    yield "Half an"
    time.sleep(0.5)  # for the words to be under way by themselves
    raise ValueError(HIDDEN)


def slow(message: str, history: list[Any]) -> Iterator[str]:
    try:
        for step in range(600):
            progress["steps"] += 1
            yield "x" * (step + 1)
            time.sleep(0.05)
    finally:
        progress["ended"] += 1


def respond(history: list[Any], temperature: float) -> Iterator[list[Any]]:
    asked = history[-1]["content"]
    for grown in words(f"{len(history)} turns, {asked[0]['text']}"):
        yield [*history, {"role": "assistant", "content": grown}]


def pair(prompt: str) -> list[str]:
    return ["Let me see.", prompt.upper()]


def draw(prompt: str) -> None:
    return None


def sliders() -> list[gr.Slider]:
    return [
        gr.Slider(1, 2048, value=512, step=1, label="Max new tokens"),
        gr.Slider(0.1, 4.0, value=0.7, step=0.1, label="Temperature"),
        gr.Slider(0.05, 1.0, value=0.95, step=0.05, label="Top-p (nucleus sampling)"),
        gr.Slider(1, 1000, value=50, step=1, label="Top-k"),
        gr.Slider(1.0, 2.0, value=1.2, step=0.05, label="Repetition penalty"),
    ]


def apps() -> dict[str, gr.Blocks]:
    """Every app by its name."""
    made: dict[str, gr.Blocks] = {
        "text": gr.ChatInterface(text),
        "files": gr.ChatInterface(files, multimodal=True),
        "tuned": gr.ChatInterface(
            tuned, additional_inputs=[gr.Textbox("Be nice.", label="System message"), *sliders()]
        ),
        "reasoner": gr.ChatInterface(
            reasoner, additional_inputs=[gr.Textbox(label="System prompt"), *sliders()]
        ),
        "looker": gr.ChatInterface(
            looker,
            multimodal=True,
            additional_inputs=[
                gr.Textbox(label="System prompt"),
                gr.Slider(100, 2000, value=700, step=10, label="Max New Tokens"),
            ],
        ),
        "thinker": gr.ChatInterface(thinker),
        "quota": gr.ChatInterface(quota),
        "broken": gr.ChatInterface(broken),
        "slow": gr.ChatInterface(slow, concurrency_limit=1),
    }
    with gr.Blocks() as made["plain"]:
        gr.Button().click(pair, gr.Textbox(label="Prompt"), gr.JSON(), api_name="generate")
    with gr.Blocks() as made["history"]:
        chatbot, heat = gr.Chatbot(), gr.Slider(0, 2, value=0.5, label="Temperature")
        gr.Button().click(respond, [chatbot, heat], chatbot, api_name="respond")
    with gr.Blocks() as made["drawing"]:
        gr.Button().click(draw, gr.Textbox(label="Prompt"), gr.Image(), api_name="infer")
    made["slow"].queue(max_size=1)
    return made


def hub(url: str, names: list[str]) -> FastAPI:
    """The Hub's paths for Spaces, and what the tests want to know."""
    app = FastAPI()

    @app.middleware("http")
    async def remember(request: Request, proceed: Any) -> Any:
        token = request.headers.get("authorization", "")
        if not request.url.path.startswith(("/seen", "/slow-progress")):
            seen.append([request.method, request.url.path, token.removeprefix("Bearer ")])
        return await proceed(request)

    @app.get("/api/spaces/{owner}/{name}/host")
    def host(owner: str, name: str, request: Request) -> dict[str, str]:
        if "bad" in request.headers.get("authorization", ""):
            raise HTTPException(401, "Invalid credentials in Authorization header")
        if name == "private" and "hf_operator" not in request.headers.get("authorization", ""):
            raise HTTPException(401, "Invalid username or password.")
        found = BUILT_IN.get(f"{owner}/{name}", name if owner == "team" else "")
        if found not in (*names, *STAGES):
            raise HTTPException(404, "Repository not found")
        return {"subdomain": f"{owner}-{name}", "host": f"{url}/{found}"}

    @app.get("/api/spaces/{owner}/{name}/runtime")
    def runtime(owner: str, name: str) -> dict[str, str]:
        return {"stage": STAGES.get(name, "RUNNING")}

    @app.get("/seen")
    def tell() -> list[list[str]]:
        told = list(seen)
        seen.clear()
        return told

    @app.get("/photo.png")
    def photo() -> Response:
        return Response(b"\x89PNG\r\n\x1a\n" + b"\0" * 192, media_type="image/png")

    @app.get("/slow-progress")
    def how_far() -> dict[str, int]:
        return progress

    return app


def main() -> None:
    """Serve until killed."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        made = apps()
        app = hub(url, list(made))
        for name, blocks in made.items():
            app = gr.mount_gradio_app(app, blocks, f"/{name}", show_error=False, ssr_mode=False)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        print(url, flush=True)
        server.run(sockets=[listener])


if __name__ == "__main__":
    main()
