"""When an upstream that fails is left alone, and how it comes back: shut, open, half open with one probe at a time."""

from __future__ import annotations

from enum import Enum
from random import Random

from gateway.config.traffic import BreakerSpec
from gateway.routing.recent import Recent


class State(Enum):
    SHUT = "shut"  # requests pass
    OPEN = "open"  # none does, until its rest is over
    PROBING = "probing"  # one does, and decides


class Breaker:
    """Told of each try's beginning and end. Instants are of one monotonic clock.

    A try that began before the breaker opened says nothing once it has: only its probe's word counts then.
    """

    __slots__ = ("_bad", "_rng", "_row", "_spec", "_tries", "opened", "rests", "state", "until")

    def __init__(self, spec: BreakerSpec, rng: Random) -> None:
        self._spec, self._rng = spec, rng
        self._tries, self._bad = Recent(spec.window_s), Recent(spec.window_s)
        self._row = 0  # failures since the last success
        self.state = State.SHUT
        self.opened = 0.0  # when it opened first, of the times in a row that it did
        self.until = 0.0  # end of its rest
        self.rests = 0  # how often it opened since it was steadily shut

    def fit(self, now: float) -> bool:
        """Whether one more may be asked."""
        return self.state is State.SHUT or (self.state is State.OPEN and now >= self.until)

    def begin(self) -> bool:
        """A try begins, of those that are `fit`; True where it is the probe."""
        if self.state is State.SHUT:
            return False
        self.state = State.PROBING
        return True

    def good(self, now: float, *, probe: bool) -> bool:
        """The try came to a good end; True where that returns the upstream."""
        if self.state is State.SHUT:
            self._row = 0
            self._tries.add(now)
        elif probe and self.state is State.PROBING:
            self._shut(now)
            return True
        return False

    def bad(self, now: float, *, probe: bool) -> str:
        """The try failed. The reason, where that ejects the upstream, else nothing."""
        if probe and self.state is State.PROBING:
            self._open(now)
            return "probe"
        if self.state is not State.SHUT:
            return ""
        self._row += 1
        self._tries.add(now)
        self._bad.add(now)
        reason = self._reason(now)
        if reason:
            if now - self.until > self._spec.most_rest_s:
                self.rests = 0
            self.opened = now
            self._open(now)
        return reason

    def dropped(self, *, probe: bool) -> None:
        """The try ended without a verdict, as when the client left. Another may probe at once."""
        if probe and self.state is State.PROBING:
            self.state = State.OPEN

    def _reason(self, now: float) -> str:
        if self._row >= self._spec.failures:
            return "failures"
        tries = self._tries.sum(now)
        over = tries >= self._spec.volume and self._bad.sum(now) >= self._spec.share * tries
        return "share" if over else ""

    def _open(self, now: float) -> None:
        """Rests end at different times in processes that saw the same fault."""
        self.state = State.OPEN
        rest = min(self._spec.most_rest_s, self._spec.rest_s * 2.0 ** min(self.rests, 32))
        self.rests += 1
        self.until = now + rest * self._rng.uniform(0.8, 1.0)

    def _shut(self, now: float) -> None:
        self.state = State.SHUT
        self.until = now
        self._row = 0
        self._tries.clear()
        self._bad.clear()
