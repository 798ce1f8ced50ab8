"""Every command, what it takes, and an example. Exit codes: 0; 1 where there are problems; 2 for bad usage."""

# ruff: noqa: PLC0415  # what a command needs is imported when it is asked for: --help stays quick
from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

import gateway
from gateway.cli import data, drift
from gateway.cli.key_commands import keys

app = typer.Typer(
    name="tidegate",
    help="Tidegate: an OpenAI-compatible gateway that judges, scores, prices and records every exchange with a model.",
    epilog="Start here: [bold]tidegate init my-gateway[/]",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # they print the values of variables
    context_settings={"help_option_names": ["-h", "--help"]},
)

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
app.add_typer(drift.app, name="drift")
app.add_typer(data.app, name="data")

ConfigFile = Annotated[Path, typer.Argument()]


def main() -> None:
    """`tidegate`"""
    app()


@app.command(epilog="Example: [bold]tidegate serve --config config/gateway.yaml --port 9000[/]")
def serve(
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")] = Path(
        "config/gateway.yaml"
    ),
    host: Annotated[str | None, typer.Option(help="Address to listen on, instead of the file's.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port, instead of the file's; 0: any.")] = None,
    next_port: Annotated[
        bool, typer.Option("--next-port", help="Take the next free port if that one is taken.")
    ] = False,
) -> None:
    """Serve until stopped: start the workers, listen, watch over them, drain on SIGTERM.

    Changed files take over as they are saved, or at SIGHUP, all together or not at all.
    """
    from gateway.cli.loading import told
    from gateway.errors import ConfigError
    from gateway.serve import Options, run

    try:
        code = run(config, os.environ, Options(host, port, next_port), typer.echo)
    except ConfigError as refused:
        raise told(refused.problems) from None
    raise typer.Exit(code)


@app.command(epilog="Example: [bold]tidegate check config/gateway.yaml --engines[/]")
def check(
    file: ConfigFile = Path("config/gateway.yaml"),
    engines: Annotated[bool, typer.Option("--engines", help="Also start every worker the policies need.")] = False,
    tests: Annotated[bool, typer.Option("--tests", help="Also try the texts in the policies' tests/*.yaml.")] = False,
) -> None:
    """Read a configuration and its policies: say what they amount to, or all that is wrong with them.

    FILE is the gateway's configuration. Problems go to standard error, each as `file:line: what and where`.
    """
    from gateway.cli.checking import checked

    raise typer.Exit(checked(file, engines=engines, tests=tests))


@app.command(epilog="Example: [bold]tidegate init my-gateway[/]")
def init(folder: Annotated[Path, typer.Argument()]) -> None:
    """Write a starter configuration and policies, to edit.

    FOLDER is made if need be. What is there already is never overwritten.
    """
    from gateway.cli.starter import write

    raise typer.Exit(write(folder))


@app.command(epilog='Example: [bold]tidegate tail var/events.jsonl --where "verdict=block, total_ms>500"[/]')
def tail(
    file: Annotated[Path, typer.Argument()] = Path("var/events.jsonl"),
    where: Annotated[
        str, typer.Option(help="Only events like this: `key=value`, also != < <= > >= ~ (contains); a comma means and.")
    ] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last ones to begin with.")] = 20,
    follow: Annotated[bool, typer.Option(help="Go on with new ones as they come.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as they are, for other programs.")] = False,
) -> None:
    """Show exchanges as they end, one line each: when, verdict, who answered, tokens, cost, times, who decided.

    FILE is the event log; if it is not there yet it is waited for. Keys for --where are those of docs/events.md, and
    `rail` and `rule` for what rails said.
    """
    from gateway.cli.tail import show
    from gateway.cli.where import BadCondition, conditions

    try:
        wanted = conditions(where)
    except BadCondition as bad:
        raise typer.BadParameter(str(bad), param_hint="--where") from None
    raise typer.Exit(show(file, wanted, lines=lines, follow=follow, as_json=as_json))


@app.command(epilog="Example: [bold]tidegate report var/events.jsonl --by model --by hour --html report.html[/]")
def report(
    logs: Annotated[list[Path], typer.Argument(exists=True, readable=True)],
    by: Annotated[
        list[str] | None,
        typer.Option(help="Group by key, model, policy, upstream, route, endpoint, day, hour or minute; repeatable."),
    ] = None,
    since: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Leave out what was before. UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Leave out this and what is after.")] = None,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="Where GPUs have their price by the hour; need not be there.")
    ] = Path("config/gateway.yaml"),
    html: Annotated[Path | None, typer.Option(help="Also write a page with charts.")] = None,
) -> None:
    """Add up a log: exchanges, tokens, cost, percentiles of times, what was refused and what failed.

    LOGS are event logs: .jsonl, also .gz and .zst, or .parquet as `tidegate compact` makes. Machines that are paid
    by the hour are charged for the time they were idle as well.
    """
    from gateway.cli.reporting import reported

    raise typer.Exit(reported(logs, by or ["key", "model", "policy", "day"], (since, until), config, html))


@app.command(epilog="Example: [bold]tidegate compact var/events.jsonl.1.gz --to 2026-11.parquet[/]")
def compact(
    logs: Annotated[list[Path], typer.Argument(exists=True, readable=True)],
    to: Annotated[Path, typer.Option(help="The Parquet file to write.")],
) -> None:
    """Keep what reports need of old logs, in a tenth of the space or less."""
    from gateway.cli.reporting import compacted

    raise typer.Exit(compacted(logs, to))


@app.command(epilog="Example: [bold]tidegate replay var/events.jsonl --policy default --against default-next[/]")
def replay(
    log: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    against: Annotated[str, typer.Option(help="Name of the policy to try.")],
    policy: Annotated[
        str | None, typer.Option(help="Name of the policy to compare it with; left out: what was said at the time.")
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")] = Path(
        "config/gateway.yaml"
    ),
    labels: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help='Lines of {"id": …, "label": "bad" or "good"}.'),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, for other programs.")] = False,
) -> None:
    """Judge recorded traffic by another policy: what would have been blocked, let through, or redacted instead.

    LOG is the event log. It must have texts: `events: {capture: full}`, or `redacted`. With labels, in a file or as
    feedback in the log, recall and the rate of false positives are told as well.
    """
    from gateway.cli.loading import loaded, told
    from gateway.cli.recorded import labels as read
    from gateway.cli.replaying import replayed
    from gateway.config.wording import near
    from gateway.errors import ConfigError, TidegateError

    settings = loaded(config)
    for name, option in ((policy, "--policy"), (against, "--against")):
        if name is not None and name not in settings.policies:
            raise typer.BadParameter(f"no policy named {name!r}{near(name, settings.policies)}", param_hint=option)
    try:
        known = read(labels) if labels else {}
        code = replayed(settings, (policy, against), log, known, json=as_json)
    except ConfigError as refused:
        raise told(refused.problems) from None
    except TidegateError as error:
        typer.echo(error.message, err=True)
        code = 1
    raise typer.Exit(code)


@app.command(epilog="Example: [bold]tidegate score answers.jsonl --out scores.csv[/]")
def score(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    out: Annotated[Path | None, typer.Option(help="Where to: *.csv, or JSON Lines; left out, standard output.")] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")] = Path(
        "config/gateway.yaml"
    ),
) -> None:
    """Score a file of answers: relevance, groundedness and the others, with the evidence of every sentence.

    FILE has one JSON object a line, as `POST /v1/score` takes it: question, context, answer; or messages, response. A
    line may name a `policy` and has its `id` in the output. A line that cannot be scored is told, and the exit code 1.
    """
    from gateway.cli.loading import loaded
    from gateway.cli.score import scored
    from gateway.errors import WorkerError

    settings = loaded(config)
    if settings.gateway.scoring is None:
        raise typer.BadParameter("this configuration has no `scoring`", param_hint="--config")
    try:
        code = scored(settings, file, out)
    except WorkerError as error:
        typer.echo(error.message, err=True)
        code = 1
    raise typer.Exit(code)


app.add_typer(keys, name="keys")


@app.command(epilog="Example: [bold]tidegate demo[/]")
def demo() -> None:
    """Show a redaction, a block, a stream cut off and a scored answer, against the embedded model."""
    from rich.console import Console

    from gateway.cli.starter import source
    from gateway.demo.run import main as run

    wide = None if sys.stdout.isatty() else 132  # a table in a log is not squeezed into 80 columns
    raise typer.Exit(run(source() / "policies", Console(width=wide)))


@app.command("eval", epilog="Example: [bold]tidegate eval --suite groundedness --data set.jsonl --html report.html[/]")
def evaluate(  # noqa: PLR0913, PLR0917 - a parameter an option
    suite: Annotated[
        str, typer.Option(help="What is judged: groundedness, injection or toxicity; or a file or folder of answers.")
    ] = "groundedness",
    data: Annotated[
        list[Path] | None, typer.Option(help="Labelled rows: JSONL, JSON or CSV; a folder is all of its files.")
    ] = None,
    scorer: Annotated[str, typer.Option(help="Which score; left out: the suite's own.")] = "",
    scores: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Scores of another system, one a line, instead of our own."),
    ] = None,
    bad: Annotated[
        list[str] | None, typer.Option(help="A label that means bad, where 1, true, `unsupported`, … do not.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Rows of a set, drawn at random; 0: all.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write a report with charts and the worst errors.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write the figures as JSON.")] = None,
) -> None:
    """Measure how well a score tells good from bad on labelled rows, beside the length alone and words alone.

    Rows have `context`, `question`, `answer` and `label`, or `text` and `label`; other usual names are known too.
    """
    from gateway.cli.eval import Wanted, evaluated

    raise typer.Exit(evaluated(Wanted(suite, data or [], scorer, scores, bad or [], limit, html, as_json)))


@app.command(epilog="Example: [bold]tidegate train injection --data attacks.jsonl --data usual.jsonl --out heads[/]")
def train(
    head: Annotated[str, typer.Argument()],
    data: Annotated[list[Path], typer.Option(help="Labelled rows: JSONL, JSON or CSV; a folder is all of its files.")],
    out: Annotated[Path, typer.Option(help="Where the head and its model card are written.")] = Path("heads"),
    bad: Annotated[
        list[str] | None, typer.Option(help="A label that means bad, where 1, true, `unsupported`, … do not.")
    ] = None,
) -> None:
    """Train one of the scorer's heads on labelled rows: injection, toxicity or groundedness.

    The same rows give the same bytes. Rows whose `licence` forbids commercial use or derivatives are refused.
    """
    from gateway.cli.train import trained

    raise typer.Exit(trained(head, data, out, bad or []))


@app.command(epilog="Example: [bold]tidegate export --format trl-dpo --out sets/november[/]")
def export(  # noqa: PLR0913, PLR0917 - a parameter an option
    form: Annotated[
        str, typer.Option("--format", help="openai, trl-sft, trl-dpo, kto, openai-dpo, sharegpt or inspect.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write; parts that are there are replaced.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")] = Path(
        "config/gateway.yaml"
    ),
    file: data.StoreFile = None,
    balance: Annotated[str, typer.Option(help="As many of each label, topic or route as of the rarest.")] = "",
    shares: Annotated[str, typer.Option("--split", help="Shares of train, validation and test.")] = "0.8,0.1,0.1",
    unjudged: Annotated[bool, typer.Option("--unjudged", help="Count answers as good that nobody spoke of.")] = False,
    without: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="A golden set (JSONL): leave out what is like it; repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Only what is kept for this: complained, drifted, ….")] = "",
    since: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Leave out what was before. UTC.")] = None,
    note: Annotated[str, typer.Option(help="For the data card: licence, and what users agreed to.")] = "",
) -> None:
    """Make a data set of what is kept: JSON Lines to train or to test with, a card and a manifest.

    Without duplicates, split by conversation. What was never judged good, cannot be told as a plain conversation, or
    has no better answer for a pair is left out, and the card says so.
    """
    from gateway.cli.exporting import Wanted, exported, read

    told = read(form, balance, shares)
    after = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    raise typer.Exit(exported(config, file, Wanted(*told, out, unjudged, without or [], reason, after, note)))


@app.command()
def version() -> None:
    """Say which version this is."""
    typer.echo(gateway.__version__)
