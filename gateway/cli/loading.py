"""Loads a configuration for a command, or ends the command with its problems."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import typer

from gateway.config.load import Listen, load
from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem


def loaded(file: Path, listen: Listen | None = None) -> Config:
    """The configuration; where it has problems they go to standard error and the command ends with 1."""
    try:
        return load(file, os.environ, listen)
    except ConfigError as refused:
        told(refused.problems)
        raise typer.Exit(1) from None


def told(problems: Iterable[Problem]) -> None:
    for problem in problems:
        typer.echo(str(problem), err=True)
