"""What a key may use, what one exchange needs of it, and what is left. Money is in whole nano-dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from gateway.config.schema import Limits

NANO = 1_000_000_000
SPAN_S = 60
"""Seconds of the window that requests and tokens are counted in."""

Reason = Literal["requests", "tokens", "parallel", "day", "month"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a key may use; None where that is not limited."""

    requests: int | None = None
    tokens: int | None = None
    parallel: int | None = None
    day: int | None = None  # nano-dollars
    month: int | None = None  # nano-dollars

    @classmethod
    def of(cls, limits: Limits) -> Self:
        return cls(
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.parallel_requests,
            nano(limits.usd_per_day),
            nano(limits.usd_per_month),
        )

    @property
    def limits(self) -> bool:
        """Whether there is anything that it limits."""
        return self != Rule()

    @property
    def priced(self) -> bool:
        return self.day is not None or self.month is not None


class Need(NamedTuple):
    """Tokens and nano-dollars: reserved for an exchange, or what it came to."""

    tokens: int = 0
    nano: int = 0


class Claim(NamedTuple):
    """What one exchange asks for: of whose account, by which rule, and the name the reservation goes by."""

    name: str
    ident: str
    rule: Rule
    need: Need


class Standing(NamedTuple):
    """What is left of the window, and seconds until all of it is."""

    requests: int = 0
    tokens: int = 0
    requests_reset: float = 0.0
    tokens_reset: float = 0.0


class Denial(NamedTuple):
    """Why an exchange may not begin. `wait` is when it may, in seconds; None where that is never or not this month."""

    reason: Reason
    wait: float | None


def nano(usd: float | None) -> int | None:
    return None if usd is None else round(usd * NANO)
