"""The schema of `data:` in `config/gateway.yaml`: which texts are kept, for how long, and who may speak of answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway.config.policy import Frozen

Share = Annotated[float, Field(ge=0, le=1)]
Score = Literal[
    "relevance",
    "groundedness",
    "hallucination",
    "verified",
    "consistency",
    "confidence",
    "toxicity",
    "injection",
    "novelty",
    "attack",
]


class Data(Frozen):
    """Feedback, and the texts of some exchanges: those that rails did not allow (`guarded`), whose scores are `below`
    or `above`, that `drifted`, that somebody spoke of (`feedback`), and a share at `random`.

    Texts wait `hold_minutes` in memory, `hold_mb` at most, for a reason to be kept. What personal data is taken out
    follows the policies' `pii` rails, and `entities`. `reviewers` are keys that may speak of anybody's answers.
    """

    file: str = "../var/data.db"
    texts: Literal["redacted", "full"] = "redacted"
    guarded: bool = True
    below: dict[Score, Share] = Field(default={})
    above: dict[Score, Share] = Field(default={})
    drifted: bool = True
    feedback: bool = True
    random: Share = 0.0
    hold_minutes: Annotated[float, Field(gt=0, le=10_080)] = 60.0
    hold_mb: Annotated[float, Field(gt=0)] = 64.0
    days: Annotated[float, Field(gt=0)] = 30.0
    rows: Annotated[int, Field(gt=0)] = 100_000
    mb: Annotated[float, Field(gt=0)] = 1024.0
    entities: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
