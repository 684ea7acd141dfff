"""``dragoman hf``: what a provider has to do with Hugging Face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from dragoman.cli.options import AsJson, make_options
from dragoman.cli.output import ExitCode, marks, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.cli.hf_checks import Finding
    from dragoman.cli.hub import Partner

_GATEWAY = "http://127.0.0.1:3000"

app = typer.Typer(
    help="Be an inference provider of Hugging Face: register models, and check the gateway as Hugging "
    "Face checks it."
)
models = typer.Typer(
    help="Say which models of the Hub the gateway serves. Needs HF_TOKEN, but for the list."
)
app.add_typer(models, name="models")

_Provider = Annotated[
    str,
    typer.Option("--provider", metavar="NAME", help="The name Hugging Face has given you."),
]
_Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="A token with write access to the provider's organisation. [env: HF_TOKEN, which keeps it "
        "off the list of processes]",
    ),
]
_Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="Another Hub. [env: HF_ENDPOINT]", hidden=True),
]
_MappingId = Annotated[str, typer.Argument(metavar="ID", help="As in the list.")]
_StatusWord = Literal["live", "staging"]


@models.command("list")
def list_models(
    provider: _Provider,
    *,
    status: Annotated[
        _StatusWord | None, typer.Option("--status", help="Only those of this status.")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Only those of this task.")
    ] = None,
    as_json: AsJson = False,
    token: _Token = None,
    endpoint: _Endpoint = None,
) -> None:
    """Show which models of the Hub are mapped to which of the provider's. Needs no token.

    \b
    Example:
      dragoman hf models list --provider acme --status live
    """
    import msgspec  # noqa: PLC0415 - not needed for --help

    rows = _with_partner(provider, token, endpoint, lambda partner: partner.list(status))
    rows = [row for row in rows if task in (None, row.task)]
    if as_json:
        show_json(msgspec.to_builtins(rows))
    elif rows:
        headings = ("id", "task", "model of the Hub", "your model", "status")
        show_table(headings, [(r.id, r.task, r.hf_model, r.provider_model, r.status) for r in rows])
    else:
        say("No models are mapped. Map one: dragoman hf models register")


@models.command("register")
def register(
    provider: _Provider,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            metavar="TASK",
            help="As the model's page shows it; 'conversational' for chat models.",
        ),
    ],
    provider_model: Annotated[
        str,
        typer.Option("--provider-model", metavar="MODEL", help="The model's name at your gateway."),
    ],
    *,
    hf_model: Annotated[
        str | None,
        typer.Option("--hf-model", metavar="NAMESPACE/MODEL", help="The model's name at the Hub."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="In its place, once or more: every model that has all these tags, for LoRA adapters.",
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="For everybody at once, and not first for your organisation."),
    ] = False,
    as_json: AsJson = False,
    token: _Token = None,
    endpoint: _Endpoint = None,
) -> None:
    """Map a model of the Hub to one of yours. It is 'staging' first: only members of your organisation
    see it, until it is made 'live'.

    \b
    Examples:
      dragoman hf models register --provider acme --task conversational \\
        --hf-model meta-llama/Llama-3.3-70B-Instruct --provider-model llama-3.3-70b
      dragoman hf models register --provider acme --task text-to-image --tag lora \\
        --tag base_model:adapter:black-forest-labs/FLUX.1-dev --provider-model flux-dev-lora
    """
    if (hf_model is None) == (not tag):
        raise typer.BadParameter("give either --hf-model or one --tag or more")
    status: _StatusWord = "live" if live else "staging"

    async def work(partner: Partner) -> str:
        if hf_model is not None:
            return await partner.register(
                task=task, hf_model=hf_model, provider_model=provider_model, status=status
            )
        return await partner.register_tags(
            task=task, tags=tag or [], provider_model=provider_model, status=status
        )

    mapping_id = _with_partner(provider, token, endpoint, work)
    if as_json:
        show_json({"id": mapping_id, "status": status})
        return
    what = hf_model or f"every model tagged {', '.join(tag or [])}"
    say(f"{what} is mapped to {provider_model!r} and {status}: {mapping_id}")
    if not live:
        say(f"When it works: dragoman hf models status {mapping_id} live --provider {provider}")


@models.command("status")
def set_status(
    mapping_id: _MappingId,
    status: Annotated[_StatusWord, typer.Argument(metavar="live|staging")],
    provider: _Provider,
    *,
    token: _Token = None,
    endpoint: _Endpoint = None,
) -> None:
    """Make a mapping 'live' for everybody, or 'staging' for your organisation alone. Hugging Face tests
    the model at once.

    \b
    Example:
      dragoman hf models status 650000000000000000000001 live --provider acme
    """
    _with_partner(provider, token, endpoint, lambda p: p.set_status(mapping_id, status))
    say(f"{mapping_id} is {status}.")


@models.command("delete")
def delete(
    mapping_id: _MappingId,
    provider: _Provider,
    *,
    token: _Token = None,
    endpoint: _Endpoint = None,
) -> None:
    """Take a mapping away: Hugging Face sends no more requests for that model.

    \b
    Example:
      dragoman hf models delete 650000000000000000000001 --provider acme
    """
    _with_partner(provider, token, endpoint, lambda partner: partner.delete(mapping_id))
    say(f"{mapping_id} is gone.")


@app.command("validate")
def validate(
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="The model's name at the gateway.")
    ],
    *,
    task: Annotated[
        str, typer.Option("--task", metavar="TASK", help="What it is registered for.")
    ] = "conversational",
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="Where the gateway answers.")
    ] = _GATEWAY,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="The key that Hugging Face will use, or one of the same user. '-' reads it from the "
            "standard input.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a model of a running gateway as Hugging Face checks it, and what else its contract asks for:
    answers that its clients can read, in time; tool calls; JSON by a schema; an id in every answer; the
    billing endpoint; prices in the list of models. It makes a few small requests, which cost what they
    cost. Ends with 1 if something is wrong.

    \b
    Examples:
      dragoman hf validate --model llama-3.3-70b --key sk-gw-…
      dragoman hf validate --model all-minilm --task feature-extraction --url https://llm.example.com \\
        --key - < key.txt
    """
    import msgspec  # noqa: PLC0415 - not needed for --help

    from dragoman.canonical.secret import Secret  # noqa: PLC0415
    from dragoman.cli.hf_checks import Checks  # noqa: PLC0415
    from dragoman.cli.hf_samples import SAMPLES  # noqa: PLC0415
    from dragoman.cli.remote import Site  # noqa: PLC0415

    if task not in SAMPLES:
        raise typer.BadParameter(f"there is no task {task!r}; choose of {', '.join(SAMPLES)}")
    if key == "-":
        key = typer.get_text_stream("stdin").readline().strip()

    async def work() -> list[Finding]:
        async with Site(url, Secret(key) if key else None) as site:
            return await Checks(site, model, task).all()

    findings = asyncio.run(work())
    passed = all(one.ok is not False for one in findings)
    if as_json:
        checks = msgspec.to_builtins(findings)
        show_json({"passed": passed, "model": model, "task": task, "checks": checks})
    else:
        _show(findings, passed=passed)
    if not passed:
        raise typer.Exit(ExitCode.FAILED)


def _show(findings: list[Finding], *, passed: bool) -> None:
    good, bad = marks()
    signs = {True: good, False: bad, None: "-"}
    show_table(("", "check", "found"), [(signs[one.ok], one.name, one.found) for one in findings])
    mends = [one for one in findings if one.mend]
    if mends:
        say()
    for one in mends:
        say(f"{one.name}: {one.mend}")
    say()
    say(
        "Everything that Hugging Face checks is as it should be."
        if passed
        else "Hugging Face would not take the model as it is."
    )


def _with_partner(
    provider: str,
    token: str | None,
    endpoint: str | None,
    work: Callable[[Partner], Coroutine[Any, Any, Any]],
) -> Any:
    from dragoman.cli.hub import ENDPOINT, Partner, token_of  # noqa: PLC0415 - not for --help
    from dragoman.cli.remote import Site  # noqa: PLC0415
    from dragoman.runtime import environ_of  # noqa: PLC0415

    environ = environ_of(make_options())
    secret = token_of(token, environ)
    address = endpoint or environ.get("HF_ENDPOINT") or ENDPOINT

    async def run() -> Any:
        async with Site(address, secret) as site:
            return await work(Partner(site, provider, has_token=secret is not None))

    return cast(Any, asyncio.run(run()))
