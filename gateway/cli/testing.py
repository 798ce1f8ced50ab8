"""`tidegate check --tests`: the texts of `policies/tests/*.yaml` before the policies, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.judging import judging
from gateway.config.cases import Case, Placed, Stage, cases
from gateway.config.schema import Config
from gateway.errors import TidegateError
from gateway.pipeline.trial import Given, Trial
from gateway.policy.policy import Policy
from gateway.wire import chat
from gateway.wire.passage import Passage

_WIDEST = 1000  # a line of its own for every case, to look for in, or to click on


@dataclass(frozen=True, slots=True)
class Tried:
    """A case and what came of it; `wrong` is empty where that is what it says."""

    placed: Placed
    verdict: str
    by: str
    wrong: str = ""


def tested(out: Console, config: Config, built: dict[str, Policy]) -> int:
    """Try every case and print a line for each; the exit code. Raises `ConfigError` for files that are no tests."""

    def rails(policy: str, stage: Stage) -> Sequence[str]:
        return [bound.rail.name for bound in built[policy].stage(stage)]

    found = cases(config, rails)
    if not found:
        out.print(f"no tests: there is no *.yaml in {config.folder / 'tests'}")
        return 0
    results = asyncio.run(_all(config, found))
    table = _table(results)
    out.width = max(out.width, out.measure(table, options=out.options.update(width=_WIDEST)).maximum)
    out.print(table)
    failed = [one for one in results if one.wrong]
    out.print(f"{len(results)} cases, {len(failed) or 'none'} failed", style="red" if failed else "green")
    return 1 if failed else 0


async def _all(config: Config, found: Sequence[Placed]) -> list[Tried]:
    async with judging(config, {placed.policy for placed in found}) as judges:
        return [await _one(placed, judges[placed.policy]) for placed in found]


async def _one(placed: Placed, policy: Policy) -> Tried:
    try:
        trial, becomes = await _tried(placed.case, placed.stage, policy)
    except TidegateError as error:
        return Tried(placed, "–", "", error.message)
    by = trial.deciders()
    return Tried(placed, trial.verdict, ", ".join(by), _wrong(placed.case, trial.verdict, by, becomes))


def _wrong(case: Case, verdict: str, by: Sequence[str], becomes: str) -> str:
    if verdict != case.verdict:
        return f"should be {case.verdict}{f' by {case.by}' if case.by else ''}"
    if case.by is not None and case.by not in by:
        return f"should be by {case.by}"
    if case.becomes is not None and becomes != case.becomes:
        return f"becomes {becomes!r}"
    return ""


async def _tried(case: Case, stage: Stage, policy: Policy) -> tuple[Trial, str]:
    """The trial, and what the text became."""
    messages: list[dict[str, Any]] = list(case.messages)
    if stage == "input":
        messages += [{"role": "user", "content": case.text}] if case.text is not None else []
    body = chat.read(orjson.dumps({"model": policy.name, "messages": messages or _NO_QUESTION}))
    trial = Trial.of(policy, _given(body, policy))
    if stage == "output":
        said = Passage(("choices", 0, "message", "content"), "assistant", "output", case.text or "")
        return trial, "".join(await trial.answered([(0, said)]))
    passages = chat.prompts(body)
    texts = await trial.asked(passages)
    return trial, next(t for p, t in reversed([*zip(passages, texts, strict=True)]) if p.path[0] == "messages")


_NO_QUESTION = [{"role": "user", "content": ""}]


def _given(body: dict[str, Any], policy: Policy) -> Given:
    sources = frozenset(policy.spec.context)
    return Given(chat.question(body), chat.context(body, sources), chat.context(body, frozenset({"system"})))


def _table(results: Sequence[Tried]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for title in ("", "case", "policy", "verdict", "by", ""):
        table.add_column(Text(title), overflow="fold")
    for one in results:
        placed = one.placed
        sign = Text("✗", "red") if one.wrong else Text("✓", "green")
        where, whose = f"{_short(placed.file)}:{placed.line}", f"{placed.policy} {placed.stage}"
        table.add_row(sign, *map(Text, (where, whose, one.verdict, one.by, one.wrong)))
    return table


def _short(file: str) -> str:
    """The path from where we are, if it lies below."""
    here = Path.cwd()
    return str(Path(file).relative_to(here)) if Path(file).is_relative_to(here) else file
