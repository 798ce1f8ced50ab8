"""Events of what is noticed over time: feedback, drift, signals. Part of the catalogue in `gateway.observe.events`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.observe.event import Event


class FeedbackReceived(Event):
    """Somebody said what they think of an answer, or what was right. What they wrote is not in it."""

    id: str = Field(description="id of the exchange")
    route: str = Field(default="", description="route that answered, where it is known")
    name: str = Field(default="", description="what was judged, such as `accuracy` or `helpfulness`")
    value: float | None = Field(default=None, ge=0, le=1, description="1 is good, 0 is bad; below 0.5 is a complaint")
    label: str = Field(
        default="",
        description="`correct`, `right`, `good`, `incorrect`, `wrong`, `bad` count for accuracy; `bad`,"
        " `complaint`, `unhelpful` and `harmful` as complaints; other words for nothing",
    )
    source: str = Field(default="", description="who said so: `user`, `operator`, `judge`")
    corrected: bool = Field(default=False, description="a better answer came with it")


class Shifted(BaseModel):
    """How the distribution of one feature differs from the reference's."""

    model_config = ConfigDict(extra="forbid", strict=True)

    feature: str
    test: Literal["ks", "chi2"] = Field(description="Kolmogorov-Smirnov of a number, chi-squared of classes")
    statistic: float
    p_value: float
    adjusted: float = Field(description="after Holm, over all features of the stream: to be compared with `alpha`")
    before: dict[str, float] = Field(description="quantiles of a number, shares of classes")
    after: dict[str, float]


class NewTopic(BaseModel):
    """A group among the prompts or answers that the reference hardly has."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(description="the same when it is found again")
    terms: list[str] = Field(description="words that five of its exchanges share; none unless `drift.words` says so")
    size: int = Field(description="rows of the window")
    share: float = Field(description="of the window")
    before: float = Field(description="share of the reference that is as near its centre")
    examples: list[str] = Field(description="ids of exchanges")


class DriftDetected(Event):
    """A stream's window differs from its reference, and did at the check before."""

    stream: Literal["prompts", "answers", "exchanges", "scores"]
    rows: int = Field(description="in the window")
    reference_rows: int
    reference: str = Field(description="digest of the reference")
    alpha: float = Field(
        description="rate of false alarms of one check's test of vectors, and of its tests of features"
    )
    p_value: float = Field(description="the lesser of the two")
    statistic: float | None = Field(description="MMD of the vectors, where the stream has some")
    vectors_p_value: float | None
    shifts: list[Shifted]
    topics: list[NewTopic]
    drifted: list[str] = Field(description="ids of exchanges that stand out, the most outstanding first")


class DriftCleared(Event):
    """A stream's window is like its reference again."""

    stream: Literal["prompts", "answers", "exchanges", "scores"]
    p_value: float


class SignalRaised(Event):
    """It is time to do something: see docs/monitoring.md."""

    signal: Literal["accuracy", "topics", "complaints", "drift"]
    level: Literal["watch", "act"]
    number: int = Field(description="how often this signal was raised, this one included")
    action: str = Field(description="what to do")
    run: str = Field(description="the command to begin with")
    evidence: dict[str, Any] = Field(description="numbers, and ids of exchanges; never texts")


class SignalCleared(Event):
    """What a signal was raised for is over."""

    signal: Literal["accuracy", "topics", "complaints", "drift"]
    number: int = Field(description="which one: as in `signal.raised`")
    evidence: dict[str, Any]


class WebhookFailed(Event):
    """A signal could not be posted, and will not be tried again."""

    signal: str
    number: int
    reason: str = Field(description="the last answer's status, or why there was none")
