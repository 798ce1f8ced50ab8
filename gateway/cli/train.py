"""`tidegate train HEAD`: rows to a head, in this process, with a bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gateway.config.wording import near
from gateway.errors import ConfigError
from gateway.evaluation.rows import Meaning, read
from gateway.evaluation.training import HEADS, PAIRS, train


def trained(name: str, data: Sequence[Path], out: Path, bad: Sequence[str]) -> int:
    """Train, print where to and how good; the exit code. Problems go to standard error."""
    if name not in HEADS:
        sys.stderr.write(f"no head named {name!r}{near(name, HEADS)}; there are {', '.join(HEADS)}\n")
        return 2
    console = Console(stderr=True)
    try:
        meaning = Meaning(frozenset(map(str.casefold, bad))) if bad else Meaning()
        rows = read(data, contexts=name == PAIRS, meaning=meaning)
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(f"reading {len(rows)} rows", total=len(rows))
            found = train(name, rows, out, lambda count: bar.advance(task, count))
    except ConfigError as refused:
        sys.stderr.writelines(f"{problem}\n" for problem in refused.problems)
        return 1
    sys.stdout.writelines(f"{line}\n" for line in (*found.figures, *(f"wrote {file}" for file in found.files)))
    return 0
