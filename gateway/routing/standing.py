"""How an upstream stands in this process: who has it, whether it is well and how fast, whether it asked for a rest."""

from __future__ import annotations

from random import Random
from typing import Protocol

from gateway.config.schema import UpstreamSpec
from gateway.config.traffic import Fault
from gateway.routing.breaker import Breaker, State
from gateway.routing.faults import COUNTED
from gateway.routing.gate import Gate
from gateway.routing.latency import PeakEwma

ASIDE_S: dict[Fault, float] = {"rate_limit": 2.0, "credentials": 30.0}
"""For how long others go first, where the upstream itself does not say."""

OUT = 4
"""The rank of one that cannot be asked."""


class Told(Protocol):
    """Who is told what becomes of upstreams: the log and the metrics."""

    def fault(self, upstream: str, fault: Fault) -> None: ...
    def ejected(self, standing: Standing, reason: str, now: float) -> None: ...
    def returned(self, standing: Standing, how: str, now: float) -> None: ...


class Standing:
    """Shared by all routes that have the upstream. A try is `begin`, then either `over` or `dropped`."""

    __slots__ = ("_told", "aside", "breaker", "ewma", "gate", "ill", "ill_since", "name", "spec")

    def __init__(self, spec: UpstreamSpec, rng: Random, told: Told) -> None:
        self.name, self.spec = spec.name, spec
        self.gate = Gate(spec.name, spec.load)
        self.breaker = Breaker(spec.breaker, rng)
        self.ewma = PeakEwma()
        self.aside = 0.0  # until when others go first
        self.ill = False  # as its health checks have it
        self.ill_since = 0.0
        self._told = told

    def rank(self, now: float) -> int:
        """0 where it may well be asked, more where others go first, `OUT` where it is not asked at all.

        One whose health checks fail is asked where there is nobody else: the checks may be what is broken.
        """
        if self.breaker.state is not State.SHUT and not self.breaker.fit(now):
            return OUT
        if self.ill:
            return OUT if self.gate.full else 3
        if self.aside > now:
            return OUT if self.gate.full else 2
        if self.gate.free:
            return 0
        return OUT if self.gate.full else 1

    def patience(self, now: float) -> float:
        """After how many seconds it may be fit again."""
        if self.breaker.state is State.PROBING:
            return 1.0
        rest = self.breaker.until - now if self.breaker.state is State.OPEN else 0.0
        return max(1.0, rest, self.gate.patience() if self.gate.full else 0.0)

    def begin(self) -> bool:
        """A try begins, whose place in the gate is taken; True where it is the breaker's probe."""
        return self.breaker.begin()

    def heard(self, now: float, seconds: float, *, probe: bool) -> None:
        """It began a good answer, `seconds` after it was asked."""
        self.ewma.note(now, seconds)
        if probe:
            self._good(now, probe=True)

    def over(self, now: float, began: float, fault: Fault | None, *, probe: bool) -> None:
        self.gate.leave(now - began)
        if fault is None:
            self._good(now, probe=probe)
            return
        self._told.fault(self.name, fault)
        if fault in COUNTED:
            if reason := self.breaker.bad(now, probe=probe):
                self._told.ejected(self, reason, now)
        else:
            self.breaker.dropped(probe=probe)

    def _good(self, now: float, *, probe: bool) -> None:
        if self.breaker.good(now, probe=probe):
            self._told.returned(self, "probe", now)

    def dropped(self, *, probe: bool) -> None:
        """The try says nothing of the upstream: its client left."""
        self.gate.leave()
        self.breaker.dropped(probe=probe)

    def rest(self, now: float, fault: Fault, seconds: float | None) -> None:
        """Others go first for a while, where the fault is one that passes by itself."""
        if fault in ASIDE_S or seconds:
            self.aside = max(self.aside, now + (seconds or ASIDE_S[fault]))

    def checked(self, now: float, *, ill: bool) -> None:
        """What its health checks come to."""
        if ill and not self.ill:
            self.ill, self.ill_since = True, now
            self._told.ejected(self, "health", now)
        elif self.ill and not ill:
            self.ill = False
            self._told.returned(self, "health", now)
