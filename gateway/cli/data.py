"""`tidegate data`: what is kept of exchanges; and deleting it."""

# ruff: noqa: PLC0415  # what a command needs is imported when it is asked for: --help stays quick
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Look at the texts and feedback that are kept, and delete them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")]
StoreFile = Annotated[Path | None, typer.Option("--file", "-f", help="The store, instead of the configuration's.")]

_CONFIG = Path("config/gateway.yaml")


@app.command("list", epilog="Example: [bold]tidegate data list --reason complained[/]")
def list_(
    config: ConfigFile = _CONFIG,
    file: StoreFile = None,
    reason: Annotated[str, typer.Option(help="Only those that are kept for this.")] = "",
    limit: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many, the newest last.")] = 50,
) -> None:
    """Show what is kept, a line each: when, id, key, route, why, and what was said of it. No texts."""
    from gateway.cli.kept import listed

    raise typer.Exit(listed(config, file, reason, limit))


@app.command(epilog="Example: [bold]tidegate data count[/]")
def count(config: ConfigFile = _CONFIG, file: StoreFile = None) -> None:
    """Say how much is kept and why, and what was lost."""
    from gateway.cli.kept import counted

    raise typer.Exit(counted(config, file))


@app.command(epilog="Example: [bold]tidegate data log > kept.jsonl; tidegate replay kept.jsonl --against next[/]")
def log(config: ConfigFile = _CONFIG, file: StoreFile = None) -> None:
    """Print what is kept as an event log with texts, for `tidegate replay` and `tidegate drift`."""
    from gateway.cli.kept import logged

    raise typer.Exit(logged(config, file))


@app.command(epilog="Example: [bold]tidegate data delete --user alice@example.com[/]")
def delete(
    config: ConfigFile = _CONFIG,
    file: StoreFile = None,
    user: Annotated[list[str] | None, typer.Option(help="As requests name it in `user`; repeatable.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="Name of a client's key; repeatable.")] = None,
    ident: Annotated[list[str] | None, typer.Option("--id", help="Id of an exchange; repeatable.")] = None,
) -> None:
    """Delete exchanges, what was said of them, and what still waits; then look for their texts in the file's bytes.

    The exit code is 1 where anything of them is left. Data sets that were exported before are not touched.
    """
    from gateway.cli.kept import deleted

    if not (user or key or ident):
        raise typer.BadParameter("say which: --user, --key or --id")
    raise typer.Exit(deleted(config, file, {"user": user or [], "key": key or [], "id": ident or []}))
