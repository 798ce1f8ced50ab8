"""`tidegate drift`: a reference, a check against it, a report of it. The work is done in the monitor's process."""

# ruff: noqa: PLC0415  # what a command needs is imported when it is asked for: --help stays quick
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Is traffic what it was? Compare prompts, answers, outcomes and scores with a reference.\n\n"
    "A gateway with [bold]monitor:[/] in its configuration does this all the time and raises signals; these commands"
    " look at what it knows, or at recorded logs. Without LOGS they work on what the running gateway has gathered."
    " With LOGS they take exchanges from there, and encode their texts if `events.capture` kept some.",
    epilog="Start here: [bold]tidegate drift check[/]",
)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")]
Logs = Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False, readable=True)]
Rows = Annotated[int, typer.Option(min=100, max=10_000, help="At most so many rows of each kind, sampled from all.")]
Alpha = Annotated[float, typer.Option(min=0.005, max=0.2, help="Rate of false alarms.")]
Against = Annotated[Path | None, typer.Option(exists=True, help="A reference, instead of the monitor's own.")]
Seed = Annotated[int, typer.Option(help="Of samples and relabellings: the same seed gives the same answer.")]

DEFAULT = Path("config/gateway.yaml")


@app.command(epilog="Example: [bold]tidegate drift reference var/events.jsonl[/]")
def reference(
    logs: Logs = None,
    config: ConfigFile = DEFAULT,
    rows: Rows = 1750,
    to: Annotated[Path | None, typer.Option(help="File to write, instead of the monitor's reference.")] = None,
    seed: Seed = 0,
) -> None:
    """Make what is usual from LOGS, or from the window that the monitor has now: "this is fine, compare with it".

    A running gateway takes it over at its next look. Its old windows are forgotten, and its drift signal clears.
    """
    from gateway.cli.drifting import Source, referred

    raise typer.Exit(referred(Source.of(config, logs, rows, seed), to))


@app.command(epilog="Example: [bold]tidegate drift check var/events.jsonl --alpha 0.05[/]")
def check(
    logs: Logs = None,
    config: ConfigFile = DEFAULT,
    against: Against = None,
    alpha: Alpha = 0.01,
    rows: Rows = 1000,
    seed: Seed = 0,
) -> None:
    """Compare with the reference and print what differs: p-values, new topics, shifted features. Ends with 1 for drift.

    p is the chance to see as much of a difference where there is none. Each stream has one test of its vectors (MMD)
    and one of its features (Holm over Kolmogorov-Smirnov and chi-squared), both at --alpha.
    """
    from gateway.cli.drifting import Source, checked

    raise typer.Exit(checked(Source.of(config, logs, rows, seed), against, alpha, None))


@app.command(epilog="Example: [bold]tidegate drift report var/events.jsonl --out drift.html[/]")
def report(
    logs: Logs = None,
    config: ConfigFile = DEFAULT,
    against: Against = None,
    alpha: Alpha = 0.01,
    rows: Rows = 1000,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("drift.html"),
) -> None:
    """As `check`, and write an HTML file with a map of reference and window, the topics, and what shifted.

    Examples are told by the ids of their exchanges, with their texts only where `events.capture` kept them.
    """
    from gateway.cli.drifting import Source, checked

    raise typer.Exit(checked(Source.of(config, logs, rows, 0), against, alpha, out))
