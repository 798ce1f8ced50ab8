"""Loads a configuration for a command, or ends the command with its problems."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import typer

from gateway.config.schema import Config
from gateway.errors import ConfigError, Problem
from gateway.serve.reading import Reading


def loaded(file: Path) -> Config:
    """The configuration, every rail of which can be built.

    Where it has problems they go to standard error and the command ends with 1.
    """
    try:
        return Reading(file, os.environ).read()
    except ConfigError as refused:
        raise told(refused.problems) from None


def told(problems: Iterable[Problem]) -> typer.Exit:
    for one in problems:
        typer.echo(str(one), err=True)
    return typer.Exit(1)
