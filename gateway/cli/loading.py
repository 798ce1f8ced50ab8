"""Loads a configuration for a command, or ends the command with its problems."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import typer

from gateway.config.load import Listen, load, problem
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
from gateway.policy.rail import Tools
from gateway.policy.rails import RAILS
from gateway.serve import hosts
from gateway.worker.client import Client

_WORKERS = ("guardrails", "nemo", "pii", "scorer")


def loaded(file: Path, listen: Listen | None = None) -> Config:
    """The configuration, every rail of which can be built.

    Where it has problems they go to standard error and the command ends with 1.
    """
    try:
        config = load(file, os.environ, listen)
    except ConfigError as refused:
        raise _told(refused.problems) from None
    if problems := [*_rails(config), *_engines(config)]:
        raise _told(problems)
    return config


def _told(problems: Iterable[Problem]) -> typer.Exit:
    for one in dict.fromkeys(problems):
        typer.echo(str(one), err=True)
    return typer.Exit(1)


def tools(folder: Path = Path()) -> Tools:
    """For building rails that will judge nothing: none of these workers is asked, so none is started."""
    return Tools({name: Client(Path(name), name=name) for name in _WORKERS}, folder=folder)


def _rails(config: Config) -> Iterable[Problem]:
    for policy in config.policies.values():
        for stage, rails in (("input", policy.input), ("output", policy.output)):
            for n, rail in enumerate(rails):
                try:
                    RAILS[rail.kind](rail, tools(config.folder))
                except ConfigError as refused:
                    for p in refused.problems:  # of the policy, unless it is in a file that the policy names
                        yield p if Path(p.file).is_file() else problem(config, policy.name, (stage, n), p.message)


def _engines(config: Config) -> Iterable[Problem]:
    try:
        hosts(config, Path())
    except ConfigError as refused:
        yield from refused.problems
