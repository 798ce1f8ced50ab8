"""What a monitor is told: paths, sizes, levels. JSON in, frozen types out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.monitor.signals import NAMES, Name, Terms

ROWS = 1750
"""Rows of a reference: with as many as a window has, a tenth to a sixth fewer new topics are found."""


@dataclass(frozen=True, slots=True)
class Spec:
    """`events` and `spool` are followed, `state` is a folder. `every` and `window` are rows; `span_s` of a pane."""

    events: Path
    spool: Path
    state: Path
    routes: frozenset[str] = frozenset()
    look_s: float = 10.0
    rows: int = ROWS
    window: int = 1000
    every: int = 250
    span_s: float = 60.0
    alpha: float = 0.01
    confirm: int = 2
    clear: int = 2
    drop: float = 0.05
    accuracy: float | None = None
    rise: float = 2.0
    least: int = 5
    complaints: float | None = None
    share: float = 0.05
    golden: Path | None = None
    signals: Mapping[Name, Terms] = field(default_factory=lambda: {name: Terms() for name in NAMES})
    seed: int | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        paths = {name: Path(told[name]) for name in ("events", "spool", "state", "golden") if told.get(name)}
        signals = {name: Terms(**terms) for name, terms in told.get("signals", {}).items()}
        more = {"signals": signals} if "signals" in told else {}
        routes = {"routes": frozenset(told["routes"])} if "routes" in told else {}
        return cls(**{**told, **paths, **more, **routes})
