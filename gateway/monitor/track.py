"""One stream as it goes: its reference (learned first, where there is none), its window, and whether it drifts."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from gateway.monitor.check import Checked, checked
from gateway.monitor.rows import Row, Sample, Stream, sampled
from gateway.monitor.signals import Signal, Terms
from gateway.monitor.spec import Spec
from gateway.monitor.topics import Known
from gateway.monitor.window import Reservoir, Window


@dataclass(slots=True, eq=False)
class Track:
    """`learning` fills until it is the reference. `last` is the last check, `drift` what came of them."""

    stream: Stream
    spec: Spec
    window: Window = field(init=False)
    learning: Reservoir = field(init=False)
    reference: Sample | None = None
    basis: list[Row] = field(default_factory=list)  # the reference's rows
    drift: Signal = field(default_factory=lambda: Signal("drift"))
    last: Checked | None = None
    told: dict[str, Any] | None = None  # what it told; a monitor that starts again knows that alone
    looks: int = 0

    def __post_init__(self) -> None:
        spec = self.spec
        self.window = Window(spec.every, max(1, spec.window // spec.every), spec.span_s)
        self.learning = Reservoir(spec.rows)

    def add(self, row: Row, at: float, random: Random) -> bool:
        """Take in a row; whether there is a window to check."""
        if self.reference is None:
            self.learning.add(row, random)
            if self.learning.seen >= self.spec.rows:
                self.rest_on(self.learning.rows)
            return False
        return self.window.add(row, at, random)

    def rest_on(self, rows: list[Row]) -> None:
        """Compare with `rows` from now on, and with nothing that came before."""
        self.basis, self.reference = rows, sampled(rows)
        self.learning = Reservoir(self.spec.rows)
        self.window.empty()
        self.drift, self.last, self.told = Signal("drift"), None, None

    def check(self, known: Known, now: float, rng: np.random.Generator) -> str:
        """Look at the window. `raised` where it began to drift, `cleared` where it ended, else nothing."""
        if self.reference is None:
            return ""
        self.looks += 1
        spec = self.spec
        self.last = checked(self.stream, self.reference, sampled(self.window.rows), known, spec.alpha, rng)
        self.told = self.last.json()
        terms = Terms(confirm=spec.confirm, clear=spec.clear, cooldown_s=0)
        return self.drift.look("act" if self.last.p <= spec.alpha else "none", terms, now)

    @property
    def drifting(self) -> bool:
        return self.drift.level != "none"
