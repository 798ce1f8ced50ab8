"""The record of one request: what is known of it so far, filled in as it walks the path.

The pipeline owns an `Exchange` and is the only one to change it; everybody else reads.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.observe.cost import Cost, Usage

__all__ = ["Captured", "Cost", "Exchange", "Judgement", "Outcome", "Said", "Score", "Timing", "Usage"]

Outcome = Literal["completed", "blocked", "unavailable", "rejected", "failed", "cancelled"]


@dataclass(slots=True)
class Timing:
    """Seconds on the monotonic clock. `None` where the exchange never got that far."""

    started: float
    input_rails: float | None = None  # spent judging the request
    sent: float | None = None  # instant: the request left for the upstream
    queued: float = 0.0  # spent waiting for a place at an upstream
    connected: float | None = None  # instant: status line of the answer; of a stream its first byte
    first_token: float | None = None  # instant: first text handed to the client
    last_token: float | None = None  # instant
    output_rails: float = 0.0  # spent judging the answer, summed
    upstream: float = 0.0  # spent waiting for the upstream, summed
    finished: float | None = None
    gaps: MutableSequence[float] = field(default_factory=list)  # between two text deltas as they came from the upstream


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rail said of one stage, for the record: the strongest action, rules fired, time taken."""

    stage: Literal["input", "output"]
    rail: str
    action: str
    rules: tuple[str, ...] = ()
    count: int = 0
    fault: str = ""
    seconds: float = 0.0
    enforced: bool = True
    remembered: int = 0  # texts it had judged before and did not look at again


@dataclass(frozen=True, slots=True)
class Score:
    """`metric` of an answer as the scorer sees it; `parts` are per-sentence values where the metric has them."""

    metric: str
    value: float
    parts: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A text of an exchange: whose, what kind of text (`Passage.channel`), and in which choice of an answer."""

    role: str
    channel: str
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Captured:
    """The texts of one exchange, as `mode` has them: `redacted` or `full`. `truncated` where they were too long."""

    mode: str
    input: tuple[Said, ...]
    output: tuple[Said, ...]
    truncated: bool = False


@dataclass(slots=True)
class Exchange:
    id: str
    endpoint: str
    timing: Timing
    trace: str = ""
    principal: str = ""
    model: str = ""  # as asked for
    answered: str = ""  # as the upstream named it
    route: str = ""
    arm: str = ""  # of the route's split
    upstream: str = ""
    tried: list[str] = field(default_factory=list)
    policy: str = ""
    digest: str = ""
    stream: bool = False
    overlap: bool = False  # the request was sent while rails still judged it
    judgements: list[Judgement] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: Cost = field(default_factory=Cost)
    status: int = 0
    finish: str = ""
    outcome: Outcome = "completed"
    verdict: str = "allow"
    error: str = ""  # code of the error that ended it; never its text
    scanned: int = 0  # bytes of text judged
    scannable: int = 0  # bytes of text there were
    sent: int = 0  # bytes to the client
    received: int = 0  # bytes of the request
    captured: Captured | None = None  # its texts, where they are kept
    cached: bool = False  # answered as somebody was answered before
    parent: str = ""  # span of the trace that asked
    answer: str = ""  # the answer's own id, where texts are kept
    user: str = ""  # the client's word for who asked, where texts are kept
