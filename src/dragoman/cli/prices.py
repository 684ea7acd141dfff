"""``dragoman prices``: what models cost, who says so, and the operator's own prices."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dragoman.cli.administering import Desk, administer
from dragoman.cli.options import (
    AsJson,
    ConfigFile,
    DatabaseUrl,
    DataDir,
    make_options,
    with_runtime,
)
from dragoman.cli.output import CommandFailed, remark, say, show_json, show_table

if TYPE_CHECKING:
    from dragoman.routing.channel import Channel
    from dragoman.runtime import Runtime

UNPRICED = "UNPRICED"


class _Prices(TyperGroup):
    """``dragoman prices`` alone, or with a model's name, means ``dragoman prices list``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not any(arg in self.commands or arg in ("--help", "-h") for arg in args[:1]):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Prices,
    help="Show what models cost and who says so, and set prices of your own. Without a command, "
    "'list' is meant.",
)

_ChannelName = Annotated[str, typer.Argument(metavar="CHANNEL", help="Its name or id.")]
_ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model's name; '*' for every other.")
]


def _usd(option: str, what: str) -> Any:
    return typer.Option(option, metavar="USD", help=f"Per million tokens {what}.")


@app.command("list")
def list_prices(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only this model.")] = None,
    *,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME-OR-ID", help="Only this channel.")
    ] = None,
    as_json: AsJson = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Show what the models of the enabled channels cost, in USD per million tokens, and who says so.
    The lists of providers that tell their prices are fetched for it.

    \b
    Examples:
      dragoman prices
      dragoman prices gpt-4o-mini
      dragoman prices --channel openrouter --json
    """
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415

    async def work(runtime: Runtime) -> None:
        chosen = (
            [find_channel(runtime, channel).channel]
            if channel is not None
            else [one.channel for one in runtime.channels if one.entry.enabled]
        )
        rows = await _rows(chosen, model)
        if as_json:
            show_json(rows)
        elif rows:
            show_table(("model", "channel", "rates", "source", "as of"), [*map(_cells, rows)])
        else:
            say("No enabled channel has such a model." if model else "There are no models to show.")
        if unpriced := sum(not row["priced"] for row in rows):
            remark(
                f"{unpriced} of these have no price: nobody says what they cost. Set one: "
                "dragoman prices set CHANNEL MODEL --input USD --output USD"
            )

    with_runtime(make_options(config, data_dir, database_url), work)


@app.command("set")
def set_price(
    channel: _ChannelName,
    model: _ModelName,
    *,
    input_price: Annotated[str | None, _usd("--input", "read")] = None,
    output: Annotated[str | None, _usd("--output", "written")] = None,
    cache_read: Annotated[str | None, _usd("--cache-read", "read from the cache")] = None,
    cache_write_5m: Annotated[str | None, _usd("--cache-write-5m", "cached for 5 minutes")] = None,
    cache_write_1h: Annotated[str | None, _usd("--cache-write-1h", "cached for an hour")] = None,
    reasoning: Annotated[str | None, _usd("--reasoning", "thought")] = None,
    input_image: Annotated[str | None, _usd("--input-image", "of pictures seen")] = None,
    input_audio: Annotated[str | None, _usd("--input-audio", "of sound heard")] = None,
    output_image: Annotated[str | None, _usd("--output-image", "of pictures made")] = None,
    output_audio: Annotated[str | None, _usd("--output-audio", "of sound made")] = None,
    request: Annotated[
        str | None, typer.Option("--request", metavar="USD", help="For every request.")
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Set a price of your own for a channel's model; it counts before every other. What is not named
    stays, or costs as much as plain input or output. A running gateway knows within two seconds.

    \b
    Examples:
      dragoman prices set openai gpt-4o-mini --input 0.15 --output 0.60 --cache-read 0.075
      dragoman prices set gpu-box '*' --input 0 --output 0
    """
    stated = {
        "input": input_price,
        "output": output,
        "cache_read": cache_read,
        "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
        "input_image": input_image,
        "input_audio": input_audio,
        "output_image": output_image,
        "output_audio": output_audio,
        "request": request,
    }
    changes = {name: _number(text) for name, text in stated.items() if text is not None}
    if not changes:
        raise typer.BadParameter("say what it costs, for example --input 0.15 --output 0.60")

    def change(prices: dict[str, Any]) -> str:
        prices[model] = {**prices.get(model, {}), **changes}
        return f"{model!r} at channel {channel!r} has a price of its own."

    _change(channel, change, make_options(config, data_dir, database_url))


@app.command("unset")
def unset_price(
    channel: _ChannelName,
    model: _ModelName,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take a price of your own back: the provider's or the shipped one counts again.

    \b
    Example:
      dragoman prices unset openai gpt-4o-mini
    """

    def change(prices: dict[str, Any]) -> str:
        if model not in prices:
            known = ", ".join(prices) or "none"
            raise CommandFailed(
                f"There is no price of your own for {model!r} there (only: {known})."
            )
        del prices[model]
        return f"{model!r} at channel {channel!r} has no price of its own any more."

    _change(channel, change, make_options(config, data_dir, database_url))


def _change(channel: str, change: Any, options: Any) -> None:
    from dragoman.cli.lookup import find_channel  # noqa: PLC0415

    async def work(desk: Desk) -> None:
        entry = find_channel(desk.runtime, channel).entry
        prices = dict(entry.prices)
        done = change(prices)
        await desk.admin.change_channel(entry.id, {"prices": prices}, desk.actor)
        say(done)
        served = {name.casefold() for name in (*entry.models, *entry.aliases.values(), "*")}
        strange = [
            one for one in prices if one not in entry.prices and one.casefold() not in served
        ]
        if entry.models and strange:
            remark(
                f"The channel does not serve {strange[0]!r}; it serves {', '.join(entry.models[:10])}."
            )

    administer(options, work)


def _number(text: str) -> float | str:
    """A number where that keeps every digit, else the text; the configuration's checks judge it."""
    try:
        number = float(text)
        return number if Decimal(repr(number)) == Decimal(text.strip()) else text
    except (ValueError, InvalidOperation):
        return text


async def _rows(channels: list[Channel], model: str | None) -> list[dict[str, Any]]:
    from dragoman.cli.wiring import fetched_lists, price_book  # noqa: PLC0415

    book = price_book()
    book.lists = lists = await fetched_lists(channels)
    rows = []
    for channel in channels:
        listed = tuple(lists.models(channel)) or channel.usual_models
        names = channel.names() if channel.models else (*channel.names(), *listed)
        if model is not None:
            names = (model,) if channel.serves(model) else ()
        rows += [book.document(channel, name) for name in dict.fromkeys(names)]
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    if not row["priced"]:
        return [row["model"], row["channel"], UNPRICED, "nobody", "-"]
    rates = ", ".join(f"{name} {usd}" for name, usd in row["rates"].items())
    tiers = ", ".join(f"more above {tier['above']:,} tokens" for tier in row["tiers"])
    shown = f"{rates} ({tiers})" if tiers else rates
    return [row["model"], row["channel"], shown, row["source"], row["as_of"] or "-"]
