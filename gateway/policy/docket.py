"""What the rails of one exchange said: one line a rail and stage, however often it was asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from gateway.exchange import Judgement
from gateway.policy.verdict import Action, Verdict

Stage = Literal["input", "output"]


@dataclass(slots=True)
class Line:
    """One rail in one stage. `judged` is the strongest action it asked for when it did not fail."""

    enforced: bool
    action: Action = Action.ALLOW
    judged: Action = Action.ALLOW
    rules: set[str] = field(default_factory=set)
    count: int = 0
    fault: str = ""
    seconds: float = 0.0
    remembered: int = 0  # texts that it did not need to look at again

    def note(self, verdict: Verdict) -> None:
        self.action = max(self.action, verdict.action)
        self.judged = max(self.judged, verdict.judged or Action.ALLOW)
        for finding in verdict.findings:
            if finding.fault:
                self.fault = self.fault or finding.fault
            else:
                self.rules.add(finding.rule)
                self.count += finding.count


@dataclass(slots=True)
class Docket:
    lines: dict[tuple[Stage, str], Line] = field(default_factory=dict)

    def line(self, stage: Stage, rail: str, *, enforced: bool) -> Line:
        found = self.lines.get((stage, rail))
        if found is None:
            found = self.lines[stage, rail] = Line(enforced)
        return found

    def judgements(self) -> list[Judgement]:
        return [
            Judgement(
                stage,
                rail,
                line.action.word,
                tuple(sorted(line.rules)),
                line.count,
                line.fault,
                line.seconds,
                line.enforced,
                line.remembered,
            )
            for (stage, rail), line in self.lines.items()
        ]

    def verdict(self) -> str:
        """The strongest action that was enforced, in one word; `unavailable` for a block that only faults asked for."""
        if not self.lines:
            return Action.ALLOW.word
        acted = [line for line in self.lines.values() if line.enforced]
        strongest = _strongest(line.action for line in acted)
        if strongest is Action.BLOCK and _strongest(line.judged for line in acted) is not Action.BLOCK:
            return "unavailable"
        return strongest.word


def _strongest(actions: Iterable[Action]) -> Action:
    return max(actions, default=Action.ALLOW)
