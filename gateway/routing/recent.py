"""How much of something there was lately."""

from __future__ import annotations

_STEPS = 10


class Recent:
    """A sum over the last `seconds`, forgotten a tenth of them at a time."""

    __slots__ = ("_step", "_ticks", "_values")

    def __init__(self, seconds: float) -> None:
        self._step = seconds / _STEPS
        self._ticks = [-1] * _STEPS
        self._values = [0.0] * _STEPS

    def add(self, now: float, amount: float = 1.0) -> None:
        tick = int(now / self._step)
        slot = tick % _STEPS
        if self._ticks[slot] == tick:
            self._values[slot] += amount
        else:
            self._ticks[slot], self._values[slot] = tick, amount

    def sum(self, now: float) -> float:
        oldest = int(now / self._step) - _STEPS
        return sum([value for tick, value in zip(self._ticks, self._values, strict=True) if tick > oldest])

    def clear(self) -> None:
        self._ticks = [-1] * _STEPS
