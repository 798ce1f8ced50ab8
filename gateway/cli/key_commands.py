"""`tidegate keys new|revoke|list`."""

# ruff: noqa: PLC0415  # what a command needs is imported when it is asked for: --help stays quick
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(
    help="Make, revoke and list clients' keys.",
    epilog="Example: [bold]tidegate keys new app-1 --usd-per-day 20[/]",
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration, which keeps its comments.")]
CONFIG = Path("config/gateway.yaml")


@keys.command(epilog="Example: [bold]tidegate keys new app-1 --requests-per-minute 600 --usd-per-day 20[/]")
def new(  # noqa: PLR0913, PLR0917 - one option for each thing that an entry says
    name: Annotated[str, typer.Argument()],
    config: Config = CONFIG,
    policy: Annotated[str | None, typer.Option(help="Policy that goes before the routes'.")] = None,
    route: Annotated[list[str] | None, typer.Option(help="A route it may ask for; left out, all.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    parallel_requests: Annotated[int | None, typer.Option(min=1)] = None,
    usd_per_day: Annotated[float | None, typer.Option(min=0)] = None,
    usd_per_month: Annotated[float | None, typer.Option(min=0)] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Change no file; print the entry.")] = False,
) -> None:
    """Make a client's key. It is shown once; the configuration keeps its SHA-256 only.

    NAME says whom it is for, and stands in every event of theirs. A gateway that runs takes the key over by itself.
    """
    import yaml

    from gateway.cli.keys import Unchanged, added, made, write

    said = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "parallel_requests": parallel_requests,
        "usd_per_day": usd_per_day,
        "usd_per_month": usd_per_month,
    }
    limits = {key: value for key, value in said.items() if value is not None}
    more = {"policy": policy, "routes": route, "limits": limits}
    try:
        key, entry = made(name, {each: value for each, value in more.items() if value})
        if not only_print:
            write(config, added(_text(config), entry))
    except Unchanged as why:
        raise _failed(config, str(why)) from None
    typer.echo(f"The key, for the client (it is not kept anywhere):\n\n  {key}\n")
    shown = yaml.safe_dump([dict(entry)], sort_keys=False)
    typer.echo(f"Its entry, {'for `keys:` in' if only_print else 'which now stands in'} {config}:\n\n{shown}")


@keys.command(epilog="Example: [bold]tidegate keys revoke app-1[/]")
def revoke(name: Annotated[str, typer.Argument()], config: Config = CONFIG) -> None:
    """Take a key out of the configuration. A gateway that runs refuses it from then on.

    Exchanges that are under way end as they would.
    """
    from gateway.cli.keys import Unchanged, removed, write

    try:
        write(config, removed(_text(config), name))
    except Unchanged as why:
        raise _failed(config, str(why)) from None
    typer.echo(f"{config}: the key of {name} is gone.")


@keys.command("list", epilog="Example: [bold]tidegate keys list[/]")
def list_(config: Config = CONFIG) -> None:
    """Show whose keys there are, the first digits of their SHA-256, and what they may do."""
    from gateway.cli.keys import Unchanged, listed

    try:
        entries = listed(_text(config))
    except Unchanged as why:
        raise _failed(config, str(why)) from None
    if not entries:
        typer.echo("There are no keys: the gateway is open to this machine.")
    for entry in entries:
        limits = ", ".join(f"{key} {value}" for key, value in (entry.get("limits") or {}).items())
        routes = ", ".join(entry.get("routes") or ["all routes"])
        about = [str(entry.get("name")), str(entry.get("sha256"))[:8], entry.get("policy") or "routes' policies"]
        typer.echo("  ".join([f"{about[0]:<20}", *about[1:], routes, limits or "no limits"]))


def _text(config: Path) -> str:
    try:
        return config.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _failed(config, "cannot be read" if isinstance(error, OSError) else "not UTF-8 text") from None


def _failed(config: Path, why: str) -> typer.Exit:
    typer.echo(f"{config}: {why}", err=True)
    return typer.Exit(1)
