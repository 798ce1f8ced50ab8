"""A configuration, read whole from a copy that nobody edits, with every rail built once; or all that is wrong with it.

The copy is what the gateway runs on: a worker that is replaced next week reads the files that were checked today.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import document
from gateway.config.load import Listen, load, problem
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
from gateway.policy.rail import Tools
from gateway.policy.rails import RAILS
from gateway.serve.files import TooMuch, copy
from gateway.serve.needs import workers
from gateway.worker.client import Client

_WORKERS = ("guardrails", "nemo", "pii", "scorer")


@dataclass(slots=True)
class Reading:
    """Reads `file`, and the policies it names from a copy in `to`, or where they lie if there is no `to`."""

    file: Path
    environ: Mapping[str, str]
    listen: Listen | None = None
    to: Path | None = None
    folder: Path = field(default=Path(), init=False)  # of the policies that are edited

    def read(self) -> Config:
        """Raises `ConfigError` with all problems, in the files that are edited."""
        try:
            config = load(self.file, self.environ, self.listen, self._copied if self.to else None)
            refuse([*_rails(config), *_engines(config)])
        except ConfigError as refused:
            raise ConfigError([self.placed(one) for one in refused.problems]) from None
        return config

    def placed(self, one: Problem) -> Problem:
        """`one` as it stands in the files that are edited."""
        return Problem(self.said(one.file), one.line, self.said(one.message))

    def said(self, text: str) -> str:
        return text.replace(str(self.to), str(self.folder)) if self.to else text

    def _copied(self, folder: Path) -> Path:
        assert self.to is not None  # noqa: S101 - else nobody asks
        self.folder = folder
        try:
            copy(folder, self.to)
        except TooMuch as much:
            line = document.read(self.file).line(("policies",))
            raise ConfigError([Problem(str(self.file), line, f"policies: {much}")]) from None
        except OSError as error:
            raise ConfigError(
                [Problem(str(error.filename or folder), 1, f"cannot be read: {error.strerror}")]
            ) from None
        return self.to


def refuse(problems: list[Problem]) -> None:
    """Raise them, each once, if there are any."""
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def tools(folder: Path) -> Tools:
    """For building rails that will judge nothing: none of these workers is asked, so none is started."""
    return Tools({name: Client(Path(name), name=name) for name in _WORKERS}, folder=folder)


def _rails(config: Config) -> Iterator[Problem]:
    for policy in config.policies.values():
        for stage, rails in (("input", policy.input), ("output", policy.output)):
            for n, rail in enumerate(rails):
                try:
                    RAILS[rail.kind](rail, tools(config.folder))
                except ConfigError as refused:
                    for p in refused.problems:  # of the policy, unless it is in a file that the policy names
                        yield p if Path(p.file).is_file() else problem(config, policy.name, (stage, n), p.message)


def _engines(config: Config) -> list[Problem]:
    try:
        workers(config)
    except ConfigError as refused:
        return refused.problems
    return []
